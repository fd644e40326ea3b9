"""Faithfulness: keep only a circuit's heads, ablate all others, and see how much of the task is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.circuits.patching import Kind, check_kind
from sememe.circuits.prompts import TOKENS_AT_ONCE, as_ids, batches
from sememe.circuits.replacing import Replacement, replacements
from sememe.errors import InputError
from sememe.models.tails import last_logits

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel


@dataclass(frozen=True)
class Faithfulness:
    """What a circuit keeps; means over pairs.

    Attributes:
        full: the logit difference of the whole model, in nats.
        circuit: with only the circuit's heads at work.
        empty: with no head at work.
        kept: `circuit` as a share of `full`; 1 is a whole circuit, and it can lie above.
        restored: (circuit - empty) / (full - empty): as the circuit could not take credit for what needs no head.
        kl: KL divergence of the next token's probabilities from the whole model's, in nats.
        random_kept: the same as `kept` for random circuits of equal size, one each.

    """

    full: float
    circuit: float
    empty: float
    kept: float
    restored: float
    kl: float
    random_kept: tuple[float, ...]


def faithfulness(
    lm: LanguageModel,
    task: Task,
    heads: Sequence[int],
    *,
    kind: Kind = "mean",
    n_random: int = 5,
    random_state: int = 0,
) -> Faithfulness:
    """Keep only some heads.

    Args:
        lm: the model; its MLPs stay at work.
        task: the pairs.
        heads: places of the circuit's heads (layer * n_heads + head).
        kind: what the other heads are given; see `patch_heads`.
        n_random: so many random circuits of equal size for comparison.
        random_state: of their drawing.

    Raises:
        InputError: there is no such head, or the kind is not known.

    """
    check_kind(kind)
    n = lm.n_layers * lm.n_heads
    if any(not 0 <= head < n for head in heads):
        raise InputError(f"heads are numbered 0 to {n - 1}", where="heads")
    given = replacements(lm, task, kind)
    rng = np.random.default_rng(random_state)
    circuits = [np.asarray(heads, np.int64), np.empty(0, np.int64)]
    circuits += [rng.choice(n, len(circuits[0]), replace=False) for _ in range(n_random)]
    full = _run(lm, task, None, given)
    runs = [_run(lm, task, circuit, given) for circuit in circuits]
    means = [float(run[0].mean()) for run in runs]
    whole = float(full[0].mean())
    divergence = (full[1].exp() * (full[1] - runs[0][1])).sum(dim=-1).mean()
    gap = whole - means[1]
    return Faithfulness(
        full=whole,
        circuit=means[0],
        empty=means[1],
        kept=means[0] / whole if whole else float("nan"),
        restored=(means[0] - means[1]) / gap if gap else float("nan"),
        kl=float(divergence),
        random_kept=tuple(mean / whole if whole else float("nan") for mean in means[2:]),
    )


@contextmanager
def only(lm: LanguageModel, kept: np.ndarray, rows: np.ndarray, given: Replacement) -> Iterator[None]:
    """While it is open, heads outside `kept`, bool (layers, heads), do what they are given, for these pairs."""
    with ExitStack() as stack:
        for layer in range(lm.n_layers):
            if not kept[layer].all():
                swap = _swap(kept[layer], given.of(rows, layer))
                stack.enter_context(lm.patch(f"layers.{layer}.attention.heads", swap))
        yield


def _swap(kept: np.ndarray, instead: Any) -> Any:
    import torch

    mask = torch.from_numpy(kept).to(instead.device)[None, None, :, None]

    def swap(z: Any) -> Any:
        return torch.where(mask, z.reshape(instead.shape), instead).reshape(z.shape)

    return swap


def _run(lm: LanguageModel, task: Task, heads: np.ndarray | None, given: Replacement) -> tuple[np.ndarray, Any]:
    """Logit differences (pairs,) and log-probabilities (pairs, vocabulary) with only these heads, or with all."""
    import torch

    kept = np.full(lm.n_layers * lm.n_heads, heads is None)
    if heads is not None:
        kept[heads] = True
    differences, scores = np.zeros(len(task)), [None] * len(task)
    for rows in batches(task, TOKENS_AT_ONCE):
        with torch.inference_mode(), only(lm, kept.reshape(lm.n_layers, -1), rows, given):
            logits = last_logits(lm, as_ids(task.positive, rows, lm)).float()
        differences[rows] = task.logit_differences(logits, rows).double().cpu().numpy()
        for place, row in enumerate(rows):
            scores[row] = logits[place].log_softmax(-1).cpu()
    return differences, torch.stack(scores)
