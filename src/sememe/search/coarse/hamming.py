"""Packed binary codes and their Hamming distance: exact search, the size of Hamming balls, how bits are used.

A code of b bits takes ceil(b / 8) bytes; bits that fill the last byte are 0 in every code and so change no distance.
Distances are small whole numbers, so ties are the rule: equal distances are ordered by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any, NamedTuple

import numpy as np

from sememe.errors import InputError

REPORTED_ROWS = 100_000


def hamming_distances(code: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """How many bits of each code differ from those of `code`; shape (n,), int32.

    Args:
        code: shape (n_bytes,), uint8.
        codes: shape (n, n_bytes), uint8.

    """
    import faiss

    n_bytes = codes.shape[1]
    if code.shape != (n_bytes,) or code.dtype != np.uint8 or codes.dtype != np.uint8:
        raise InputError(
            f"a code is {n_bytes} bytes (uint8), not {code.dtype} of shape {code.shape}", where="hamming_distances"
        )
    found = np.empty(len(codes), np.int32)
    if len(codes):
        code, codes = np.ascontiguousarray(code), np.ascontiguousarray(codes)
        count: Any = vars(faiss)["hammings"]  # faiss has it, its type stubs do not
        count(faiss.swig_ptr(code), faiss.swig_ptr(codes), 1, len(codes), n_bytes, faiss.swig_ptr(found))
    return found


def nearest(distances: np.ndarray, n: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """The `n` allowed rows at the smallest distances, by distance and then by row; fewer when fewer are allowed."""
    rows = np.arange(len(distances)) if allowed is None else np.flatnonzero(allowed)
    of_allowed = distances[rows]
    n = min(n, len(rows))
    if n < 1:
        return np.zeros(0, np.int64)
    if n < len(rows):
        # Distances are small integers: count them instead of sorting them.
        limit = int(np.searchsorted(np.cumsum(np.bincount(of_allowed)), n))
        rows, of_allowed = rows[of_allowed <= limit], of_allowed[of_allowed <= limit]
    found: np.ndarray = rows[np.argsort(of_allowed, kind="stable")[:n]]
    return found


class Neighbours(NamedTuple):
    """Rows of the nearest codes, by distance and then by row, and their distances; int64 and int32."""

    rows: np.ndarray
    distances: np.ndarray


def hamming_search(
    query_codes: np.ndarray, codes: np.ndarray, *, k: int | None = None, radius: int | None = None
) -> list[Neighbours]:
    """The codes nearest to each query code, exactly.

    Args:
        query_codes: shape (n_queries, n_bytes), uint8.
        codes: shape (n, n_bytes), uint8.
        k: how many; give this or `radius`, or both.
        radius: the largest distance.

    Raises:
        InputError: neither `k` nor `radius` is given, or the codes have different lengths.

    """
    return [code_neighbours(code, codes, n=k, radius=radius) for code in query_codes]


def code_neighbours(
    code: np.ndarray,
    codes: np.ndarray,
    *,
    n: int | None = None,
    radius: int | None = None,
    allowed: np.ndarray | None = None,
) -> Neighbours:
    """The `n` nearest allowed codes, or all within a radius, or both conditions together; see `hamming_search`."""
    if n is None and radius is None:
        raise InputError("give a number of codes, a radius, or both", where="code_neighbours")
    distances = hamming_distances(code, codes)
    rows = nearest(distances, len(codes) if n is None else n, allowed)
    if radius is not None:
        rows = rows[distances[rows] <= radius]
    return Neighbours(rows, distances[rows])


def ball_size(n_bits: int, radius: int) -> int:
    """How many codes of `n_bits` bits differ from one code in at most `radius` bits, itself included."""
    return sum(comb(n_bits, distance) for distance in range(min(n_bits, radius) + 1))


@dataclass(frozen=True, eq=False)
class BitReport:
    """How the bits of codes are used.

    Attributes:
        balance: the share of ones of each bit; shape (n_bits,).
        entropy: of each bit, in bits: 1 when balanced, 0 when it is always the same; shape (n_bits,).
        dead: how many bits are always the same.
        correlation: mean |correlation| of pairs of bits that are not dead; 0 when there is no pair.

    """

    balance: np.ndarray
    entropy: np.ndarray
    dead: int
    correlation: float

    @property
    def bits_used(self) -> float:
        """The sum of entropies: at most so many bits of information does a code hold."""
        return float(self.entropy.sum())


def bit_report(codes: np.ndarray, n_bits: int) -> BitReport:
    """Measure how bits are used, on at most 100,000 codes spread evenly over all.

    Args:
        codes: shape (n, n_bytes), uint8, n > 0.
        n_bits: how many bits count; the rest fills the last byte.

    """
    if not len(codes) or not 0 < n_bits <= 8 * codes.shape[1]:
        raise InputError(f"cannot measure {n_bits} bits of codes of shape {codes.shape}", where="bit_report")
    step = -(-len(codes) // REPORTED_ROWS)
    bits = np.unpackbits(codes[::step], axis=1, count=n_bits).astype(np.float32)
    balance = bits.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(balance * (1 - balance))
    alive = np.flatnonzero(deviation)
    centred = (bits[:, alive] - balance[alive]) / deviation[alive]
    correlations = np.abs(centred.T @ centred) / len(bits)
    pairs = correlations[np.triu_indices(len(alive), 1)]
    p = np.stack([balance, 1 - balance])
    entropy = -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=0)
    return BitReport(balance, entropy, n_bits - len(alive), float(pairs.mean()) if len(pairs) else 0.0)
