"""Which rows are meant, and in which order they are visited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sememe.errors import InputError

_BLOCKS_A_BUFFER = 256


def row_numbers(rows: Any, n_rows: int) -> np.ndarray:
    """Turn a one-dimensional integer index into int64 row numbers; negative ones count from the end.

    Raises:
        InputError: it is not integers, not one-dimensional, or out of range.

    """
    index = np.asarray(rows)
    if index.size == 0 and index.ndim == 1:
        return np.zeros(0, np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise InputError(
            f"rows cannot be chosen by an array of {index.dtype} with shape {index.shape}",
            where="bank[rows]",
            hint="Give a slice or a one-dimensional array of integers; for a mask use np.flatnonzero(mask)",
        )
    outside = (index < -n_rows) | (index >= n_rows)
    if outside.any():
        raise InputError(f"there is no row {index[outside][0]}; the bank has {n_rows} rows", where="bank[rows]")
    numbers = index.astype(np.int64)
    return np.where(numbers < 0, numbers + n_rows, numbers)


def shuffled_groups(
    n_rows: int, buffer_rows: int, random_state: int, epoch: int
) -> Iterator[tuple[list[slice], np.ndarray]]:
    """The order of one epoch, as groups of contiguous blocks that are read together.

    The blocks of the bank are shuffled and dealt out to groups of about `buffer_rows` rows; within a group all rows
    are shuffled. A row's place depends on `random_state` and `epoch` alone, and on no other group, so a group can
    be skipped without being read.

    Yields:
        The slices to read, sorted, and the order of the rows in them.

    """
    block = max(1, buffer_rows // _BLOCKS_A_BUFFER)
    starts = np.arange(0, n_rows, block)
    order = np.random.default_rng([random_state, epoch]).permutation(starts)
    per_group = max(1, buffer_rows // block)
    for number, first in enumerate(range(0, len(order), per_group)):
        slices = [slice(int(s), min(int(s) + block, n_rows)) for s in np.sort(order[first : first + per_group])]
        size = sum(part.stop - part.start for part in slices)
        yield slices, np.random.default_rng([random_state, epoch, number]).permutation(size)
