"""A task's prompts as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.models.tokens import as_batch

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel

TOKENS_AT_ONCE = 640
"""How many tokens a forward pass takes: beyond a few hundred, a processor gets no faster for more."""


def batches(task: Task, tokens: int = TOKENS_AT_ONCE) -> Iterator[np.ndarray]:
    """Rows of pairs of equal length, at most so many that each class has about `tokens` tokens; never padded."""
    for rows in task.by_length():
        step = max(1, tokens // len(task.positive[rows[0]]))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def mixed_batches(task: Task, tokens: int = TOKENS_AT_ONCE) -> Iterator[np.ndarray]:
    """Rows of pairs of similar length, the shortest first: fewer and fuller passes than `batches`, for `padded_ids`."""
    lengths = np.array([len(ids) for ids in task.positive])
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - start) <= tokens:
            end += 1
        yield order[start:end]
        start = end


def as_ids(prompts: Sequence[list[int]], rows: Iterable[int], lm: LanguageModel) -> Any:
    """The ids of prompts of equal length: tensor (rows, tokens) on the model's device."""
    import torch

    return torch.tensor([prompts[row] for row in rows], dtype=torch.long, device=lm.model.device)


def padded_ids(prompts: Sequence[list[int]], rows: Iterable[int], lm: LanguageModel) -> tuple[Any, list[int]]:
    """The ids of prompts of any length, filled up on the right, and their lengths; see `last_logits`."""
    import torch

    listed = [prompts[row] for row in rows]
    return torch.from_numpy(as_batch(listed, 0)).to(lm.model.device), [len(ids) for ids in listed]
