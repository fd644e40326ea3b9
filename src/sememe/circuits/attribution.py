"""Attribution patching: the first-order estimate of what patching each head would do, from gradients.

For all heads at once it costs two forward passes and one backward pass a pair (Nanda 2023; Syed et al., arXiv
2310.10348). The importance of Michel et al. (arXiv 1905.10650, "HISP" in the circuits paper) comes from the same pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.circuits.prompts import TOKENS_AT_ONCE, mixed_batches, padded_ids
from sememe.circuits.replacing import read_heads, watched_heads
from sememe.errors import InputError
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
        seconds: wall time.

    """

    effects: np.ndarray
    importance: np.ndarray
    clean: np.ndarray
    corrupted: np.ndarray
    seconds: float

    @property
    def effect(self) -> np.ndarray:
        """The mean estimated effect of each head: float64 (layers * heads,)."""
        mean: np.ndarray = self.effects.mean(axis=0)
        return mean


def attribute_heads(lm: LanguageModel, task: Task, *, point: float = 1.0, tokens: int = TOKENS_AT_ONCE) -> Attributed:
    """Estimate the effect of patching every head.

    Args:
        lm: the model.
        task: the pairs.
        point: where the gradient is taken on the way from the negative prompt's embeddings (0) to the positive one's
            (1). At 1 a softmax that is sure of itself has no slope, and heads behind it seem to do nothing; a little
            before it they show. Below 1 it costs one more forward pass.
        tokens: how many tokens a pass takes at most.

    Raises:
        InputError: the point is not between 0 and 1.

    """
    if not 0 <= point <= 1:
        raise InputError(f"point is {point}", where="point", hint="Give a number from 0 to 1")
    started = time.perf_counter()
    n, n_heads = len(task), lm.n_layers * lm.n_heads
    effects, importance = np.zeros((n, n_heads)), np.zeros((n, n_heads))
    clean, corrupted = np.zeros(n), np.zeros(n)
    for rows in mixed_batches(task, tokens):
        ids, lengths = padded_ids(task.positive, rows, lm)
        other, _ = padded_ids(task.negative, rows, lm)
        z_negative, logits = read_heads(lm, other, lengths)
        corrupted[rows] = _numbers(task.logit_differences(logits, rows))
        if point < 1:
            z, logits = read_heads(lm, ids, lengths)
            clean[rows] = _numbers(task.logit_differences(logits, rows))
            with _between(lm, other, point):
                _, slope, _ = _gradients(lm, task, ids, lengths, rows)
        else:
            z, slope, clean[rows] = _gradients(lm, task, ids, lengths, rows)
        effects[rows] = _summed((z - z_negative) * slope)
        importance[rows] = np.abs(_summed(z * slope))
    return Attributed(effects, importance, clean, corrupted, time.perf_counter() - started)


def _gradients(
    lm: LanguageModel, task: Task, ids: Any, lengths: Sequence[int], rows: np.ndarray
) -> tuple[Any, Any, np.ndarray]:
    """Of prompts (rows, tokens): z and d(logit difference)/dz, both (layers, rows, tokens, heads, head width), and the
    logit differences. Behind a prompt's end the slope is zero.
    """
    import torch

    with torch.enable_grad(), _only_activations(lm), watched_heads(lm, wanting_gradients=True) as seen:
        differences = task.logit_differences(last_logits(lm, ids, lengths), rows)
        slopes = torch.autograd.grad(differences.sum(), seen)
    shape = (lm.n_layers, *ids.shape, lm.n_heads, -1)
    z, slope = (torch.stack([part.detach() for part in parts]).reshape(shape) for parts in (seen, slopes))
    return z, slope, _numbers(differences)


def _summed(products: Any) -> np.ndarray:
    """Sums over positions and coordinates: (rows, layers * heads)."""
    summed = products.double().sum(dim=(2, 4))  # (layers, rows, heads)
    found: np.ndarray = summed.permute(1, 0, 2).reshape(summed.shape[1], -1).cpu().numpy()
    return found


def _numbers(tensor: Any) -> np.ndarray:
    found: np.ndarray = tensor.detach().double().cpu().numpy()
    return found


@contextmanager
def _between(lm: LanguageModel, other: Any, point: float) -> Iterator[None]:
    """While it is open, embeddings are moved towards those of `other` ids (rows, tokens)."""
    import torch

    embeddings = lm.model.get_input_embeddings()
    with torch.inference_mode():
        away = embeddings(other)
    away = away.clone()

    def mix(_module: Any, _inputs: Any, own: Any) -> Any:
        return point * own + (1 - point) * away

    handle = embeddings.register_forward_hook(mix)
    try:
        yield
    finally:
        handle.remove()


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
