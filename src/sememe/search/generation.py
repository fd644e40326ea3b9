"""One generation of an index: a folder in which vectors, documents and deletions share one journal.

Because they share it, one journal line commits them all: no kill can leave a vector without its document. A
deletion is a journal line too (a tombstone); the rows stay until `Index.compact` writes the next generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sememe.bank import Bank
from sememe.corpus import Document, Window
from sememe.search.dense import rows_of
from sememe.search.records import FILES, Records


class Generation:
    """Documents, their windows' vectors, and tombstones.

    Attributes:
        bank: the vectors; `bank.documents` maps a row to a document's ordinal.
        records: the documents by ordinal.
        live: whether each document still exists; shape (n_documents,).

    """

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.records = Records(bank.journal)
        self.live = np.ones(len(self.records), bool)
        self._starts = np.zeros(0, np.int64)
        for commit in bank.journal.commits:
            self.live[commit.payload.get("deleted", [])] = False

    @classmethod
    def create(cls, folder: Path, dimensions: int, dtype: str, provenance: Mapping[str, Any]) -> Generation:
        """Make an empty generation, open for writing."""
        return cls(Bank.create(folder, dimensions, dtype=dtype, provenance=provenance, extra_files=FILES))

    @classmethod
    def open(cls, folder: Path, *, writable: bool) -> Generation:
        """Open a generation.

        Raises:
            ArtifactError: a file of it is missing or damaged; the message names the file.
            LockedError: `writable`, and another process is writing.

        """
        return cls(Bank.open(folder, writable=writable))

    @property
    def state(self) -> int:
        """A number that grows with every commit; what is derived from a generation is kept under it."""
        return len(self.bank.journal.commits)

    @property
    def complete(self) -> bool:
        """Whether the build that made it reached the end of its corpus."""
        return any(commit.payload.get("complete") for commit in self.bank.journal.commits)

    @property
    def starts(self) -> np.ndarray:
        """The first bank row of every document; shape (n_documents,)."""
        if len(self._starts) != len(self.records):
            self._starts = np.flatnonzero(np.diff(self.bank.documents, prepend=-1))
        return self._starts

    def rows_of(self, ordinals: np.ndarray) -> np.ndarray:
        """The bank rows of documents, ascending if `ordinals` is; shape (n,)."""
        return rows_of(ordinals, self.starts, len(self.bank))

    def ordinals(self) -> dict[str, int]:
        """The ordinal of every live document by its id."""
        ids = self.records.ids
        return {ids[ordinal]: int(ordinal) for ordinal in np.flatnonzero(self.live)}

    def add(
        self,
        documents: Sequence[Document],
        windows: Sequence[Sequence[Window]],
        vectors: np.ndarray,
        deleted: Sequence[int] = (),
    ) -> None:
        """Add documents with the vectors of their windows and delete others, in one commit.

        Args:
            documents: the new documents.
            windows: the windows of each; one or more.
            vectors: the vectors of all windows, document by document; shape (n_windows, d).
            deleted: ordinals of documents that go in the same step.

        """
        first = len(self.records)
        rows = [first + number for number, spans in enumerate(windows) for _ in spans]
        positions = [position for spans in windows for position in range(len(spans))]
        try:
            self.bank.append(vectors, documents=rows, positions=positions)
            self.records.append(documents, [window for spans in windows for window in spans])
            self.bank.commit({"deleted": [int(ordinal) for ordinal in deleted]} if len(deleted) else {})
        except BaseException:
            self.bank.rollback()
            raise
        self.records.refresh()
        self.live = np.append(self.live, np.ones(len(documents), bool))
        self.live[list(deleted)] = False

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
