"""Where the documents of a collection come from: texts that an encoder reads, or an index that has their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from sememe.corpus import Corpus, Document, Window
from sememe.models import Encoder
from sememe.models.encoder import compared
from sememe.search.index import Index
from sememe.search.passages import content, windows_of


class Cut(NamedTuple):
    """A document and its windows."""

    document: Document
    windows: Sequence[Window]


class Source(Protocol):
    """Documents, cut into windows, and their vectors when these are needed."""

    name: str
    """Of what it reads, for the card."""
    precision: str
    """How its vectors were stored."""

    def __iter__(self) -> Iterator[Cut]:
        """The documents, in the order of adding."""
        ...

    def vectors(self, documents: Sequence[Cut]) -> list[np.ndarray]:
        """The vectors of the windows of each; float32, shapes (n_windows, d)."""
        ...


class Texts:
    """Documents that an encoder must read."""

    precision = "float32"

    def __init__(
        self, documents: Corpus | Iterable[Document], encoder: Encoder, overlap: int, *, by_cosine: bool
    ) -> None:
        self.name = documents.source if isinstance(documents, Corpus) else "documents"
        self._documents, self._encoder, self._overlap, self._by_cosine = documents, encoder, overlap, by_cosine

    def __iter__(self) -> Iterator[Cut]:
        """The documents, cut for the encoder."""
        for document in self._documents:
            yield Cut(document, windows_of(document, self._encoder, self._overlap))

    def vectors(self, documents: Sequence[Cut]) -> list[np.ndarray]:
        """Encode them together."""
        texts = [content(document, window) for document, windows in documents for window in windows]
        vectors = np.asarray(self._encoder.encode_document(texts), np.float32)
        vectors = compared(vectors, self._encoder, by_cosine=self._by_cosine)
        ends = np.cumsum([len(windows) for _, windows in documents])
        return np.split(vectors, ends[:-1])


class Indexed:
    """Documents of an index, whose vectors its bank holds: nothing is encoded."""

    def __init__(self, index: Index) -> None:
        info: dict[str, Any] = index.info()
        self.name, self.precision = str(info["corpus"]), str(info["config"]["dtype"])
        self._index = index

    def __iter__(self) -> Iterator[Cut]:
        """The documents that exist."""
        for document in self._index.documents():
            rows = self._index.rows_of(document.id)
            yield Cut(document, [self._index.row(int(row))[1] for row in rows])

    def vectors(self, documents: Sequence[Cut]) -> list[np.ndarray]:
        """Read them from the bank."""
        return [np.asarray(self._index.bank[self._index.rows_of(cut.document.id)], np.float32) for cut in documents]
