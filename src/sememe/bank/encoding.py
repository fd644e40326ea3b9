"""How a row of float32 numbers is kept on disk: as float32, as float16, or as int8 with one scale a row.

Errors of what is read back, for a row x:

- `float32`: none.
- `float16`: at most 2^-11 |x_i| for each number, and at most 2^-25 where |x_i| < 2^-14.
- `int8`: at most max|x| / 253 for each number (half a step of max|x| / 127, and rounding).

All three are idempotent: a row that was read back and stored again gives the same bytes. For int8 that is why a
scale keeps only 17 bits of its mantissa: 127 times the scale is then an exact float32, and so divides back to it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.errors import InputError

STORED: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2"), "int8": np.dtype("i1")}
SCALE: np.dtype[Any] = np.dtype("<f4")
_LARGEST = {"float32": np.finfo(np.float32).max, "float16": np.finfo(np.float16).max, "int8": np.finfo(np.float32).max}
_SMALLEST_SCALE = np.finfo(np.float32).tiny  # smaller numbers lose bits, and a scale of 0 would divide by 0
_MANTISSA_MASK = np.uint32(0xFFFFFF80)


@dataclass(frozen=True)
class Encoded:
    """Rows as they are stored; `scales` is there for int8 only."""

    values: np.ndarray
    scales: np.ndarray | None = None


def check_rows(vectors: np.ndarray, dtype: str, first_row: int) -> None:
    """Refuse rows that cannot be stored.

    Args:
        vectors: shape (n, d), of any float type.
        dtype: how they will be stored.
        first_row: the number that the first of them will have, for the message.

    Raises:
        InputError: a number is NaN, infinite or too large; the message names the row.

    """
    with np.errstate(invalid="ignore"):
        good = (np.abs(vectors) <= _LARGEST[dtype]).all(axis=1)
    if good.all():
        return
    number = int(np.argmin(good))
    column = int(np.argmin(np.abs(vectors[number]) <= _LARGEST[dtype]))
    value = vectors[number, column]
    what = f"is {value}" if not np.isfinite(value) else f"is {value}, too large for {dtype}"
    raise InputError(
        f"number {column} {what}",
        where=f"vectors[{number}] (row {first_row + number} of the bank)",
        hint="Leave such rows out, or find out why the model made them",
    )


def encode(vectors: np.ndarray, dtype: str) -> Encoded:
    """Turn checked rows (n, d) into what is stored."""
    if dtype != "int8":
        return Encoded(np.ascontiguousarray(vectors, STORED[dtype]))
    rows = np.ascontiguousarray(vectors, np.float32)
    largest = np.abs(rows).max(axis=1, initial=0)
    scales = ((largest / np.float32(127)).view(np.uint32) & _MANTISSA_MASK).view(np.float32)
    scales = np.maximum(scales, _SMALLEST_SCALE)
    values = np.rint(rows / scales[:, None]).astype(np.int8)
    return Encoded(values, scales.astype(SCALE))


def decode(encoded: Encoded) -> np.ndarray:
    """Turn what is stored into new float32 rows (n, d)."""
    rows = _widened(encoded.values)
    if encoded.scales is not None:
        rows *= np.asarray(encoded.scales, np.float32)[:, None]
    return rows


def _widened(values: np.ndarray) -> np.ndarray:
    """New float32 numbers, exactly as they were.

    NumPy widens half-precision numbers one at a time. torch, where something has loaded it, uses the processor's own
    instruction and gives the same bits several times faster; it is not loaded for this.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or values.dtype != np.float16 or not values.flags.c_contiguous:
        return np.array(values, np.float32, order="C")
    rows = np.empty(values.shape, np.float32)
    torch.from_numpy(rows).copy_(torch.from_numpy(np.asarray(_Unlocked(values))))
    return rows


class _Unlocked:
    """The same memory under an array that may be written, because torch warns of others; nobody writes."""

    def __init__(self, values: np.ndarray) -> None:
        interface = values.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}
        self._kept = values
