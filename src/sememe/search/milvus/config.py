"""How a collection on a Milvus server is made; kept in its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sememe.errors import InputError

_BUILD: dict[str, dict[str, int]] = {
    "FLAT": {},
    "IVF_FLAT": {"nlist": 1024},
    "IVF_SQ8": {"nlist": 1024},
    "HNSW": {"M": 16, "efConstruction": 200},
    "DISKANN": {},
    "AUTOINDEX": {},
}
EXACT = ("FLAT",)


@dataclass(frozen=True)
class MilvusConfig:
    """Settings of a collection; they are fixed when it is made.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    index: str = field(
        default="FLAT",
        metadata={
            "help": "the server's index of the vectors: FLAT scans all of them and is exact; the others propose "
            "candidates, whose scores are exact all the same",
            "choices": tuple(_BUILD),
        },
    )
    candidates: int = field(
        default=10, metadata={"help": "rows that the server proposes for each hit, if its index is not exact"}
    )
    shards: int = field(default=1, metadata={"help": "how many streams the server writes a collection with"})
    overlap: int = field(default=32, metadata={"help": "tokens that neighbouring windows of a long document share"})
    language: str = field(default="english", metadata={"help": "stemmer and stop words of the lexical part, or 'none'"})
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Of the server's index, such as `{"M": 32}`; those that are not named have our defaults."""
    search_parameters: Mapping[str, int] = field(default_factory=dict)
    """Of a search, such as `{"ef": 400}` or `{"nprobe": 64}`."""

    def __post_init__(self) -> None:
        problems = []
        if self.index not in _BUILD:
            problems.append(f"index must be one of {', '.join(_BUILD)}, not {self.index!r}")
        if self.candidates < 1:
            problems.append(f"candidates must be at least 1, not {self.candidates}")
        if self.shards < 1:
            problems.append(f"shards must be at least 1, not {self.shards}")
        if self.overlap < 0:
            problems.append(f"overlap must not be negative, not {self.overlap}")
        if problems:
            raise InputError("; ".join(problems), where="MilvusConfig")

    @property
    def exact(self) -> bool:
        """Whether the server compares a query with every vector."""
        return self.index in EXACT

    def build_parameters(self) -> dict[str, int]:
        """What the server's index is made with."""
        return {**_BUILD[self.index], **self.parameters}

    def query_parameters(self, limit: int) -> dict[str, int]:
        """What a search for `limit` rows is made with; graphs must look at as many nodes as they return."""
        wide = max(limit, 100)
        default = {
            "HNSW": {"ef": wide},
            "DISKANN": {"search_list": wide},
            "IVF_FLAT": {"nprobe": 64},
            "IVF_SQ8": {"nprobe": 64},
        }.get(self.index, {})
        chosen = {**default, **self.search_parameters}
        for graph in ("ef", "search_list"):
            if graph in chosen:
                chosen[graph] = max(chosen[graph], limit)
        return chosen
