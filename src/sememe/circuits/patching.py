"""Activation patching of every head: what the answer loses when one head is given what it does elsewhere.

The reference that cheap scores are judged by. For each head the model runs once more on every prompt, but only from
the head's own layer on: what enters that layer is kept from the clean pass.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from sememe.circuits.prompts import TOKENS_AT_ONCE, as_ids, batches
from sememe.circuits.replacing import Replacement, replacements
from sememe.errors import InputError
from sememe.models.tails import Pass, run_tail, run_whole
from sememe.progress import progress

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel

Kind = Literal["resample", "mean", "zero"]
CIRCUIT_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Patched:
    """What patching found.

    Attributes:
        effects: float64 (pairs, layers, heads), in nats: the logit difference of the clean prompt minus that with the
            head patched. Positive: the head works for the answer.
        clean: logit difference of each positive prompt (pairs,).
        corrupted: of each negative prompt (pairs,).
        passes: forward passes in units of one prompt through the whole model, the saved layers not counted.
        seconds: wall time.

    """

    effects: np.ndarray
    clean: np.ndarray
    corrupted: np.ndarray
    passes: float
    seconds: float

    @property
    def effect(self) -> np.ndarray:
        """The mean effect of each head: float64 (layers * heads,)."""
        mean: np.ndarray = self.effects.mean(axis=0).reshape(-1)
        return mean

    @property
    def circuit(self) -> np.ndarray:
        """The heads that matter, bool (layers * heads,): those with at least a tenth of the largest absolute effect.

        Heads that work against the answer are parts of how the model does the task, so the sign does not count.
        """
        return true_heads(self.effect)


def true_heads(effect: np.ndarray) -> np.ndarray:
    """The heads whose absolute effect is at least a tenth of the largest one."""
    size = np.abs(effect)
    found: np.ndarray = (size >= CIRCUIT_SHARE * size.max()) & (size > 0)
    return found


def patch_heads(lm: LanguageModel, task: Task, kind: Kind = "resample", *, tokens: int = TOKENS_AT_ONCE) -> Patched:
    """Patch every head, one at a time, at all positions.

    Args:
        lm: the model.
        task: the pairs.
        kind: what a head is given in a positive prompt: what it does in the pair's negative prompt (`resample`), the
            `mean` of what it does at that position in the negatives of the same template, or `zero`.
        tokens: how many tokens a forward pass takes at most.

    Raises:
        InputError: the kind is not known.

    """
    check_kind(kind)
    started = time.perf_counter()
    effects = np.zeros((len(task), lm.n_layers, lm.n_heads))
    clean = np.zeros(len(task))
    given = replacements(lm, task, kind)
    with progress("Patching heads", len(task) * lm.n_layers, unit="layers") as bar:
        for rows in batches(task, tokens):
            whole = run_whole(lm, as_ids(task.positive, rows, lm))
            clean[rows] = _numbers(task.logit_differences(whole.logits, rows))
            for layer in range(lm.n_layers):
                effects[rows, layer] = _layer(lm, task, rows, whole, layer=layer, given=given, tokens=tokens)
                bar.advance(len(rows))
    effects = clean[:, None, None] - effects
    passes = len(task) * (2 + lm.n_heads * (lm.n_layers + 1) / 2)
    return Patched(effects, clean, given.corrupted, passes, time.perf_counter() - started)


def check_kind(kind: str) -> None:
    """Refuse what is no kind of replacement.

    Raises:
        InputError: it is none.

    """
    if kind not in get_args(Kind):
        raise InputError(f"{kind!r} is not known", where="kind", hint=f"Use {', '.join(get_args(Kind))}")


def _layer(
    lm: LanguageModel, task: Task, rows: np.ndarray, whole: Pass, *, layer: int, given: Replacement, tokens: int
) -> np.ndarray:
    """Logit differences (rows, heads) with each head of one layer patched, several heads in one pass."""
    import torch

    n_heads, states = lm.n_heads, whole.states[layer]
    instead = given.of(rows, layer)
    found = np.zeros((len(rows), n_heads))
    at_once = max(1, tokens // (states.shape[0] * states.shape[1]))
    for first in range(0, n_heads, at_once):
        heads = list(range(first, min(first + at_once, n_heads)))

        def swap(z: Any, heads: list[int] = heads) -> Any:
            parts = z.reshape(len(heads), len(rows), z.shape[1], n_heads, -1).clone()
            for place, head in enumerate(heads):
                parts[place, :, :, head] = instead[:, :, head]
            return parts.reshape(z.shape)

        repeated = states.repeat(len(heads), 1, 1)
        with torch.inference_mode(), lm.patch(f"layers.{layer}.attention.heads", swap):
            logits = run_tail(lm, layer, repeated, whole.extras)
        differences = _numbers(task.logit_differences(logits, np.tile(rows, len(heads))))
        found[:, heads] = differences.reshape(len(heads), len(rows)).T
    return found


def _numbers(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().double().cpu().numpy(), np.float64)
