"""A task's prompts as tensors: batches of equal length, never padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel

TOKENS_AT_ONCE = 640
"""How many tokens a forward pass takes: beyond a few hundred, a processor gets no faster for more."""


def batches(task: Task, tokens: int = TOKENS_AT_ONCE) -> Iterator[np.ndarray]:
    """Rows of pairs of equal length, at most so many that each class has about `tokens` tokens."""
    for rows in task.by_length():
        step = max(1, tokens // len(task.positive[rows[0]]))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def as_ids(prompts: Sequence[list[int]], rows: Sequence[int], lm: LanguageModel) -> Any:
    """The ids of prompts of equal length: tensor (rows, tokens) on the model's device."""
    import torch

    return torch.tensor([prompts[row] for row in rows], dtype=torch.long, device=lm.model.device)
