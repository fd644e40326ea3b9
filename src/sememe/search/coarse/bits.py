"""What the first stages of plain binary codes share: a linear map, its signs as codes, a Hamming scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.hamming import Neighbours, code_neighbours
from sememe.search.coarse.selecting import new_rows

BLOCK_ROWS = 1024


class LinearBits:
    """Bit j of a vector is 1 where m_j . (x - mean) > 0; kinds differ in how they learn the map.

    The query is coded like the rows (symmetric distance). Subclasses set `kind` and learn `mean` and `matrix` in `fit`.

    Attributes:
        mean: taken off every vector; shape (d,).
        matrix: the directions m_j; shape (n_bits, d).
        codes: packed; shape (n_rows, ceil(n_bits / 8)), uint8.

    """

    kind: ClassVar[str]

    def __init__(self, mean: np.ndarray, matrix: np.ndarray, codes: np.ndarray | None = None) -> None:
        self.mean, self.matrix = np.asarray(mean, np.float32), np.asarray(matrix, np.float32)
        n_bytes = -(-len(self.matrix) // 8)
        self.codes = np.zeros((0, n_bytes), np.uint8) if codes is None else np.ascontiguousarray(codes, np.uint8)
        if self.codes.ndim != 2 or self.codes.shape[1] != n_bytes:
            raise InputError(f"codes of {len(self.matrix)} bits are {n_bytes} bytes, not {self.codes.shape[1:]}")

    @property
    def n_bits(self) -> int:
        return len(self.matrix)

    @property
    def n_rows(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.mean.nbytes + self.matrix.nbytes

    def extend(self, bank: Bank) -> None:
        if bank.dimensions != self.matrix.shape[1]:
            raise InputError(
                f"holds vectors of {bank.dimensions} dimensions, the codes are of {self.matrix.shape[1]}",
                where=str(bank.path),
            )
        # Whole blocks, the first anew: a product of fixed shape rounds alike however the rows came.
        first = self.n_rows - self.n_rows % BLOCK_ROWS
        blocks = [self.encode(vectors) for _, vectors in new_rows(bank, first, BLOCK_ROWS)]
        self.codes = np.concatenate([self.codes[:first], *blocks])

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Codes of vectors (n, d); shape (n, ceil(n_bits / 8)), uint8."""
        codes = []
        for start in range(0, len(vectors), BLOCK_ROWS):
            block = np.zeros((BLOCK_ROWS, self.matrix.shape[1]), np.float32)
            part = vectors[start : start + BLOCK_ROWS]
            block[: len(part)] = part - self.mean
            codes.append(np.packbits((block @ self.matrix.T)[: len(part)] > 0, axis=1))
        return np.concatenate([self.codes[:0], *codes])

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        if query.shape != (self.matrix.shape[1],):
            raise InputError(f"the query has shape {query.shape}, the codes are of vectors of {self.matrix.shape[1:]}")
        return self.candidates_of_code(self.encode(query[None])[0], n=n, allowed=allowed).rows

    def candidates_of_code(
        self,
        code: np.ndarray,
        *,
        n: int | None = None,
        radius: int | None = None,
        allowed: np.ndarray | None = None,
    ) -> Neighbours:
        """The allowed rows whose codes are nearest to a packed code; see `hamming.code_neighbours`."""
        return code_neighbours(code, self.codes, n=n, radius=radius, allowed=allowed)

    def save(self, path: Path) -> None:
        arrays: dict[str, np.ndarray] = {"mean": self.mean, "matrix": self.matrix, "codes": self.codes}
        artifact.save(path, f"coarse-{self.kind}", arrays, {})

    @classmethod
    def load(cls, path: Path) -> Self:
        arrays, _ = artifact.load(path, f"coarse-{cls.kind}")
        found: dict[str, Any] = {name: array.shape for name, array in arrays.items()}
        matrix = arrays.get("matrix")
        if matrix is None or matrix.ndim != 2 or found.get("mean") != matrix.shape[1:] or "codes" not in arrays:
            raise ArtifactError(f"does not hold binary codes: {found}", where=str(path), hint="Make it again")
        return cls(arrays["mean"], matrix, arrays["codes"])


def whole_bits(parameter: int | None, kind: str, default: int, most: int | None = None) -> int:
    """The number of bits that `kind:parameter` asks for.

    Raises:
        InputError: it is below 1 or above `most`.

    """
    n_bits = default if parameter is None else parameter
    if n_bits < 1 or (most is not None and n_bits > most):
        limit = f"1 to {most}" if most is not None else "at least 1"
        raise InputError(f"cannot make codes of {n_bits} bits", where=f"{kind}:{n_bits}", hint=f"Give {limit}")
    return n_bits
