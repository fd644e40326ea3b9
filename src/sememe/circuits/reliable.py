"""placeholder until dev data is in"""

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
    """How our method runs."""

    pairs: int = field(default=8, metadata={"help": "pairs that our method reads"})

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise InputError(f"pairs is {self.pairs}; give 1 or more", where="circuits")


@dataclass(frozen=True, eq=False)
class Reliable:
    scores: np.ndarray
    attributed: Attributed
    config: ReliableConfig
    seconds: float


def reliable_scores(lm, task, config=None, random_state=0):
    config = config or ReliableConfig()
    started = time.perf_counter()
    a = attribute_heads(lm, task.part(range(min(config.pairs, len(task)))))
    return Reliable(np.abs(a.effect), a, config, time.perf_counter() - started)
