"""What an index on disk and a collection on a server have in common for those who only search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from sememe.search.expansion import RM3
from sememe.search.feedback import Feedback
from sememe.search.filters import Filter
from sememe.search.hits import Hit, Hits
from sememe.search.rerank import Reranker

if TYPE_CHECKING:
    from sememe.atoms import Atoms


class Searchable(Protocol):
    """A collection that is open for searching; `sememe.Index.search` says what the arguments mean."""

    @property
    def atoms_path(self) -> Path | None:
        """Where its atoms lie; None when it has no folder of its own."""
        ...

    def __len__(self) -> int:
        """The number of documents."""
        ...

    def search(
        self,
        query: str | np.ndarray,
        k: int = 10,
        *,
        mode: str = "dense",
        where: Filter | None = None,
        explain: Atoms | None = None,
        steer: Mapping[int, float] | None = None,
        feedback: Feedback | RM3 | None = None,
        rerank: Reranker | None = None,
    ) -> Hits[Hit]:
        """The documents that answer a query best."""
        ...

    def search_batch(
        self,
        queries: Sequence[str] | Sequence[str | np.ndarray] | np.ndarray,
        k: int = 10,
        *,
        mode: str = "dense",
        where: Filter | None = None,
        explain: Atoms | None = None,
        steer: Mapping[int, float] | None = None,
        feedback: Feedback | RM3 | None = None,
        rerank: Reranker | None = None,
    ) -> list[Hits[Hit]]:
        """`search` for many queries at once."""
        ...

    def close(self) -> None:
        """Close its files or its connection."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
