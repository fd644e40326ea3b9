"""The options of paragraph vectors: one dataclass for the library, the command line and the card."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from sememe.errors import InputError
from sememe.objectives.vocabulary import STOP_WORD_LISTS

VARIANTS = ("dbow", "dm", "real-binary", "real")


def _option(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, kw_only=True)
class ParagraphConfig:
    """How paragraph vectors are learned.

    Raises:
        InputError: a value is out of range; all problems are reported together.
    """

    variant: str = _option(
        "dbow",
        "dbow (bits that predict a document's words), dm (bits and the words around predict a word), real-binary (real "
        "vectors behind bits that predict words), real (no bits: PV-DBOW)",
    )
    n_bits: int = _option(32, "bits of a code; short texts want few (32 for 25 words); not used by real")
    real_dim: int = _option(300, "width of real vectors: a document's, or with dm those of the words around")
    bigrams: bool = _option(False, "whether pairs of neighbouring words are predicted as well; not with dm")
    window: int = _option(5, "words on each side that are the context of a word, with dm")
    epochs: int = _option(12, "times through the texts; more bits over-fit sooner")
    batch_size: int = _option(1024, "pairs of a document and a word in one step")
    drawn: int = _option(128, "words drawn as alternatives, shared by a step's pairs")
    learning_rate: float = _option(0.01, "of Adam")
    inference_steps: int = _option(100, "steps to find the code of a new text, each over all its words")
    min_count: int = _option(3, "words that occur less often are left out")
    stop_words: str = _option("english", "words that are always left out: english or none")
    random_state: int = _option(0, "seed")

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be a whole number of at least {least}, not {getattr(self, name)!r}"
            for name, least in _LEAST.items()
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int)
            or getattr(self, name) < least
        ]  # fmt: skip
        if not 0 < self.learning_rate < math.inf:
            problems.append(f"learning_rate must be above 0, not {self.learning_rate}")
        for name, allowed in (("variant", VARIANTS), ("stop_words", STOP_WORD_LISTS)):
            if getattr(self, name) not in allowed:
                problems.append(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        if self.bigrams and self.variant == "dm":
            problems.append("bigrams are not predicted with variant dm, whose context holds the order")
        if problems:
            raise InputError("; ".join(problems), where="ParagraphConfig")

    @property
    def has_codes(self) -> bool:
        return self.variant != "real"

    @property
    def has_vectors(self) -> bool:
        return self.variant in ("real", "real-binary")

    @property
    def document_width(self) -> int:
        """Of what is learned for each document: `real_dim` where documents have real vectors, else `n_bits`."""
        return self.real_dim if self.has_vectors else self.n_bits

    @property
    def input_width(self) -> int:
        """Of what predicts words."""
        if self.variant == "dm":
            return self.n_bits + self.real_dim
        return self.n_bits if self.has_codes else self.real_dim


_LEAST = {
    "n_bits": 1,
    "real_dim": 1,
    "window": 1,
    "epochs": 1,
    "batch_size": 1,
    "drawn": 1,
    "inference_steps": 1,
    "min_count": 1,
    "random_state": 0,
}
