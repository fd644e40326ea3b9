"""The atomic inner product: angles between representations that no linear change of coordinates alters.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), section 3: S = c^2 (D D^T)^-1 is the minimiser of
|c^2 I - D^T S D| for a dictionary D of full row rank, and it is estimated by the inverse of the uncentred second
moment of activations, (E[m m^T])^-1, which is proportional to it when codes are white.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from sememe.atoms.weights import check_vectors
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.bank import Bank

Source = Literal["corpus", "centered", "dictionary", "euclidean"]
RIDGE = 1e-6
NULL = 1e-10  # an eigenvalue below this share of the mean one is rounding
_BLOCK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class AtomicInnerProduct:
    """<u, v> = u^T S v with S = (C + ridge * trace(C) / d * I)^-1.

    Directions in which the vectors have no extent at all count for nothing: there S is 0, not 1 / ridge. Embeddings
    have such directions (MiniLM three of 384), and what an atom happens to hold there would outweigh all the rest.

    Attributes:
        moment: C (d, d), float64, symmetric.
        source: what C is. `corpus` (the paper's): the uncentred second moment E[m m^T] of activations. `centered`:
            their covariance, the control that shows what centring alone does. `dictionary`: D D^T of given atoms.
            `euclidean`: the identity.
        n: how many vectors C was estimated from.
        ridge: see above.
    """

    moment: np.ndarray
    source: str
    n: int
    ridge: float = RIDGE

    @classmethod
    def fit(
        cls,
        data: Bank | np.ndarray,
        *,
        source: Source = "corpus",
        ridge: float = RIDGE,
        rows: np.ndarray | None = None,
    ) -> Self:
        """Estimate the inner product.

        Angles of the vectors that it was estimated from are right by construction: measure them on other vectors.

        Args:
            data: activations (n, d), as an array or a bank; for `source="dictionary"` the atoms (n_atoms, d).
            source: see the class.
            ridge: share of the mean eigenvalue that is added to every eigenvalue.
            rows: sorted numbers of the rows to use; all by default.

        Raises:
            InputError: an option is not known; the vectors are not finite; or there are fewer of them than
                dimensions, or they span fewer, and no ridge.
        """
        if source not in get_args(Source):
            raise InputError(f"there is no source {source!r}", hint=f"Choose from {', '.join(get_args(Source))}")
        if not (np.isfinite(ridge) and ridge >= 0):
            raise InputError(f"ridge is {ridge}", hint="Give a number of at least 0")
        total, moment, n = _moments(data, rows)
        d = len(total)
        if source == "euclidean":
            return cls(np.eye(d), source, n, 0.0)
        if n < d and (ridge == 0 or source == "dictionary"):
            what = "atoms" if source == "dictionary" else "vectors"
            raise InputError(
                f"{n} {what} do not span {d} dimensions, so the inner product has no inverse",
                where="AtomicInnerProduct.fit",
                hint="Give more" if source == "dictionary" else "Give more, or a ridge above 0",
            )
        if source == "dictionary":
            return cls(moment, source, n, ridge)
        moment /= n
        if source == "centered":
            moment -= np.outer(total / n, total / n)
        found = cls(moment, source, n, ridge)
        found.spectrum  # noqa: B018  refuses what has no inverse now, not at the first use
        return found

    @cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (rank,), ridge included, ascending, and eigenvectors (d, rank) in columns.

        Raises:
            InputError: C has no inverse, and no ridge.
        """
        d = len(self.moment)
        eigenvalues, eigenvectors = np.linalg.eigh(self.moment)
        mean = float(np.trace(self.moment)) / d
        spanned = eigenvalues > NULL * mean
        rank = int(spanned.sum())
        if rank < d and (self.ridge == 0 or rank == 0):
            raise InputError(
                f"the vectors span {rank} of {d} dimensions, so the inner product has no inverse",
                where="AtomicInnerProduct",
                hint="Give a ridge above 0, such as 1e-6",
            )
        return eigenvalues[spanned] + self.ridge * mean, eigenvectors[:, spanned]

    @property
    def rank(self) -> int:
        """In how many dimensions the vectors have an extent."""
        return len(self.spectrum[0])

    @property
    def dimensions(self) -> int:
        return len(self.moment)

    @property
    def condition(self) -> float:
        """The condition number of C with its ridge: largest by smallest eigenvalue."""
        eigenvalues, _ = self.spectrum
        return float(eigenvalues[-1] / eigenvalues[0])

    @property
    def matrix(self) -> np.ndarray:
        """S (d, d), float64."""
        eigenvalues, eigenvectors = self.spectrum
        inverse: np.ndarray = (eigenvectors / eigenvalues) @ eigenvectors.T
        return inverse

    @cached_property
    def root(self) -> np.ndarray:
        """S^(1/2) (d, d), float64, symmetric: `X @ root` are whitened rows."""
        eigenvalues, eigenvectors = self.spectrum
        root: np.ndarray = (eigenvectors / np.sqrt(eigenvalues)) @ eigenvectors.T
        return root

    @cached_property
    def inverse_root(self) -> np.ndarray:
        """S^(-1/2) (d, d), float64, symmetric; 0 where S is."""
        eigenvalues, eigenvectors = self.spectrum
        inverse_root: np.ndarray = (eigenvectors * np.sqrt(eigenvalues)) @ eigenvectors.T
        return inverse_root

    def whiten(self, X: np.ndarray) -> np.ndarray:
        """S^(1/2) x for every row (n, d): vectors whose Euclidean inner products are the atomic ones; float64."""
        whitened: np.ndarray = self._checked(X) @ self.root
        return whitened

    def unwhiten(self, X: np.ndarray) -> np.ndarray:
        """The inverse of `whiten`, for vectors within the span."""
        vectors: np.ndarray = self._checked(X) @ self.inverse_root
        return vectors

    def inner(self, U: np.ndarray, V: np.ndarray) -> np.ndarray:
        """u^T S v for all rows of U (n, d) and V (m, d): (n, m), float64."""
        product: np.ndarray = self.whiten(U) @ self.whiten(V).T
        return product

    def norms(self, X: np.ndarray) -> np.ndarray:
        """sqrt(x^T S x) for every row (n, d): (n,)."""
        norms: np.ndarray = np.linalg.norm(self.whiten(X), axis=1)
        return norms

    def unit(self, X: np.ndarray) -> np.ndarray:
        """Whitened rows of unit length (n, d): their Euclidean inner products are the atomic cosines.

        Raises:
            InputError: a row is zero; the message has its number.
        """
        whitened = self.whiten(X)
        norms = np.linalg.norm(whitened, axis=1, keepdims=True)
        if (norms == 0).any():
            raise InputError(f"row {int(np.argmin(norms[:, 0]))} is zero, so it has no direction", where="X")
        scaled: np.ndarray = whitened / norms
        return scaled

    def angles(self, X: np.ndarray, n_pairs: int = 20_000, random_state: int = 0) -> np.ndarray:
        """Angles in degrees between random pairs of different rows of X (n, d): (n_pairs,), all pairs if fewer.

        Raises:
            InputError: there are fewer than two rows.
        """
        unit = self.unit(X)
        first, second = _pairs(len(unit), n_pairs, random_state)
        cosines = np.einsum("nd,nd->n", unit[first], unit[second])
        angles: np.ndarray = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
        return angles

    def arrays(self) -> dict[str, np.ndarray]:
        """What an artifact keeps of it; see `from_arrays`."""
        return {"inner_product": self.moment}

    def facts(self) -> dict[str, Any]:
        """What a card says of it."""
        return {"source": self.source, "n": self.n, "ridge": self.ridge, "condition": self.condition, "rank": self.rank}

    def _checked(self, X: np.ndarray) -> np.ndarray:
        array = np.asarray(X)
        if array.dtype == np.float64 and array.ndim == 2 and array.shape[1] == self.dimensions:
            if not np.isfinite(array).all():
                raise InputError("holds NaN or infinity", where="X", hint="Remove such rows")
            return array
        return check_vectors(X, self.dimensions).astype(np.float64)


def _moments(data: Any, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Sum (d,), sum of outer products (d, d), both float64, and the number of rows."""
    if not hasattr(data, "batches"):
        data = np.asarray(data) if np.asarray(data).dtype == np.float64 else check_vectors(data)
        check_vectors(data[:1])
    d = data.shape[1] if isinstance(data, np.ndarray) else data.dimensions
    numbers = np.arange(len(data)) if rows is None else rows
    total, moment = np.zeros(d), np.zeros((d, d))
    for start in range(0, len(numbers), _BLOCK_ROWS):
        raw = data[numbers[start : start + _BLOCK_ROWS]]
        check_vectors(raw, d)
        block = np.asarray(raw, np.float64)
        total += block.sum(axis=0)
        moment += block.T @ block
    if not len(numbers):
        raise InputError("there are no vectors", where="AtomicInnerProduct.fit")
    return total, moment, len(numbers)


def _pairs(n: int, n_pairs: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    if n < 2:
        raise InputError(f"{n} vectors have no pairs", where="angles", hint="Give at least 2")
    if n * (n - 1) // 2 <= n_pairs:
        first, second = np.triu_indices(n, 1)
        return first, second
    rng = np.random.default_rng([random_state, 7])
    first = rng.integers(0, n, n_pairs)
    second = (first + rng.integers(1, n, n_pairs)) % n
    return first, second
