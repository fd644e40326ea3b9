"""Search pipelines by name, as the evaluation and its table call them: a first stage or a mode, and feedback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sememe.errors import InputError
from sememe.search.coarse.kinds import COARSE_HELP, CODES, WITHOUT_CODES, parse_coarse
from sememe.search.expansion import RM3
from sememe.search.feedback import Feedback
from sememe.search.index import Index
from sememe.search.query_vectors import encoded_queries
from sememe.search.request import MODES

if TYPE_CHECKING:
    from sememe.search.multi_vector import MultiVectorIndex

FEEDBACK = ("average", "rocchio", "rm3")
MAXSIM = "maxsim"
MAXSIM_STAGES = ("exact", "lists")
PIPELINE_HELP = (
    f"{', '.join(MODES)}, or a first stage ({COARSE_HELP}), with +average, +rocchio or (lexical) +rm3; for a "
    f"multi-vector index {MAXSIM}, {MAXSIM}:exact or {MAXSIM}:lists; with @INDEX, on another index"
)


@dataclass(frozen=True)
class Pipeline:
    """What a name such as `hybrid`, `pq:48`, `dense+rocchio`, `lexical+rm3` or `maxsim@tokens.index` stands for.

    Attributes:
        name: the name.
        mode: as in `Index.search`, or `maxsim`, which only a multi-vector index has.
        coarse: the first stage; None for the index's own.
        feedback: as in `Index.search`.
        index: the folder of the index that it searches; None for the one that is evaluated.

    """

    name: str
    mode: str
    coarse: str | None = None
    feedback: Feedback | RM3 | None = None
    index: Path | None = None


class Ranker(Protocol):
    """A pipeline on an index."""

    @property
    def nbytes(self) -> int:
        """The bytes that its first stage holds in memory."""
        ...

    def rank(self, queries: Sequence[str], k: int) -> list[dict[str, float]]:
        """Ids and scores of each query, the best first."""
        ...

    def search(self, query: str) -> object:
        """Search as a user does, for ten hits."""
        ...


def parse_pipeline(name: str) -> Pipeline:
    """Read the name of a pipeline.

    Raises:
        InputError: there is no such mode, first stage or feedback.

    """
    what, at, folder = name.partition("@")
    if at and not folder:
        raise InputError("names no index behind the @", where=name, hint="Write it like dense@my.index")
    index = Path(folder) if at else None
    base, plus, method = what.partition("+")
    if plus and method not in FEEDBACK:
        raise InputError(f"there is no feedback {method!r}", where=name, hint=f"Choose from {', '.join(FEEDBACK)}")
    feedback = (RM3() if method == "rm3" else Feedback(method)) if plus else None
    if base in MODES:
        # `lexical` is a mode of its own here: the first stage of that name is `Index.using("lexical")`.
        return Pipeline(name, base, None, feedback, index)
    kind, colon, stage = base.partition(":")
    if kind == MAXSIM and not plus and (stage in MAXSIM_STAGES or not colon):
        return Pipeline(name, MAXSIM, stage or None, None, index)
    if kind not in CODES and kind not in WITHOUT_CODES:
        raise InputError(f"there is no pipeline {name!r}", hint=f"Choose from {PIPELINE_HELP}")
    return Pipeline(name, "dense", str(parse_coarse(base)), feedback, index)


def default_pipelines(index: Index | MultiVectorIndex) -> tuple[str, ...]:
    """What is evaluated when nothing is named."""
    return MODES if isinstance(index, Index) else (MAXSIM,)


def ranker_of(pipeline: Pipeline, index: Index | MultiVectorIndex) -> Ranker:
    """A pipeline on an index.

    Raises:
        InputError: it is for the other kind of index.

    """
    if isinstance(index, Index):
        if pipeline.mode != MAXSIM:
            return _OneVector(index, pipeline)
        problem, hint = "has one vector a text", "Name a multi-vector index: maxsim@INDEX"
    else:
        if pipeline.mode == MAXSIM:
            return _ManyVectors(index, pipeline)
        problem, hint = "is a multi-vector index", f"Its pipeline is {MAXSIM}; for others name an index: dense@INDEX"
    raise InputError(f"{problem}, so {pipeline.name!r} cannot search it", where=str(index.path), hint=hint)


class _OneVector:
    def __init__(self, index: Index, pipeline: Pipeline) -> None:
        self._index = index if pipeline.coarse is None else index.using(pipeline.coarse)
        self._pipeline = pipeline
        self._encoded: tuple[Sequence[str], np.ndarray] | None = None

    @property
    def nbytes(self) -> int:
        return 0 if self._pipeline.mode == "lexical" else self._index.info()["coarse"].get("bytes", 0)

    def rank(self, queries: Sequence[str], k: int) -> list[dict[str, float]]:
        asked = self._vectors(queries) if self._pipeline.mode == "dense" else queries
        return self._index.rank_batch(asked, k, mode=self._pipeline.mode, feedback=self._pipeline.feedback)

    def search(self, query: str) -> object:
        return self._index.search(query, mode=self._pipeline.mode, feedback=self._pipeline.feedback)

    def _vectors(self, queries: Sequence[str]) -> np.ndarray:
        """The same queries are ranked to several depths, and encoded once."""
        if self._encoded is None or self._encoded[0] is not queries:
            self._encoded = queries, encoded_queries(self._index, queries)
        return self._encoded[1]


class _ManyVectors:
    def __init__(self, index: MultiVectorIndex, pipeline: Pipeline) -> None:
        self._index = index if pipeline.coarse is None else index.using(pipeline.coarse)

    @property
    def nbytes(self) -> int:
        return int(self._index.info()["coarse"].get("bytes", 0))

    def rank(self, queries: Sequence[str], k: int) -> list[dict[str, float]]:
        return self._index.rank_batch(queries, k)

    def search(self, query: str) -> object:
        return self._index.search(query)
