"""The arrays of a threshold-activated dictionary, and the arithmetic from vectors to codes and back (numpy only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ARRAYS = ("decoder", "encoder", "encoder_bias", "bias", "thresholds")
_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class Weights:
    """A dictionary in the units of its data: z = W_enc (x - b) + b_enc; a = z where z >= tau, else 0; x' = a D + b.

    With `k`, only the k largest activations of a vector stay.

    Source: the TSAE of "Towards Atoms of Large Language Models" (arXiv 2509.20784).

    Attributes:
        decoder: D, (n_atoms, d), one unit-norm atom a row.
        encoder: W_enc, (n_atoms, d).
        encoder_bias: b_enc, (n_atoms,).
        bias: b, (d,).
        thresholds: tau, (n_atoms,), not negative.
        k: the most atoms that are active in a vector; None for no limit.
    """

    decoder: np.ndarray
    encoder: np.ndarray
    encoder_bias: np.ndarray
    bias: np.ndarray
    thresholds: np.ndarray
    k: int | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    @property
    def n_atoms(self) -> int:
        return int(self.decoder.shape[0])

    @property
    def dimensions(self) -> int:
        return int(self.decoder.shape[1])

    def encode(self, X: np.ndarray) -> csr_matrix:
        """The sparse codes (n, n_atoms), float32, of checked vectors X (n, d)."""
        from scipy.sparse import csr_matrix, vstack

        rows = max(1, _BLOCK_BYTES // (4 * self.n_atoms))
        blocks = [self._encode_block(X[start : start + rows]) for start in range(0, len(X), rows)]
        if not blocks:
            return csr_matrix((0, self.n_atoms), dtype=np.float32)
        return blocks[0] if len(blocks) == 1 else vstack(blocks, format="csr")

    def _encode_block(self, X: np.ndarray) -> csr_matrix:
        from scipy.sparse import csr_matrix

        z = (X - self.bias) @ self.encoder.T
        z += self.encoder_bias
        active = z >= self.thresholds
        active &= z > 0
        if self.k is not None and self.k < self.n_atoms:
            active &= _among_largest(z, self.k)
        rows, columns = np.nonzero(active)
        starts = np.zeros(len(X) + 1, np.int32)
        np.cumsum(np.bincount(rows, minlength=len(X)), out=starts[1:])
        return csr_matrix((z[rows, columns], columns.astype(np.int32), starts), shape=z.shape)

    def decode(self, codes: csr_matrix) -> np.ndarray:
        """The vectors (n, d), float32, that the codes (n, n_atoms) stand for."""
        vectors: np.ndarray = np.asarray(codes @ self.decoder, np.float32) + self.bias
        return vectors


def _among_largest(z: np.ndarray, k: int) -> np.ndarray:
    """Which numbers are among the k largest of their row; of equal ones, some."""
    chosen = np.zeros(z.shape, bool)
    np.put_along_axis(chosen, np.argpartition(-z, k - 1, axis=1)[:, :k], True, axis=1)
    return chosen


def check_vectors(X: Any, dimensions: int | None = None) -> np.ndarray:
    """Vectors as a float32 array (n, d), copied only when needed.

    Raises:
        InputError: not two-dimensional, not numbers, not finite, or not `dimensions` wide.
    """
    try:
        array = np.asarray(X, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"vectors must be numbers ({error})", where="X") from error
    where = f"X of shape {array.shape}"
    if array.ndim != 2:
        raise InputError("vectors must be a two-dimensional array (n, d)", where=where, hint="Use X[None] for one")
    if dimensions is not None and array.shape[1] != dimensions:
        raise InputError(f"vectors must be {dimensions} wide, as those that the atoms were learned from", where=where)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise InputError(f"row {int(np.argmin(finite))} holds NaN or infinity", where=where, hint="Remove such rows")
    return array


def check_codes(codes: Any, n_atoms: int) -> csr_matrix:
    """Codes as a float32 CSR matrix (n, n_atoms).

    Raises:
        InputError: not two-dimensional, or not `n_atoms` wide.
    """
    from scipy.sparse import csr_matrix, issparse

    matrix = codes if issparse(codes) else np.asarray(codes, np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != n_atoms:
        raise InputError(f"codes must be (n, {n_atoms})", where=f"codes of shape {matrix.shape}")
    return csr_matrix(matrix, dtype=np.float32)
