"""What heads are given instead of their own work: what they do in the negative prompts, its mean, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.circuits.head_outputs import HEAD_SITES
from sememe.circuits.prompts import as_ids, batches
from sememe.models.tails import last_logits

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel


@dataclass(frozen=True, eq=False)
class Replacement:
    """Inputs of the output projections to put in the place of a positive prompt's own.

    Attributes:
        z: for each pair a tensor (layers, tokens, heads, head width).
        corrupted: the logit difference of each negative prompt (pairs,).

    """

    z: list[Any]
    corrupted: np.ndarray

    def of(self, rows: np.ndarray, layer: int) -> Any:
        """The tensor (rows, tokens, heads, head width) of pairs of equal length at one layer."""
        import torch

        return torch.stack([self.z[row][layer] for row in rows])


def replacements(lm: LanguageModel, task: Task, kind: str) -> Replacement:
    """One pass over the negative prompts.

    Args:
        lm: the model.
        task: the pairs.
        kind: `resample`: of the pair's own negative; `mean`: at each position the mean over the negatives of the same
            template and length, where what stands at a position means the same; `zero`.

    """
    import torch

    z: list[Any] = [None] * len(task)
    corrupted = np.zeros(len(task))
    for rows in batches(task):
        stacked, logits = read_heads(lm, as_ids(task.negative, rows, lm))
        corrupted[rows] = task.logit_differences(logits, rows).double().cpu().numpy()
        for place, row in enumerate(rows):
            z[row] = stacked[:, place]
    if kind == "zero":
        z = [torch.zeros_like(own) for own in z]
    elif kind == "mean":
        groups = task.groups()
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            mean = torch.stack([z[row] for row in members]).mean(dim=0)
            for row in members:
                z[row] = mean
    return Replacement(z, corrupted)


def read_heads(lm: LanguageModel, ids: Any, lengths: Sequence[int] | None = None) -> tuple[Any, Any]:
    """A pass over ids (prompts, tokens): tensor (layers, prompts, tokens, heads, head width), and the last logits;
    arguments as of `last_logits`.
    """
    import torch

    with torch.inference_mode(), watched_heads(lm) as seen:
        logits = last_logits(lm, ids, lengths)
    stacked = torch.stack(seen)
    return stacked.reshape(*stacked.shape[:3], lm.n_heads, -1), logits


@contextmanager
def watched_heads(lm: LanguageModel, *, wanting_gradients: bool = False) -> Iterator[list[Any]]:
    """While it is open, a forward pass leaves here what enters each layer's output projection (rows, tokens, width).

    With `wanting_gradients`, differentiation begins at the first of them, and reaches each.
    """
    seen: list[Any] = []

    def look(z: Any) -> Any:
        if wanting_gradients and not z.requires_grad:
            z.requires_grad_(True)
        seen.append(z)
        return z

    with ExitStack() as stack:
        for site in lm.expand_sites(HEAD_SITES):
            stack.enter_context(lm.patch(site, look))
        yield seen
