"""Vectors on disk with their provenance: appendable, resumable, memory-mapped. See docs/bank.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from sememe.bank import layout
from sememe.bank.encoding import SCALE, STORED, Encoded, check_rows, decode, encode
from sememe.bank.layout import DOCUMENTS, IDS, POSITIONS, SCALES, VECTORS
from sememe.bank.mapped import MappedRows
from sememe.bank.rows import row_numbers, shuffled_groups
from sememe.errors import InputError
from sememe.journal import Journal

VERIFY_BYTES = 1 << 30
BUFFER_BYTES = 256 << 20
_BLOCK_BYTES = 32 << 20


class Bank:
    """A folder of vectors that grows by commits.

    Open it with `Bank.create` or `Bank.open`. One process may write while many read: a reader keeps the version it
    opened until it calls `refresh`. A writer reads what it has committed. Rows are never changed or removed.

    Attributes:
        path: the folder.
        dimensions: the length d of every vector.
        dtype: how numbers are stored: `float32`, `float16` or `int8`. What is read is always float32;
            `sememe.bank.encoding` states the errors.
        provenance: what made the vectors: model, site, corpus, ...
        documents: the document's ordinal of every row; shape (n,), int64, memory-mapped, read-only.
        positions: the token's or window's position in its document; shape (n,), int32, memory-mapped, read-only.
        journal: the commits. An index keeps further files in the bank's folder and commits them with it.

    """

    documents: np.ndarray
    positions: np.ndarray

    def __init__(self, journal: Journal) -> None:
        header = layout.read_header(journal)
        self.journal = journal
        self.path: Path = journal.folder
        self.dimensions = header.dimensions
        self.dtype = header.dtype
        self.provenance: Mapping[str, Any] = header.provenance
        self._document_ids: list[str] = []
        self._map()

    @classmethod
    def create(
        cls,
        path: str | Path,
        dimensions: int,
        *,
        dtype: str = "float32",
        provenance: Mapping[str, Any],
        extra_files: Sequence[str] = (),
    ) -> Self:
        """Make an empty bank, open for writing.

        Args:
            path: a folder that does not hold a bank yet.
            dimensions: the length of every vector.
            dtype: `float32`, `float16` or `int8`.
            provenance: JSON values that say what makes the vectors.
            extra_files: names of further append-only files that the caller commits together with the vectors.

        Raises:
            InputError: the dimensions, the dtype or the provenance cannot be used.
            ArtifactError: there is a bank already, or the folder cannot be written.

        """
        header = layout.make_header(dimensions, dtype, provenance)
        return cls(Journal.create(path, [*layout.files(dtype), *extra_files], header))

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False, verify_bytes: int = VERIFY_BYTES) -> Self:
        """Open a bank.

        Args:
            path: its folder.
            writable: take the folder's writer lock and cut off what a killed writer had not committed.
            verify_bytes: compare the checksums of a bank that is at most this large; 0 leaves that to `verify`.

        Raises:
            ArtifactError: it is not a bank, is damaged, or is of a newer format; the message names the file.
            LockedError: `writable`, and another process is writing.

        """
        journal = layout.open_journal(Path(path), writable=writable)
        try:
            bank = cls(journal)
            if bank.nbytes <= verify_bytes:
                bank.verify()
        except BaseException:
            journal.close()
            raise
        return bank

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def nbytes(self) -> int:
        """The committed bytes of all files, those of an index that lives in the same folder included."""
        return sum(self.journal.commits[-1].ends.values())

    @property
    def row_bytes(self) -> int:
        """The bytes that reading the vector of one row takes."""
        scale = SCALE.itemsize if self.dtype == "int8" else 0
        return STORED[self.dtype].itemsize * self.dimensions + scale

    @property
    def fingerprint(self) -> str:
        """A hash of the content and the provenance, made from the journal's checksums without reading the vectors.

        It does not depend on how the content was split into commits. It recognises what changed by accident; it is
        no protection against somebody who wants two banks to look alike.
        """
        return layout.fingerprint(self.journal, self.dtype)

    def append(
        self,
        vectors: np.ndarray,
        *,
        documents: Sequence[int] | np.ndarray | None = None,
        positions: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        """Write rows behind the last one. They can be read, and survive a kill, only after `commit`.

        Args:
            vectors: shape (n, d), float16, float32 or float64, finite; n may be 0. Not changed.
            documents: the document's ordinal of each row; by default every row is its own document.
            positions: the position of each row in its document; by default 0.

        Raises:
            InputError: shape, type or a number cannot be used; the message names the row. Nothing is appended.

        """
        vectors = self._checked(vectors)
        first = len(self) + self._n_pending
        ordinals = layout.integers(documents, len(vectors), np.arange(first, first + len(vectors)), DOCUMENTS)
        places = layout.integers(positions, len(vectors), np.zeros(len(vectors)), POSITIONS)
        with self.journal.all_or_nothing():
            for start, stop in self._blocks(len(vectors)):
                block = encode(vectors[start:stop], self.dtype)
                self.journal.append(VECTORS, block.values.tobytes())
                if block.scales is not None:
                    self.journal.append(SCALES, block.scales.tobytes())
            self.journal.append(DOCUMENTS, ordinals.tobytes())
            self.journal.append(POSITIONS, places.tobytes())
        self._n_pending += len(vectors)

    def append_document_ids(self, ids: Sequence[str]) -> None:
        """Write the ids of the next documents, in the order of their ordinals; `commit` commits them too.

        They are what `source` reads. A bank whose owner keeps the documents itself does without.
        """
        self.journal.append(IDS, "".join(json.dumps(name) + "\n" for name in ids).encode("ascii"))

    def commit(self, payload: Mapping[str, Any] | None = None) -> None:
        """Make everything appended since the last commit durable and visible to readers that open from now on.

        Args:
            payload: JSON values to keep with this commit, in `journal.commits`.

        Raises:
            ArtifactError: the disk is full or failing; everything since the last commit is then rolled back.

        """
        try:
            self.journal.commit(payload or {})
        except BaseException:
            self.rollback()
            raise
        self._map()

    def rollback(self) -> None:
        """Forget what was appended since the last commit."""
        self.journal.rollback()
        self._n_pending = 0

    def refresh(self) -> bool:
        """See what a writer has committed since this reader was opened; return whether there was something.

        Raises:
            ArtifactError: the folder was replaced by another bank.

        """
        is_new = self.journal.refresh()
        if is_new:
            self._map()
        return is_new

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """Read rows into a new float32 array (n, d), in the asked order; a row may be asked for twice.

        Rows are read from disk once each and in the order in which they lie there.

        Raises:
            InputError: not a slice or one-dimensional integers, or out of range.

        """
        if isinstance(rows, slice):
            return self._read(rows)
        numbers = row_numbers(rows, len(self))
        if (numbers[1:] > numbers[:-1]).all():
            return self._read(numbers)
        unique, inverse = np.unique(numbers, return_inverse=True)
        return self._read(unique)[inverse]

    def batches(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """All rows in order, `size` at a time: the number of the first row, and the rows as float32, to be read only.

        Rows that are stored as float32 are not copied: a scan of all of them costs no more than reading them.
        """
        size = layout.positive(size, "size")
        as_stored = self.dtype == "float32"
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield start, self._vectors.array[rows] if as_stored else self[rows]

    def shuffled(
        self,
        batch_size: int,
        random_state: int = 0,
        epochs: int = 1,
        *,
        start_batch: int = 0,
        buffer_rows: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Batches of float32 rows in random order, without holding the bank in memory.

        Contiguous blocks of rows are read in random order, `buffer_rows` rows at a time, and all rows in that buffer
        are shuffled. A bank that fits into the buffer is so shuffled completely; in a larger one, rows that lie in
        one block come out close to each other. Every row comes exactly once an epoch; the last batch of an epoch
        may be smaller. The order depends on the arguments, `len(bank)` and `dimensions`, and on nothing else.

        Args:
            batch_size: rows in a batch.
            random_state: the seed; 0 or more.
            epochs: how often to go through the bank, each time in another order.
            start_batch: how many batches to skip, counted over all epochs, to go on where an earlier run stopped.
                Skipping reads nothing that is not needed.
            buffer_rows: rows held in memory; by default as many as make 256 MiB of float32.

        """
        layout.positive(batch_size, "batch_size")
        buffer_rows = layout.positive(buffer_rows or max(1, BUFFER_BYTES // (4 * self.dimensions)), "buffer_rows")
        if min(random_state, start_batch, epochs) < 0:
            raise InputError("random_state, start_batch and epochs must not be negative", where="bank.shuffled")
        first_epoch, skip = divmod(start_batch, max(1, -(-len(self) // batch_size)))
        for epoch in range(first_epoch, epochs):
            groups = shuffled_groups(len(self), buffer_rows, random_state, epoch)
            yield from self._epoch(groups, batch_size, skip * batch_size)
            skip = 0

    @property
    def document_ids(self) -> list[str]:
        """The documents' ids by ordinal; empty when none were given."""
        if not self._document_ids:
            self._document_ids = layout.read_ids(self.journal)
        return self._document_ids

    def source(self, row: int) -> tuple[str, int]:
        """The id of the document that a row comes from, and the position in it.

        Raises:
            InputError: there is no such row, or the bank was given no document ids.

        """
        number = int(row_numbers([row], len(self))[0])
        ordinal = int(self.documents[number])
        if ordinal >= len(self.document_ids):
            raise InputError(f"the id of document {ordinal} was not stored", where=str(self.path))
        return self.document_ids[ordinal], int(self.positions[number])

    def verify(self) -> None:
        """Read everything and compare it with the checksums.

        Raises:
            ArtifactError: a file is damaged; the message names it and the bytes.

        """
        self.journal.verify()

    def close(self) -> None:
        """Close the files and let another writer in; what was not committed is lost."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Bank({str(self.path)!r}, {len(self)} x {self.dimensions} {self.dtype})"

    def _map(self) -> None:
        n = layout.n_rows(self.journal, self.dimensions, self.dtype)
        self._n_pending = 0
        self._document_ids = []
        path = self.journal.path
        self._vectors = MappedRows(path(VECTORS), STORED[self.dtype], (n, self.dimensions))
        self._scales = MappedRows(path(SCALES), SCALE, (n,)) if self.dtype == "int8" else None
        self.documents = MappedRows(path(DOCUMENTS), layout.INTEGERS[DOCUMENTS], (n,)).array
        self.positions = MappedRows(path(POSITIONS), layout.INTEGERS[POSITIONS], (n,)).array

    def _read(self, rows: slice | np.ndarray) -> np.ndarray:
        # A bank small enough to be verified when it is opened has just been read.
        if isinstance(rows, np.ndarray) and self.nbytes > VERIFY_BYTES:
            self._vectors.announce(rows)
        return decode(Encoded(self._vectors.array[rows], None if self._scales is None else self._scales.array[rows]))

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        vectors = np.asarray(vectors)
        where = f"vectors with shape {vectors.shape}"
        if vectors.ndim != 2 or vectors.shape[1] != self.dimensions:
            raise InputError(f"the bank holds vectors of shape (n, {self.dimensions})", where=where)
        if vectors.dtype.kind != "f":
            hint = "Turn them into float32 first"
            raise InputError(f"are {vectors.dtype}, not floating-point numbers", where=where, hint=hint)
        for start, stop in self._blocks(len(vectors)):
            check_rows(vectors[start:stop], self.dtype, len(self) + self._n_pending + start)
        return vectors

    def _blocks(self, n: int) -> Iterator[tuple[int, int]]:
        """Pieces that keep temporary copies small."""
        size = max(1, _BLOCK_BYTES // (8 * self.dimensions))
        for start in range(0, n, size):
            yield start, min(start + size, n)

    def _epoch(
        self, groups: Iterator[tuple[list[slice], np.ndarray]], batch_size: int, skip: int
    ) -> Iterator[np.ndarray]:
        waiting = np.zeros((0, self.dimensions), np.float32)
        for slices, order in groups:
            if skip >= len(order):
                skip -= len(order)
                continue
            rows = np.concatenate([self._read(part) for part in slices])[order[skip:]]
            skip = 0
            waiting = np.concatenate([waiting, rows]) if len(waiting) else rows
            full = len(waiting) // batch_size * batch_size
            for start in range(0, full, batch_size):
                yield waiting[start : start + batch_size].copy()
            waiting = waiting[full:].copy()
        if len(waiting):
            yield waiting
