"""How a multi-vector index is built: one dataclass that the Python API, the command's flags and the card share."""

from __future__ import annotations

from dataclasses import dataclass, field

from sememe.errors import InputError
from sememe.multi_vector.pruning import GRAMMAR, Pruning
from sememe.search.config import STORED_TYPES

COARSE_KINDS = ("auto", "exact", "lists")
EXACT_VECTORS = 50_000  # above this, `coarse="auto"` means lists


@dataclass(frozen=True)
class MultiVectorConfig:
    """Settings of a multi-vector index; they are fixed when it is built.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    pruning: str | None = field(
        default=None,
        metadata={"help": f"how many vectors of a text are kept: {GRAMMAR}; by default what the encoder was made for"},
    )
    renormalize: bool = field(default=False, metadata={"help": "scale the means of clusters to unit length"})
    dtype: str = field(default="float16", metadata={"help": "how vectors are stored", "choices": STORED_TYPES})
    coarse: str = field(
        default="auto",
        metadata={"help": "exact scores every document, lists only candidates, auto takes lists above 50,000 vectors"},
    )

    def __post_init__(self) -> None:
        problems = []
        if self.dtype not in STORED_TYPES:
            problems.append(f"dtype must be one of {', '.join(STORED_TYPES)}, not {self.dtype!r}")
        if self.coarse not in COARSE_KINDS:
            problems.append(f"coarse must be one of {', '.join(COARSE_KINDS)}, not {self.coarse!r}")
        if self.pruning is not None:
            try:
                Pruning.parse(self.pruning)
            except InputError as error:
                problems.append(f"pruning: {error.message}. {error.hint}")
        if problems:
            raise InputError("; ".join(problems), where="MultiVectorConfig")
