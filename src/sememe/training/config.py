"""How the training loop runs, whatever the objective."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from sememe.errors import InputError

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingConfig:
    """Options of the loop. AdamW, the rate rising linearly at first and then falling linearly to 0.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    steps: int = field(default=1000, metadata={"help": "optimiser steps"})
    batch_size: int = field(default=64, metadata={"help": "examples in a batch; each is the others' negative"})
    accumulate: int = field(default=1, metadata={"help": "batches whose gradients are added up for one step"})
    learning_rate: float = field(default=2e-5, metadata={"help": "the highest that is reached"})
    warm_up: float = field(default=0.1, metadata={"help": "share of the steps in which the learning rate rises"})
    weight_decay: float = field(default=0.01, metadata={"help": "of AdamW, on all weights"})
    beta1: float = field(default=0.9, metadata={"help": "of AdamW"})
    beta2: float = field(default=0.98, metadata={"help": "of AdamW"})
    epsilon: float = field(default=1e-6, metadata={"help": "of AdamW"})
    clip: float = field(default=0.0, metadata={"help": "longest gradient, beyond which it is scaled down; 0: none"})
    chunk: int = field(
        default=0,
        metadata={"help": "texts whose activations are held at once (gradient caching, the same gradient); 0: all"},
    )
    precision: str = field(default="float32", metadata={"help": "of the encoder's arithmetic", "choices": PRECISIONS})
    seed: int = field(default=0, metadata={"help": "seed of data and dropout"})
    held_out: int = field(
        default=500, metadata={"help": "documents held out to measure on, at most a fifth of the corpus; 0: none"}
    )
    checks: int = field(default=4, metadata={"help": "checks on held-out texts, evenly spread; the best one is kept"})
    patience: int = field(default=0, metadata={"help": "checks without improvement before it stops; 0: never"})

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch_size": 2, "accumulate": 1, "chunk": 0, "held_out": 0, "checks": 1, "patience": 0}
        problems = [f"{name} must be at least {low}" for name, low in least.items() if not getattr(self, name) >= low]
        problems += [
            f"{name} must be above 0" for name in ("learning_rate", "epsilon") if not 0 < getattr(self, name) < inf
        ]
        problems += [f"{name} must be 0 or more" for name in ("weight_decay", "clip") if not getattr(self, name) >= 0]
        problems += [
            f"{name} must be from 0 to below 1"
            for name in ("warm_up", "beta1", "beta2")
            if not 0 <= getattr(self, name) < 1
        ]
        if self.precision not in PRECISIONS:
            problems.append(f"precision must be one of {', '.join(PRECISIONS)}")
        if problems:
            raise InputError("; ".join(problems), where="TrainingConfig")

    @property
    def warm_up_steps(self) -> int:
        """How many steps the learning rate rises."""
        return round(self.warm_up * self.steps)

    @property
    def check_steps(self) -> tuple[int, ...]:
        """After which steps the encoder is checked; the last is the end."""
        checks = min(self.checks, self.steps)
        return tuple(round(self.steps * number / checks) for number in range(1, checks + 1))
