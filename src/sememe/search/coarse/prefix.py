"""A first stage of short prefixes: the first m dimensions of every vector, one byte each, scanned whole.

Kusupati et al. (arXiv 2205.13147), section 4.3. It is for encoders that were trained to be cut, and for vectors that
`sememe.objectives.matryoshka.MatryoshkaAdapter` mapped; with others, `binary` finds more in as many bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.adaptive import truncate
from sememe.search.coarse.selecting import new_rows, sampled_rows, selector_of

ROWS_AT_ONCE = 16_384
DEFAULT_SHARE = 4  # by default a quarter of the dimensions ...
DEFAULT_LEAST = 16  # ... and at least so many, where there are as many
_UNIT_TOLERANCE = 0.02  # a bank of int8 keeps unit vectors to about half a percent


class Prefix:
    """Prefixes of the first rows of a bank, eight bits a dimension; see `sememe.search.coarse.stage.Coarse`.

    A prefix is brought to unit length when the vectors have unit length. Each dimension is cut into 256 steps between
    the least and the greatest value of a sample (faiss' `QT_8bit`); the query is not rounded. docs/matryoshka.md says
    what that saves and loses against float32.

    Attributes:
        dimensions: m, how many dimensions are kept.
        width: how many the vectors of the bank have.
        normalize: whether prefixes are brought to unit length.

    """

    kind: ClassVar[str] = "prefix"

    def __init__(self, steps: np.ndarray, codes: np.ndarray, *, width: int, normalize: bool) -> None:
        import faiss

        self.dimensions, self.width, self.normalize = codes.shape[1], width, normalize
        index: Any = faiss.IndexScalarQuantizer(
            self.dimensions, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        faiss.copy_array_to_vector(np.ascontiguousarray(steps, np.float32), index.sq.trained)
        faiss.copy_array_to_vector(np.ascontiguousarray(codes, np.uint8).reshape(-1), index.codes)
        index.ntotal = len(codes)
        index.is_trained = True
        self._index: Any = index

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Measure the range of each of the first `parameter` dimensions on a sample of rows."""
        width = bank.dimensions
        m = min(width, max(DEFAULT_LEAST, width // DEFAULT_SHARE)) if parameter is None else parameter
        if not 1 <= m <= width:
            raise InputError(f"cannot keep {m} of {width} dimensions", where=f"prefix:{m}", hint=f"Give 1 to {width}")
        if not len(bank):
            raise InputError("there are no vectors to measure", where=f"prefix:{m}")
        sample = bank[sampled_rows(bank, random_state)]
        lengths = np.linalg.norm(sample, axis=1)
        normalize = bool(np.all((np.abs(lengths - 1) < _UNIT_TOLERANCE) | (lengths == 0)))
        prefixes = truncate(sample, m, normalize=normalize)
        low = prefixes.min(axis=0)
        steps = np.concatenate([low, prefixes.max(axis=0) - low])  # as faiss keeps them
        return cls(steps, np.zeros((0, m), np.uint8), width=width, normalize=normalize)

    @property
    def n_rows(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        return self.n_rows * int(self.dimensions)

    def extend(self, bank: Bank) -> None:
        if bank.dimensions != self.width:
            raise InputError(f"the bank has {bank.dimensions} dimensions, the prefixes are of {self.width}")
        for _, vectors in new_rows(bank, self.n_rows, ROWS_AT_ONCE):
            self._index.add(np.ascontiguousarray(truncate(vectors, self.dimensions, normalize=self.normalize)))

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        import faiss

        if query.shape != (self.width,):
            raise InputError(f"the query has shape {query.shape}, the prefixes are of vectors of ({self.width},)")
        n = min(n, int(np.count_nonzero(allowed)))
        if n < 1:
            return np.zeros(0, np.int64)
        prefix = np.ascontiguousarray(query[None, : self.dimensions], np.float32)
        parameters: Any = faiss.SearchParameters
        scores, rows = self._index.search(prefix, n, params=parameters(sel=selector_of(allowed)))
        best: np.ndarray = rows[0][np.lexsort((rows[0], -scores[0]))]
        return best

    def scores(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The inner products of a query (d,) with the coded prefixes of rows (n,); shape (n,), float32."""
        import faiss

        if not len(rows):
            return np.zeros(0, np.float32)
        codes = faiss.rev_swig_ptr(self._index.codes.data(), self.n_rows * self.dimensions)
        chosen = np.ascontiguousarray(codes.reshape(self.n_rows, -1)[rows])
        prefixes: np.ndarray = self._index.sa_decode(chosen)
        return prefixes @ np.asarray(query[: self.dimensions], np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """What it consists of, by name."""
        import faiss

        codes = faiss.vector_to_array(self._index.codes).reshape(self.n_rows, self.dimensions)
        return {"codes": codes, "steps": faiss.vector_to_array(self._index.sq.trained)}

    def save(self, path: Path) -> None:
        card = {"width": self.width, "normalize": self.normalize}
        artifact.save(path, f"coarse-{self.kind}", self.arrays(), card)

    @classmethod
    def load(cls, path: Path) -> Self:
        arrays, card = artifact.load(path, f"coarse-{cls.kind}")
        try:
            return cls.from_arrays(arrays, card)
        except InputError as error:
            raise ArtifactError(error.message, where=str(path), hint="Make it again") from None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> Self:
        """Make it again from `arrays` and a card with `width` and `normalize`.

        Raises:
            InputError: they do not fit together.

        """
        steps, codes, width = arrays.get("steps"), arrays.get("codes"), card.get("width")
        if steps is None or codes is None or codes.ndim != 2 or steps.shape != (2 * codes.shape[1],):
            raise InputError("does not hold prefixes with their steps")
        if not isinstance(width, int) or not 1 <= codes.shape[1] <= width:
            raise InputError(f"holds {codes.shape[1]} of {width} dimensions")
        return cls(steps, codes, width=width, normalize=bool(card.get("normalize")))
