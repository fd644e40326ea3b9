"""Ours: which heads do a task, from a handful of pairs, in seconds, as reliably as we could make it.

A head's score is the mean over pairs of the absolute first-order effect of patching it, with the gradient taken a
little before the clean prompt. What each part is for, as measured on development tasks and seeds (docs/circuits.md):

- Gradients know what a head does for the answer; codes only know that it says something else. Multiplying in the
  codes' scores against their permutation null made nothing better, so they are shown beside it and not mixed in.
- The absolute value is taken for each pair and then averaged. Effects of different sign do not cancel, and with few
  pairs the worst draw is much better.
- At the clean prompt itself a saturated attention has no slope, and a head that another head's attention hangs on
  seems to do nothing. A quarter of the way towards the corrupted prompt it shows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sememe.circuits.attribution import Attributed, attribute_heads
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.circuits.tasks import Task
    from sememe.models import LanguageModel


@dataclass(frozen=True)
class ReliableConfig:
    """How our method runs.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    pairs: int = field(default=8, metadata={"help": "pairs that our method reads"})
    point: float = field(
        default=0.75, metadata={"help": "where gradients are taken: 1 the clean prompt, 0 the corrupted"}
    )

    def __post_init__(self) -> None:
        problems = []
        if self.pairs < 1:
            problems.append(f"pairs is {self.pairs}; give 1 or more")
        if not 0 <= self.point <= 1:
            problems.append(f"point is {self.point}; give a number from 0 to 1")
        if problems:
            raise InputError("; ".join(problems), where="circuits")


@dataclass(frozen=True, eq=False)
class Reliable:
    """What our method says.

    Attributes:
        scores: float64 (layers * heads,), in nats of logit difference.
        attributed: what the scores were made of; its effects have signs.
        config: how it ran.
        seconds: wall time.

    """

    scores: np.ndarray
    attributed: Attributed
    config: ReliableConfig
    seconds: float


def reliable_scores(lm: LanguageModel, task: Task, config: ReliableConfig | None = None) -> Reliable:
    """Score every head.

    Args:
        lm: the model.
        task: the pairs; only the first few are read.
        config: how many, and where the gradient is taken.

    """
    config = config or ReliableConfig()
    started = time.perf_counter()
    attributed = attribute_heads(lm, task.part(range(min(config.pairs, len(task)))), point=config.point)
    return Reliable(np.abs(attributed.effects).mean(axis=0), attributed, config, time.perf_counter() - started)
