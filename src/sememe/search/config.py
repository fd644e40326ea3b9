"""How an index is built: one dataclass that the Python API, the command's flags and the card share."""

from __future__ import annotations

from dataclasses import dataclass, field

from sememe.errors import InputError

COARSE_KINDS = ("auto", "exact", "binary")
STORED_TYPES = ("float32", "float16", "int8")


@dataclass(frozen=True)
class IndexConfig:
    """Settings of an index; they are fixed when it is built.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    dtype: str = field(default="float32", metadata={"help": "how vectors are stored", "choices": STORED_TYPES})
    overlap: int = field(default=32, metadata={"help": "tokens that neighbouring windows of a long document share"})
    coarse: str = field(
        default="auto",
        metadata={
            "help": "first stage: scan all vectors, or binary codes and an exact second stage; "
            "auto takes codes above 50,000 vectors",
            "choices": COARSE_KINDS,
        },
    )
    language: str = field(default="english", metadata={"help": "stemmer and stop words of the lexical part, or 'none'"})

    def __post_init__(self) -> None:
        problems = []
        if self.dtype not in STORED_TYPES:
            problems.append(f"dtype must be one of {', '.join(STORED_TYPES)}, not {self.dtype!r}")
        if self.coarse not in COARSE_KINDS:
            problems.append(f"coarse must be one of {', '.join(COARSE_KINDS)}, not {self.coarse!r}")
        if self.overlap < 0:
            problems.append(f"overlap must not be negative, not {self.overlap}")
        if problems:
            raise InputError("; ".join(problems), where="IndexConfig")
