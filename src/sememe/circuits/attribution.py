"""Attribution patching: the first-order estimate of what patching each head would do, from gradients.

For all heads at once it costs two forward passes and one backward pass a pair (Nanda 2023; Syed et al., arXiv
2310.10348). The importance of Michel et al. (arXiv 1905.10650, "HISP" in the circuits paper) comes from the same pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.circuits.prompts import TOKENS_AT_ONCE, as_ids, batches
from sememe.circuits.replacing import read_heads, watched_heads
from sememe.models.tails import last_logits

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel


@dataclass(frozen=True, eq=False)
class Attributed:
    """What gradients say.

    Attributes:
        effects: float64 (pairs, layers * heads), in nats: the estimate of the effect of patching each head with what
            it does in the pair's negative prompt; see `Patched.effects`.
        importance: float64 (pairs, layers * heads): |d loss / d gate|, the first-order effect of taking a head away.
        clean: logit difference of each positive prompt (pairs,).
        corrupted: of each negative prompt (pairs,).
        positive: what enters the output projections at the last position of each positive prompt, float32 (pairs,
            layers, heads, head width).
        negative: the same of each negative prompt.
        seconds: wall time.

    """

    effects: np.ndarray
    importance: np.ndarray
    clean: np.ndarray
    corrupted: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    seconds: float

    @property
    def effect(self) -> np.ndarray:
        """The mean estimated effect of each head: float64 (layers * heads,)."""
        mean: np.ndarray = self.effects.mean(axis=0)
        return mean


def attribute_heads(lm: LanguageModel, task: Task, *, both: bool = False, tokens: int = TOKENS_AT_ONCE) -> Attributed:
    """Estimate the effect of patching every head.

    Args:
        lm: the model.
        task: the pairs.
        both: take the gradient in the middle, as the mean of that of the positive and that of the negative prompt
            (the trapezoid rule); one more backward pass a pair.
        tokens: how many tokens a pass takes at most.

    """
    started = time.perf_counter()
    n, n_heads = len(task), lm.n_layers * lm.n_heads
    effects, importance = np.zeros((n, n_heads)), np.zeros((n, n_heads))
    clean, corrupted = np.zeros(n), np.zeros(n)
    last: dict[str, list[Any]] = {"positive": [None] * n, "negative": [None] * n}
    for rows in batches(task, tokens):
        z, slope, found = _gradients(lm, task, as_ids(task.positive, rows, lm), rows)
        clean[rows] = found
        if both:
            z_negative, slope_negative, found = _gradients(lm, task, as_ids(task.negative, rows, lm), rows)
            corrupted[rows] = found
            middle = (slope + slope_negative) / 2
        else:
            z_negative, logits = read_heads(lm, as_ids(task.negative, rows, lm))
            corrupted[rows] = task.logit_differences(logits, rows).double().cpu().numpy()
            middle = slope
        effects[rows] = _summed((z - z_negative) * middle)
        importance[rows] = np.abs(_summed(z * slope))
        for place, row in enumerate(rows):
            last["positive"][row] = z[:, place, -1].float().cpu().numpy()
            last["negative"][row] = z_negative[:, place, -1].float().cpu().numpy()
    positive, negative = (np.stack(last[side]) for side in ("positive", "negative"))
    return Attributed(
        effects, importance, clean, corrupted, positive, negative, time.perf_counter() - started
    )


def _gradients(lm: LanguageModel, task: Task, ids: Any, rows: np.ndarray) -> tuple[Any, Any, np.ndarray]:
    """Of prompts (rows, tokens): z and d(logit difference)/dz, both (layers, rows, tokens, heads, head width), and the
    logit differences.
    """
    import torch

    with torch.enable_grad(), _only_activations(lm), watched_heads(lm, wanting_gradients=True) as seen:
        differences = task.logit_differences(last_logits(lm, ids), rows)
        slopes = torch.autograd.grad(differences.sum(), seen)
    shape = (lm.n_layers, *ids.shape, lm.n_heads, -1)
    z, slope = (torch.stack([part.detach() for part in parts]).reshape(shape) for parts in (seen, slopes))
    return z, slope, differences.detach().double().cpu().numpy()


def _summed(products: Any) -> np.ndarray:
    """Sums over positions and coordinates: (rows, layers * heads)."""
    summed = products.double().sum(dim=(2, 4))  # (layers, rows, heads)
    found: np.ndarray = summed.permute(1, 0, 2).reshape(summed.shape[1], -1).cpu().numpy()
    return found


@contextmanager
def _only_activations(lm: LanguageModel) -> Iterator[None]:
    """While it is open, no weight asks for a gradient, which saves a third of the work."""
    asking = [parameter for parameter in lm.model.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)
