"""What an index of token vectors keeps: vectors, documents, tokens and deletions, committed by one journal line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sememe.bank import Bank
from sememe.corpus import Document
from sememe.errors import ArtifactError
from sememe.search.manifest import TOKENS
from sememe.search.multi_vector.encoding import Encoded
from sememe.search.records import FILES, Records

ENDS = "token_ends.bin"


class Store:
    """Documents with several vectors each, in a bank's folder.

    Attributes:
        bank: the vectors, document after document; `bank.documents` maps a row to a document's ordinal.
        records: the documents by ordinal.
        live: whether each document still exists; shape (n_documents,).

    """

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.records = Records(bank.journal)
        # Read now: a compaction by another process may put other files in this place.
        self.ids = list(self.records.ids)
        self.live = np.ones(len(self.records), bool)
        for commit in bank.journal.commits:
            self.live[commit.payload.get("deleted", [])] = False
        self._map()

    @classmethod
    def create(cls, folder: Path, dimensions: int, dtype: str, provenance: Mapping[str, Any]) -> Store:
        """Make an empty store, open for writing.

        Raises:
            ArtifactError: there is something in the folder already.

        """
        files = (*FILES, TOKENS, ENDS)
        return cls(Bank.create(folder, dimensions, dtype=dtype, provenance=provenance, extra_files=files))

    @classmethod
    def open(cls, folder: Path, *, writable: bool) -> Store:
        """Open a store.

        Raises:
            ArtifactError: it is none, or a file of it is missing or damaged; the message names the file.
            LockedError: `writable`, and another process is writing.

        """
        bank = Bank.open(folder, writable=writable)
        if TOKENS not in bank.journal.commits[0].ends:
            bank.close()
            raise ArtifactError("is a bank, not a multi-vector index", where=str(folder), hint="Check the path")
        return cls(bank)

    @property
    def complete(self) -> bool:
        """Whether the build that made it reached the end of its corpus."""
        return any(commit.payload.get("complete") for commit in self.bank.journal.commits)

    def ordinals(self) -> dict[str, int]:
        """The ordinal of every live document by its id, in the order of adding."""
        return {self.ids[ordinal]: int(ordinal) for ordinal in np.flatnonzero(self.live)}

    def rows(self, ordinal: int) -> slice:
        """The bank rows of a document."""
        return slice(int(self.starts[ordinal]), int(self.ends[ordinal]))

    def tokens(self, ordinal: int) -> np.ndarray:
        """The tokens of a document, as in `Encoded.tokens`."""
        start = int(self._ends[ordinal - 1]) if ordinal else 0
        return np.array(self._tokens[start : int(self._ends[ordinal])])

    def add(self, documents: Sequence[Document], encoded: Sequence[Encoded], deleted: Sequence[int] = ()) -> None:
        """Add documents with their vectors and delete others, in one commit.

        Args:
            documents: the new documents.
            encoded: the vectors of each.
            deleted: ordinals of documents that go in the same step.

        """
        first = len(self.live)
        counts = [len(item.vectors) for item in encoded]
        rows = np.repeat(np.arange(first, first + len(documents)), counts)
        positions = np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0, np.int64)
        n_tokens = int(self._ends[-1]) if first else 0
        ends = n_tokens + np.cumsum([len(item.tokens) for item in encoded], dtype=np.int64)
        journal = self.bank.journal
        try:
            vectors = [item.vectors for item in encoded] or [np.zeros((0, self.bank.dimensions), np.float32)]
            self.bank.append(np.concatenate(vectors), documents=rows, positions=positions)
            self.records.append(documents, [])
            tokens = [np.ascontiguousarray(item.tokens, "<i4") for item in encoded]
            journal.append(TOKENS, b"".join(part.tobytes() for part in tokens))
            journal.append(ENDS, ends.astype("<i8").tobytes())
            self.bank.commit({"deleted": [int(ordinal) for ordinal in deleted]} if len(deleted) else {})
        except BaseException:
            self.bank.rollback()
            raise
        self.records.refresh()
        self.ids += [document.id for document in documents]
        self.live = np.append(self.live, np.ones(len(documents), bool))
        self.live[list(deleted)] = False
        self._map()

    def delete(self, ordinals: Sequence[int]) -> None:
        """Mark documents as deleted."""
        self.bank.commit({"deleted": sorted(int(ordinal) for ordinal in ordinals)})
        self.live[list(ordinals)] = False

    def finish(self) -> None:
        """Record that the corpus was read to its end."""
        self.bank.commit({"complete": True})

    def close(self) -> None:
        """Close the files."""
        self.records.close()
        self.bank.close()

    def _map(self) -> None:
        """Map what is committed; every document has a row, so rows tell where documents start."""
        self.starts = np.flatnonzero(np.diff(self.bank.documents, prepend=-1))
        self.ends = np.append(self.starts[1:], len(self.bank)).astype(np.int64)[: len(self.starts)]
        self._tokens = self._array(TOKENS, np.dtype("<i4")).reshape(-1, 3)
        self._ends = self._array(ENDS, np.dtype("<i8"))

    def _array(self, file: str, dtype: np.dtype[Any]) -> np.ndarray:
        length = self.bank.journal.length(file)
        if length == 0:
            return np.zeros(0, dtype)
        return np.memmap(self.bank.journal.path(file), dtype=dtype, mode="r", shape=(length // dtype.itemsize,))
