"""Binary codes with an unbiased estimate of the inner product: one bit a dimension and two numbers a row.

RaBitQ (Gao and Long, SIGMOD 2024), as faiss computes it: the signs of a vector around a centroid and two
correction factors, d/8 + 8 bytes a row. Nothing is trained but the centroid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search.coarse.selecting import new_rows, sampled_rows, search_parameters, selector_of

ROWS_AT_ONCE = 16_384
QUERY_BITS = 8


class RaBitQ:
    """RaBitQ codes of the first rows of a bank; see `sememe.search.coarse.stage.Coarse`.

    Attributes:
        centroid: what signs are taken around; shape (d,).

    """

    kind: ClassVar[str] = "binary"

    def __init__(self, centroid: np.ndarray, codes: np.ndarray) -> None:
        import faiss

        index: Any = faiss.index_factory(len(centroid), "RaBitQ", faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(np.ascontiguousarray(centroid, np.float32), index.center)
        faiss.copy_array_to_vector(np.ascontiguousarray(codes, np.uint8).reshape(-1), index.codes)
        index.ntotal = len(codes)
        index.is_trained = True
        self._index: Any = index
        self.centroid = centroid

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Take the centroid of sampled rows."""
        import faiss

        if parameter is not None:
            raise InputError(f"coarse 'binary' takes no number, not {parameter}")
        index: Any = faiss.index_factory(bank.dimensions, "RaBitQ", faiss.METRIC_INNER_PRODUCT)
        index.train(bank[sampled_rows(bank, random_state)])
        return cls(faiss.vector_to_array(index.center), np.zeros((0, code_bytes(bank.dimensions)), np.uint8))

    @property
    def n_rows(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        return self.n_rows * int(self._index.code_size)

    def extend(self, bank: Bank) -> None:
        for _, vectors in new_rows(bank, self.n_rows, ROWS_AT_ONCE):
            self._index.add(vectors)

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        parameters = search_parameters("RaBitQSearchParameters", qb=QUERY_BITS, sel=selector_of(allowed))
        _, rows = self._index.search(query.reshape(1, -1), min(n, self.n_rows), params=parameters)
        return np.asarray(rows[0][rows[0] >= 0])

    def save(self, path: Path) -> None:
        import faiss

        codes = faiss.vector_to_array(self._index.codes).reshape(self.n_rows, -1)
        artifact.save(path, f"coarse-{self.kind}", {"centroid": self.centroid, "codes": codes}, {})

    @classmethod
    def load(cls, path: Path) -> Self:
        arrays, _ = artifact.load(path, f"coarse-{cls.kind}")
        return cls(arrays["centroid"], arrays["codes"])


def code_bytes(dimensions: int) -> int:
    """The bytes of one code."""
    import faiss

    index: Any = faiss.IndexRaBitQ(dimensions, faiss.METRIC_INNER_PRODUCT)
    return int(index.code_size)
