"""How an index is built: one dataclass that the Python API, the command's flags and the card share."""

from __future__ import annotations

from dataclasses import dataclass, field

from sememe.errors import InputError
from sememe.search.coarse.kinds import COARSE_HELP, parse_coarse

STORED_TYPES = ("float32", "float16", "int8")
SIMILARITIES = ("auto", "cosine", "dot")


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
            "help": f"first stage of a dense search: {COARSE_HELP}; auto scans all vectors up to 50,000 and takes "
            "binary codes above; whatever proposes them, scores are exact",
        },
    )
    candidates: int = field(
        default=0,
        metadata={"help": "rows the first stage proposes for each hit; 0 measures how many recall@10 of 0.98 needs"},
    )
    similarity: str = field(
        default="auto",
        metadata={
            "help": "how vectors are compared; auto is what the encoder's configuration says, cosine where it says "
            "nothing",
            "choices": SIMILARITIES,
        },
    )
    language: str = field(default="english", metadata={"help": "stemmer and stop words of the lexical part, or 'none'"})

    def __post_init__(self) -> None:
        problems = []
        if self.dtype not in STORED_TYPES:
            problems.append(f"dtype must be one of {', '.join(STORED_TYPES)}, not {self.dtype!r}")
        try:
            parse_coarse(self.coarse)
        except InputError as error:
            problems.append(f"coarse: {error.message}. {error.hint}")
        if self.similarity not in SIMILARITIES:
            problems.append(f"similarity must be one of {', '.join(SIMILARITIES)}, not {self.similarity!r}")
        if self.candidates < 0:
            problems.append(f"candidates must not be negative, not {self.candidates}")
        if self.overlap < 0:
            problems.append(f"overlap must not be negative, not {self.overlap}")
        if problems:
            raise InputError("; ".join(problems), where="IndexConfig")
