"""Inverted lists over binary codes: a query looks only into the cells whose centroids are nearest to it.

The cells are those of k-means (Sivic and Zisserman, ICCV 2003); a row is kept in its cell as a RaBitQ code of its
distance from the cell's centroid, so what a query reads is a fraction of d/8 + 8 bytes a row.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search.centroids import kmeans_centroids
from sememe.search.coarse.rabitq import QUERY_BITS, ROWS_AT_ONCE, code_bytes
from sememe.search.coarse.selecting import new_rows, sampled_rows, search_parameters, selector_of

ROWS_PER_CELL = 39  # faiss asks for as many rows a cell to learn it
CANDIDATES_OF_SHARE = 100  # whoever asks for more candidates than this is shown more cells, too
ROW_ID_BYTES = 8


class InvertedLists:
    """Cells of binary codes; see `sememe.search.coarse.stage.Coarse`. The parameter is the number of cells.

    Attributes:
        centroids: of the cells; shape (n_cells, d).
        n_probed: how many cells a query for up to 100 candidates looks into, sqrt(n_cells): 8 of the 64 cells of 5,000
            abstracts and 63 of the 4,000 of a million vectors were needed for a recall@10 of 0.98. For more candidates
            it looks into more, and so it does when it finds too few rows.

    """

    kind: ClassVar[str] = "ivf"

    def __init__(self, centroids: np.ndarray, cells: np.ndarray, codes: np.ndarray) -> None:
        import faiss

        self.centroids = np.ascontiguousarray(centroids, np.float32)
        n_cells, d = self.centroids.shape
        self.n_probed = math.ceil(math.sqrt(n_cells))
        # A row belongs to its nearest centroid, and a query looks where its mean inner product is highest.
        self._nearest: Any = faiss.IndexFlatL2(d)
        self._nearest.add(self.centroids)
        self._quantizer: Any = faiss.IndexFlatIP(d)
        self._quantizer.add(self.centroids)
        self._index: Any = faiss.IndexIVFRaBitQ(self._quantizer, d, n_cells, faiss.METRIC_INNER_PRODUCT)
        self._index.is_trained = True
        self._cells = np.zeros(0, np.int32)
        self._insert(cells, codes)

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Learn the cells by k-means from sampled rows; by default 4 sqrt(n) of them."""
        n_cells = parameter if parameter is not None else max(1, round(4 * math.sqrt(len(bank))))
        n_cells = n_cells if parameter is not None else min(n_cells, max(1, len(bank) // ROWS_PER_CELL))
        if not 1 <= n_cells <= len(bank):
            raise InputError(f"coarse 'ivf:{n_cells}' needs 1 to {len(bank):,} cells, as many as there are vectors")
        sample = bank[sampled_rows(bank, random_state, max(ROWS_PER_CELL * n_cells, 10_000))]
        centroids = kmeans_centroids(sample, n_cells, random_state=random_state)
        return cls(centroids, np.zeros(0, np.int32), np.zeros((0, code_bytes(bank.dimensions)), np.uint8))

    @property
    def n_rows(self) -> int:
        return len(self._cells)

    @property
    def nbytes(self) -> int:
        return int(self.n_rows * (self._index.code_size + ROW_ID_BYTES) + self.centroids.nbytes)

    def extend(self, bank: Bank) -> None:
        for _, vectors in new_rows(bank, self.n_rows, ROWS_AT_ONCE):
            _, cells = self._nearest.search(vectors, 1)
            self._insert(cells[:, 0], self._encode(vectors, cells[:, 0]))

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        selector, wanted = selector_of(allowed), min(n, int(np.count_nonzero(allowed)))
        n_probed = min(len(self.centroids), math.ceil(self.n_probed * max(1.0, n / CANDIDATES_OF_SHARE)))
        while True:
            parameters = search_parameters("IVFRaBitQSearchParameters", qb=QUERY_BITS, nprobe=n_probed, sel=selector)
            _, rows = self._index.search(query.reshape(1, -1), max(1, min(n, self.n_rows)), params=parameters)
            found = rows[0][rows[0] >= 0]
            if len(found) >= wanted or n_probed >= len(self.centroids):
                return np.asarray(found)
            n_probed = min(2 * n_probed, len(self.centroids))

    def save(self, path: Path) -> None:
        arrays = {"centroids": self.centroids, "cells": self._cells, "codes": self._codes()}
        artifact.save(path, f"coarse-{self.kind}", arrays, {})

    @classmethod
    def load(cls, path: Path) -> Self:
        arrays, _ = artifact.load(path, f"coarse-{cls.kind}")
        return cls(arrays["centroids"], arrays["cells"], arrays["codes"])

    def _encode(self, vectors: np.ndarray, cells: np.ndarray) -> np.ndarray:
        codes = np.empty((len(vectors), self._index.code_size), np.uint8)
        import faiss

        cells = np.ascontiguousarray(cells, np.int64)
        self._index.encode_vectors(len(vectors), faiss.swig_ptr(vectors), faiss.swig_ptr(cells), faiss.swig_ptr(codes))
        return codes

    def _insert(self, cells: np.ndarray, codes: np.ndarray) -> None:
        import faiss

        first = self.n_rows
        for cell in np.unique(cells):
            inside = np.flatnonzero(cells == cell)
            rows, part = np.ascontiguousarray(first + inside, np.int64), np.ascontiguousarray(codes[inside])
            self._index.invlists.add_entries(int(cell), len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(part))
        self._cells = np.concatenate([self._cells, cells.astype(np.int32)])
        self._index.ntotal = self.n_rows

    def _codes(self) -> np.ndarray:
        import faiss

        codes = np.empty((self.n_rows, self._index.code_size), np.uint8)
        lists = self._index.invlists
        for cell in range(len(self.centroids)):
            size = lists.list_size(cell)
            if size:
                rows = faiss.rev_swig_ptr(lists.get_ids(cell), size)
                codes[rows] = faiss.rev_swig_ptr(lists.get_codes(cell), size * self._index.code_size).reshape(size, -1)
        return codes
