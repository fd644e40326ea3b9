"""What a search is asked for, checked as a whole before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import InputError
from sememe.search.expansion import RM3
from sememe.search.feedback import Feedback
from sememe.search.filters import Filter
from sememe.search.rerank import Reranker

if TYPE_CHECKING:
    from sememe.atoms import Atoms

MODES = ("dense", "lexical", "hybrid")

Queries = Sequence[str | np.ndarray] | np.ndarray
"""Texts, or vectors (n, d)."""


@dataclass(frozen=True)
class Request:
    """The arguments of `Index.search`, which says what they mean."""

    k: int = 10
    mode: str = "dense"
    where: Filter | None = None
    explain: Atoms | None = None
    steer: Mapping[int, float] | None = None
    feedback: Feedback | RM3 | None = None
    rerank: Reranker | None = None

    def check(self, queries: Queries) -> None:
        """Refuse what cannot be searched.

        Raises:
            InputError: an argument does not fit; all problems are reported together.

        """
        problems = []
        if self.k < 1:
            problems.append(f"k must be at least 1, not {self.k}")
        if self.mode not in MODES:
            problems.append(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        problems += self._lexical_problems() if self.mode == "lexical" else self._dense_problems()
        for number, query in enumerate(queries):
            if isinstance(query, str) and not query.strip():
                problems.append(f"query {number} is empty")
            elif not isinstance(query, str) and self.mode != "dense":
                problems.append(f"query {number} is a vector, which only mode dense can search with")
            elif not isinstance(query, str) and self.rerank is not None:
                problems.append(f"query {number} is a vector, and a reranker reads texts")
        if problems:
            raise InputError("; ".join(problems))

    def _lexical_problems(self) -> list[str]:
        problems = []
        if self.explain is not None or self.steer:
            problems.append("a lexical score has no atoms: explain and steer need mode dense or hybrid")
        if isinstance(self.feedback, Feedback):
            problems.append("average, rocchio and feedback encoders move a vector; mode lexical has rm3")
        return problems

    def _dense_problems(self) -> list[str]:
        return ["rm3 adds words to a query, which mode lexical searches with"] if isinstance(self.feedback, RM3) else []
