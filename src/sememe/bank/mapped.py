"""One number or one vector a row, read from a file that is mapped into memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

# With more rows than this the system's own reading ahead does as well.
_MOST_ANNOUNCED = 4096


class MappedRows:
    """The first rows of a file; the system reads a page when it is first touched, and may drop it again.

    Attributes:
        array: the rows as they are stored; read-only.

    """

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        n_bytes = dtype.itemsize * int(np.prod(shape))
        self._map: mmap.mmap | None = None
        self.array = np.zeros(shape, dtype)
        self.array.flags.writeable = False
        if n_bytes:  # an empty file cannot be mapped
            with open(path, "rb") as stream:
                self._map = mmap.mmap(stream.fileno(), n_bytes, access=mmap.ACCESS_READ)
            self.array = np.frombuffer(self._map, dtype).reshape(shape)

    def announce(self, rows: np.ndarray) -> None:
        """Tell the system which rows (int64) are read next, so that it fetches them side by side.

        Without it a cold disk fetches one row after another, and much around each: 200 rows took 500 ms on a
        network disk, and 7 ms with it. Rows that are in memory already cost about a microsecond each.
        """
        if self._map is None or len(rows) > _MOST_ANNOUNCED:
            return
        width = self.array.strides[0]
        starts = rows * width
        pages = starts // mmap.PAGESIZE * mmap.PAGESIZE
        for start, size in zip(pages.tolist(), (starts - pages + width).tolist(), strict=True):
            self._map.madvise(mmap.MADV_WILLNEED, start, size)
