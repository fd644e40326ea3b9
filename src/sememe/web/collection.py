"""What the page is about: an index and its atoms, with everything that is worth holding in memory."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.atoms import Atoms
from sememe.corpus import Document
from sememe.errors import InputError
from sememe.search import Hit, Hits, Index
from sememe.search.feedback import Feedback
from sememe.search.stages import Clock
from sememe.web.asked import Asked
from sememe.web.book import AtomBook

REMEMBERED_QUERIES = 512
MAX_EXAMPLE_CHARACTERS = 24


class Collection:
    """An index as it was when the server started, and its atoms if it has any.

    Args:
        index: open for reading.
        atoms: learned on this index, or None: then searches are not explained and cannot be steered.
    """

    def __init__(self, index: Index, atoms: Atoms | None) -> None:
        self.index = index
        self.info: Mapping[str, Any] = index.info()
        self.book = AtomBook(index, atoms) if atoms is not None else None
        self.language = index.config.language
        # Requests are answered by several threads; encoders and their tokenizers are not made for that.
        self._lock = threading.Lock()
        self._vector = functools.lru_cache(REMEMBERED_QUERIES)(self._encode)

    @property
    def atoms(self) -> AtomBook:
        """The atoms.

        Raises:
            InputError: the collection has none.
        """
        if self.book is None:
            raise InputError("this collection has no atoms yet", hint="Learn them with: sememe atoms learn IDX")
        return self.book

    def filter_example(self) -> str:
        """A filter that fits the metadata of the first document, to show how one is written."""
        metadata = next(iter(self.index.documents()), Document("", "")).metadata
        conditions = [f"{name}>={value}" for name, value in metadata.items() if type(value) is int]
        conditions += [
            f"{name}={value}"
            for name, value in metadata.items()
            if isinstance(value, str) and 0 < len(value) <= MAX_EXAMPLE_CHARACTERS
        ]
        return "; ".join(conditions[:2])

    def warm_up(self) -> None:
        """Load the encoder and the lexical part, so that the first visitor does not wait for them."""
        self._vector("warm up")
        with self._lock:
            self.index.search("warm up", 1, mode="lexical")

    def vector(self, query: str) -> np.ndarray:
        """The vector of a query, not steered; shape (d,)."""
        return self._vector(query)

    def search(self, asked: Asked, k: int | None = None, *, explain: bool = True) -> Hits[Hit]:
        """Search as asked.

        Args:
            asked: the search.
            k: how many hits, if not as many as asked for.
            explain: take the scores apart; a steered search is always explained.

        Raises:
            InputError: there are no atoms to steer with, or a marked document is not there.
        """
        self._check_marks(asked)
        atoms = self.book.atoms if self.book is not None and asked.mode != "lexical" else None
        if asked.steer and atoms is None:
            self.atoms  # noqa: B018  (says that there are none)
        # A vector that is known already saves encoding the query again; only the dense mode takes one.
        clock = Clock()
        query = self._vector(asked.query) if asked.mode == "dense" else asked.query
        encoding = clock.lap()
        with self._lock:
            hits = self.index.search(
                query,
                k or asked.k,
                mode=asked.mode,
                where=asked.filter,
                explain=atoms if explain or asked.steer else None,
                steer=asked.steer if atoms is not None else None,
                feedback=Feedback.chosen(asked.like, asked.unlike) if asked.like or asked.unlike else None,
            )
        # The index was given a vector, so what it calls encoding took no time.
        stages = [one._replace(ms=one.ms + encoding) if one.stage == "encode" else one for one in hits.stages]
        return Hits(hits, stages, hits.feedback, hits.vector)

    def _check_marks(self, asked: Asked) -> None:
        for mark, document in asked.marks:
            if document not in self.index:
                raise InputError(f"there is no document {document!r}", where=mark, hint="Take the mark away")

    def like(self, row: int, k: int) -> list[Hit]:
        """The documents nearest to a stored vector, its own document left out."""
        own = self.index.row(row)[0].id
        with self._lock:
            hits = self.index.search(self.index.bank[[row]][0], k + 1)
        return [hit for hit in hits if hit.document.id != own][:k]

    def _encode(self, query: str) -> np.ndarray:
        with self._lock:
            return self.index.query_vector(query)
