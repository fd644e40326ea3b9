"""One generation of an index: a folder in which vectors, documents and deletions share one journal.

Because they share it, one journal line commits them all: no kill can leave a vector without its document. A
deletion is a journal line too (a tombstone); the rows stay until a compaction writes the next generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sememe.bank import Bank
from sememe.corpus import Document, Window
from sememe.errors import ArtifactError
from sememe.search.dense import rows_of
from sememe.search.ragged import Ragged
from sememe.search.records import FILES, Records


@dataclass(frozen=True, eq=False)
class Addition:
    """Documents with all that is stored of them.

    Attributes:
        documents: the documents.
        counts: how many vectors each has; one or more.
        vectors: the vectors of all of them, document by document; shape (sum of counts, d).
        windows: the part of its document's text that each vector stands for, in an index that cuts texts into windows.
        extras: by name, an array (n, 3) of int32 for each document.

    """

    documents: Sequence[Document]
    counts: Sequence[int]
    vectors: np.ndarray
    windows: Sequence[Window] = ()
    extras: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)


class Generation:
    """Documents, their vectors, and tombstones.

    Attributes:
        bank: the vectors; `bank.documents` maps a row to a document's ordinal. A document's rows lie together.
        records: the documents by ordinal.
        extras: what else is kept of every document, by name.
        live: whether each document still exists; shape (n_documents,).

    """

    def __init__(self, bank: Bank, extras: Sequence[str] = ()) -> None:
        self.bank = bank
        self.records = Records(bank.journal)
        self.extras = {name: Ragged(bank.journal, name) for name in extras}
        self.live = np.ones(len(self.records), bool)
        self._starts = self._ends = np.zeros(0, np.int64)
        for commit in bank.journal.commits:
            self.live[commit.payload.get("deleted", [])] = False

    @classmethod
    def create(
        cls, folder: Path, dimensions: int, dtype: str, provenance: Mapping[str, Any], extras: Sequence[str] = ()
    ) -> Generation:
        """Make an empty generation, open for writing."""
        files = [*FILES, *(file for name in extras for file in Ragged.files(name))]
        return cls(Bank.create(folder, dimensions, dtype=dtype, provenance=provenance, extra_files=files), extras)

    @classmethod
    def open(cls, folder: Path, *, writable: bool, extras: Sequence[str] = ()) -> Generation:
        """Open a generation.

        Raises:
            ArtifactError: a file of it is missing or damaged; the message names the file.
            LockedError: `writable`, and another process is writing.

        """
        bank = Bank.open(folder, writable=writable)
        missing = {file for name in extras for file in Ragged.files(name)} - bank.journal.commits[0].ends.keys()
        if missing:
            bank.close()
            raise ArtifactError(f"does not hold {', '.join(sorted(missing))}", where=str(folder))
        return cls(bank, extras)

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
            self._ends = np.append(self._starts[1:], len(self.bank))[: len(self._starts)]
        return self._starts

    @property
    def ends(self) -> np.ndarray:
        """The bank row behind the last of every document; shape (n_documents,)."""
        return self._ends if len(self.starts) else self._ends[:0]

    def rows(self, ordinal: int) -> slice:
        """The bank rows of a document."""
        return slice(int(self.starts[ordinal]), int(self.ends[ordinal]))

    def rows_of(self, ordinals: np.ndarray) -> np.ndarray:
        """The bank rows of documents, ascending if `ordinals` is; shape (n,)."""
        return rows_of(ordinals, self.starts, len(self.bank))

    def ordinals(self) -> dict[str, int]:
        """The ordinal of every live document by its id."""
        ids = self.records.ids
        return {ids[ordinal]: int(ordinal) for ordinal in np.flatnonzero(self.live)}

    def read(self, ordinals: Sequence[int]) -> Addition:
        """All that is stored of some documents, to be added to another generation."""
        places = np.asarray(ordinals, np.int64)
        rows = self.rows_of(places)
        windows = [self.records.window(int(row)) for row in rows] if len(self.records.windows) else []
        return Addition(
            [self.records[int(ordinal)] for ordinal in ordinals],
            (self.ends[places] - self.starts[places]).tolist(),
            self.bank[rows],
            windows,
            {name: [extra[int(ordinal)] for ordinal in ordinals] for name, extra in self.extras.items()},
        )

    def add(self, new: Addition, deleted: Sequence[int] = ()) -> None:
        """Add documents and delete others, given by their ordinals, in one commit."""
        first = len(self.records)
        rows = np.repeat(np.arange(first, first + len(new.documents)), np.asarray(new.counts, np.int64))
        positions = np.concatenate([np.arange(count) for count in new.counts] or [np.zeros(0, np.int64)])
        try:
            self.bank.append(new.vectors, documents=rows, positions=positions)
            self.records.append(new.documents, new.windows)
            for name, extra in self.extras.items():
                extra.append(new.extras[name])
            self.bank.commit({"deleted": [int(ordinal) for ordinal in deleted]} if len(deleted) else {})
        except BaseException:
            self.bank.rollback()
            raise
        self.records.refresh()
        for extra in self.extras.values():
            extra.refresh()
        self.live = np.append(self.live, np.ones(len(new.documents), bool))
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
