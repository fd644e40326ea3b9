"""The documents of an index: records that lie beside the bank's vectors and are committed with them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sememe.corpus import Document, Window
from sememe.errors import ArtifactError
from sememe.journal import Journal

RECORDS = "records.jsonl"
RECORD_ENDS = "record_ends.bin"
IDS = "ids.jsonl"
WINDOWS = "windows.bin"
FILES = (RECORDS, RECORD_ENDS, IDS, WINDOWS)


class Records:
    """Documents by ordinal, and windows by bank row, in files of the index's journal.

    An ordinal is a document's place in the order of adding. It never changes and is never reused.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # Kept open: a compaction by another process removes the files, and this version must stay readable.
        self._file = os.open(journal.path(RECORDS), os.O_RDONLY)
        self._ids_file = os.open(journal.path(IDS), os.O_RDONLY)
        self._ids: list[str] = []
        self._ids_bytes = 0
        self.refresh()

    def refresh(self) -> None:
        """See what has been committed since."""
        self.ends = self._array(RECORD_ENDS, np.int64)
        self.windows = self._array(WINDOWS, np.int32).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, ordinal: int) -> Document:
        record = self._record(ordinal)
        return Document(record["id"], record["text"], record["title"], record["metadata"])

    def window(self, row: int) -> Window:
        """The part of its document's text that a bank row stands for."""
        start, end = self.windows[row].tolist()
        return Window(start, end)

    def metadata(self, ordinals: Iterable[int]) -> Iterable[dict[str, Any]]:
        """The metadata of documents, with `id` and `title` among them so that filters can name these too."""
        for ordinal in ordinals:
            record = self._record(ordinal)
            yield {**record["metadata"], "id": record["id"], "title": record["title"]}

    @property
    def ids(self) -> list[str]:
        """Every document's id by ordinal, deleted ones included."""
        if len(self._ids) < len(self):
            length = self._journal.length(IDS)
            with open(os.dup(self._ids_file), "rb") as stream:
                stream.seek(self._ids_bytes)
                data = stream.read(length - self._ids_bytes)
            self._ids += [json.loads(line) for line in data.splitlines()]
            self._ids_bytes = length
        return self._ids

    def append(self, documents: Sequence[Document], windows: Sequence[Window]) -> None:
        """Write documents and their windows; the index commits them together with the vectors."""
        end = int(self.ends[-1]) if len(self) else 0
        lines, ends = [], []
        for document in documents:
            record = {
                "id": document.id,
                "title": document.title,
                "text": document.text,
                "metadata": dict(document.metadata),
            }
            lines.append((json.dumps(record, ensure_ascii=False, sort_keys=True, default=str) + "\n").encode())
            end += len(lines[-1])
            ends.append(end)
        self._journal.append(RECORDS, b"".join(lines))
        self._journal.append(RECORD_ENDS, np.asarray(ends, "<i8").tobytes())
        self._journal.append(IDS, "".join(json.dumps(document.id) + "\n" for document in documents).encode())
        spans = np.asarray([(window.start, window.end) for window in windows], "<i4")
        self._journal.append(WINDOWS, spans.tobytes())

    def close(self) -> None:
        """Close the files of records and ids."""
        for file in {self._file, self._ids_file} - {-1}:
            os.close(file)
        self._file = self._ids_file = -1

    def _record(self, ordinal: int) -> dict[str, Any]:
        start = int(self.ends[ordinal - 1]) if ordinal else 0
        data = os.pread(self._file, int(self.ends[ordinal]) - start, start)
        try:
            record: dict[str, Any] = json.loads(data.decode())
        except ValueError as error:
            path = self._journal.path(RECORDS)
            raise ArtifactError(f"is damaged between bytes {start} and {start + len(data)}", where=str(path)) from error
        return record

    def _array(self, file: str, dtype: type) -> np.ndarray:
        length = self._journal.length(file)
        if length == 0:
            return np.zeros(0, dtype)
        shape = (length // np.dtype(dtype).itemsize,)
        # As a plain array: each piece of a memmap is an object with a life of its own.
        return np.asarray(np.memmap(self._journal.path(file), dtype=dtype, mode="r", shape=shape))
