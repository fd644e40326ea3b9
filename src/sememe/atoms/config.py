"""The options of learning atoms: one dataclass for the library, the command line, the card and the web page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from sememe.errors import InputError

CODER_NAMES = ("threshold", "relu", "topk", "batch_topk", "jumprelu", "gated", "matryoshka")
SPACE_NAMES = ("euclidean", "atomic")


def option(default: Any, help_text: str) -> Any:
    """A dataclass field with the one-line help that the command line shows."""
    return field(default=default, metadata={"help": help_text})


@dataclass(kw_only=True)
class AtomsConfig:
    """How atoms are learned. The defaults suit hundreds of dimensions and 5,000 to 500,000 vectors.

    Lengths are in units of the data's root mean squared distance from its mean, to which it is scaled for training.
    """

    n_atoms: int | None = option(
        None, "how many atoms to learn; by default about an eighth of the vectors, 128 to 4,096"
    )
    target_active: float = option(32.0, "mean number of active atoms per vector to aim at")
    coder: str = option("threshold", f"how activations are chosen: {', '.join(CODER_NAMES)}")
    space: str = option(
        "euclidean", "coordinates in which errors are measured: euclidean, or atomic (whitened by the inner product)"
    )
    ridge: float = option(1e-6, "share of the mean eigenvalue added to each in the atomic inner product")
    penalty: float | None = option(
        None, "fixed weight of the sparsity penalty, instead of aiming at --target-active (topk and such have none)"
    )
    steps: int | None = option(None, "training steps; by default four times through the vectors, 2,000 to 20,000")
    batch_size: int = option(256, "vectors per training step")
    learning_rate: float | None = option(None, "peak learning rate of Adam; by default the coder's own")
    bandwidth: float = option(0.5, "width of the window in which a threshold receives a gradient, in thresholds")
    tie: float | None = option(
        None, "how strongly the encoder is drawn towards the decoder, in learning rates; by default 3 for threshold"
    )
    held_out: float = option(0.1, "share of the vectors kept out of training, to measure R2 on")
    random_state: int = option(0, "seed")

    def problems(self) -> list[str]:
        """What is wrong with the options, one sentence each; empty when they can be used."""
        found = []
        for item in fields(self):
            allowed, accept = _LIMITS.get(item.name, ("", None))
            value = getattr(self, item.name)
            if accept is not None and not accept(value):
                found.append(f"{item.name} must be {allowed}, not {value!r}")
        if not found and self.n_atoms is not None and self.target_active > self.n_atoms:
            found.append(f"target_active is {self.target_active}, more than the {self.n_atoms} atoms there are")
        return found

    def check(self) -> None:
        """Refuse unusable options, naming all of them at once.

        Raises:
            InputError: at least one option is out of range.
        """
        found = self.problems()
        if found:
            raise InputError("; ".join(found), where=type(self).__name__)


def default_atoms(n_vectors: int) -> int:
    """The power of two nearest to an eighth of the vectors, 128 to 4,096.

    Measured on held-out sentence vectors: with fewer vectors an atom, atoms memorise.
    """
    nearest: int = 2 ** round(math.log2(max(1, n_vectors) / 8))
    return min(4096, max(128, nearest))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _at_least(minimum: int) -> Callable[[Any], bool]:
    return lambda value: _is_int(value) and value >= minimum


_LIMITS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "n_atoms": ("a whole number of at least 1, or None", lambda v: v is None or _at_least(1)(v)),
    "target_active": ("a number above 0", _positive),
    "penalty": ("a number of at least 0, or None", lambda v: v is None or (_is_number(v) and v >= 0)),
    "steps": ("a whole number of at least 1, or None", lambda v: v is None or _at_least(1)(v)),
    "batch_size": ("a whole number of at least 1", _at_least(1)),
    "coder": (f"one of {', '.join(CODER_NAMES)}", lambda v: v in CODER_NAMES),
    "space": ("euclidean or atomic", lambda v: v in SPACE_NAMES),
    "ridge": ("a number of at least 0", lambda v: _is_number(v) and v >= 0),
    "learning_rate": ("a number above 0, or None", lambda v: v is None or _positive(v)),
    "bandwidth": ("a number above 0 and below 2", lambda v: _positive(v) and v < 2),
    "tie": ("a number of at least 0, or None", lambda v: v is None or (_is_number(v) and v >= 0)),
    "held_out": ("a number between 0 and 0.9", lambda v: _is_number(v) and 0 < v <= 0.9),
    "random_state": ("a whole number of at least 0", _at_least(0)),
}
