"""The scan of product codes by look-up tables, restricted to allowed rows and with a fixed order of ties."""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_CENTROIDS = 256
_NEVER_NEAREST = 1e15  # fills the codebook up to the 256 codewords that one byte counts


class TableScan:
    """Codes in memory, and their best rows for a query.

    faiss's own scan accepts no filter and leaves open which of several equal scores it returns; this one does not.

    Args:
        codebook: the codewords; shape (M, K, d / M).
        codes: shape (n, M), uint8.

    """

    def __init__(self, codebook: np.ndarray, codes: np.ndarray) -> None:
        import faiss

        self._codebook = codebook
        m, k, width = codebook.shape
        index: Any = faiss.IndexPQ(m * width, m, 8, faiss.METRIC_INNER_PRODUCT)
        padded = np.full((m, MAX_CENTROIDS, width), _NEVER_NEAREST, np.float32)
        padded[:, :k] = codebook
        faiss.copy_array_to_vector(padded.reshape(-1), index.pq.centroids)
        index.is_trained = True
        self._index: Any = index
        faiss.copy_array_to_vector(np.ascontiguousarray(codes, np.uint8).reshape(-1), index.codes)
        index.ntotal = len(codes)

    @property
    def n(self) -> int:
        """How many codes there are."""
        return int(self._index.ntotal)

    @property
    def codes(self) -> np.ndarray:
        """A view of the codes, good until they change; (n, M)."""
        import faiss

        if not self.n:
            return np.zeros((0, len(self._codebook)), np.uint8)
        flat: np.ndarray = faiss.rev_swig_ptr(self._index.codes.data(), self._index.codes.size())
        return flat.reshape(self.n, -1)

    def add(self, codes: np.ndarray) -> None:
        """Append codes (m, M)."""
        self._index.add_sa_codes(np.ascontiguousarray(codes))

    def best(self, mapped: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The `n` best rows for a mapped query (d,) and their scores, ties by row."""
        asked = min(n + 1, self.n)
        while asked:  # until all that equal the last are there
            scores, rows = self._index.search(mapped.reshape(1, -1), asked)
            if asked == self.n or scores[0, -1] < scores[0, n - 1]:
                order = np.lexsort((rows[0], -scores[0]))[:n]
                return rows[0][order], scores[0][order]
            asked = min(2 * asked, self.n)
        return np.zeros(0, np.int64), np.zeros(0, np.float32)

    def best_allowed(self, mapped: np.ndarray, n: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `best`, among the rows where `allowed` (n,) is true."""
        n_allowed = int(np.count_nonzero(allowed))
        n = min(n, n_allowed)
        if n_allowed == self.n or not n:
            return self.best(mapped, n)
        if 2 * n_allowed < self.n:
            kept = np.flatnonzero(allowed)
            rows, scores = TableScan(self._codebook, self.codes[kept]).best(mapped, n)
            return kept[rows], scores
        asked = n + n * (self.n - n_allowed) // n_allowed
        while True:
            rows, scores = self.best(mapped, min(asked, self.n))
            inside = allowed[rows]
            if np.count_nonzero(inside) >= n:
                return rows[inside][:n], scores[inside][:n]
            asked *= 2
