"""Rows of whole numbers for each document, as many as it happens to have, in two files of an index's journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sememe.journal import Journal

_VALUES, _ENDS = np.dtype("<i4"), np.dtype("<i8")
WIDTH = 3  # numbers in a row


class Ragged:
    """An array (n, 3) of int32 by ordinal; `name.bin` holds them one after another, `name_ends.bin` where each ends."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal, self._name = journal, name
        self.refresh()

    @staticmethod
    def files(name: str) -> tuple[str, str]:
        """The names of its files."""
        return f"{name}.bin", f"{name}_ends.bin"

    def refresh(self) -> None:
        """See what has been committed since."""
        values, ends = self.files(self._name)
        self._rows = self._mapped(values, _VALUES).reshape(-1, WIDTH)
        self._ends = self._mapped(ends, _ENDS)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, ordinal: int) -> np.ndarray:
        start = int(self._ends[ordinal - 1]) if ordinal else 0
        return np.array(self._rows[start : int(self._ends[ordinal])])

    def append(self, arrays: Sequence[np.ndarray]) -> None:
        """Write the arrays of new documents; the index commits them together with the vectors."""
        values, ends = self.files(self._name)
        last = int(self._ends[-1]) if len(self._ends) else 0
        counts = [len(array) for array in arrays]
        self._journal.append(values, b"".join(np.ascontiguousarray(array, _VALUES).tobytes() for array in arrays))
        self._journal.append(ends, (last + np.cumsum(counts, dtype=np.int64)).astype(_ENDS).tobytes())

    def _mapped(self, file: str, dtype: np.dtype[Any]) -> np.ndarray:
        length = self._journal.length(file)
        if length == 0:
            return np.zeros(0, dtype)
        return np.asarray(np.memmap(self._journal.path(file), dtype, "r", shape=(length // dtype.itemsize,)))
