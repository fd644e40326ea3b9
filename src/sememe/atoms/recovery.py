"""Finding the sparse code of a vector in a given dictionary: by threshold, by pursuit, by l1 minimisation.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), section 3.4. With W_enc = D^T S and atoms of unit
S-norm, thresholding recovers the *support* of a code exactly when tau lies in `tau_window`. The amplitudes it reads off
are not exact: each carries interference of up to epsilon (K - 1) delta_max from the other active atoms. Least squares
on the recovered support (`refit`) makes them so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sememe.atoms.coherence import unit_atoms
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.weights import check_vectors
from sememe.errors import InputError

_BLOCK = 256

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def tau_window(epsilon: float, k: int, low: float, high: float) -> tuple[float, float]:
    """The thresholds under which supports are recovered exactly: epsilon K high < tau < low - epsilon (K - 1) high.

    Args:
        epsilon: the largest coherence.
        k: the most active atoms of a code.
        low: the least positive coefficient.
        high: the largest coefficient.

    Raises:
        InputError: there is no such threshold.
    """
    window = epsilon * k * high, low - epsilon * (k - 1) * high
    if window[0] >= window[1]:
        raise InputError(
            f"no threshold separates active atoms from others at coherence {epsilon:.4g} and {k} active atoms",
            where=f"coefficients from {low:.4g} to {high:.4g}",
            hint="It needs low > epsilon (2 K - 1) high",
        )
    return window


def threshold_codes(
    decoder: np.ndarray, X: np.ndarray, tau: float | np.ndarray, metric: AtomicInnerProduct | None = None
) -> csr_matrix:
    """Codes by thresholding correlations: a_j = <d_j, x> where it is at least tau, else 0; for atoms of unit norm.

    Args:
        decoder: atoms (n_atoms, d); codes are for them scaled to unit norm in `metric`.
        X: vectors (n, d).
        tau: one threshold, or one per atom (n_atoms,).
        metric: the inner product; Euclidean when None.

    Returns:
        Codes (n, n_atoms), float64.
    """
    from scipy.sparse import csr_matrix

    vectors = _vectors(X, metric)
    correlations = vectors @ unit_atoms(decoder, metric).astype(np.float64).T
    return csr_matrix(np.where(correlations >= tau, correlations, 0.0))


def refit(decoder: np.ndarray, codes: csr_matrix, X: np.ndarray) -> csr_matrix:
    """The same supports with the amplitudes that fit X best in least squares; x = a D, so take a bias off X first.

    Where active atoms are linearly dependent, the solution of least norm.

    Args:
        decoder: atoms (n_atoms, d).
        codes: their supports (n, n_atoms).
        X: the vectors (n, d).
    """
    from scipy.sparse import csr_matrix

    X = np.asarray(X)
    data = np.zeros(codes.nnz, np.result_type(X, np.float32))
    for row, (start, stop) in enumerate(zip(codes.indptr[:-1], codes.indptr[1:], strict=True)):
        if start < stop:
            atoms = decoder[codes.indices[start:stop]].astype(np.float64)
            data[start:stop] = np.linalg.lstsq(atoms.T, X[row].astype(np.float64), rcond=None)[0]
    return csr_matrix((data, codes.indices, codes.indptr), shape=codes.shape)


def pursuit_codes(decoder: np.ndarray, X: np.ndarray, k: int, metric: AtomicInnerProduct | None = None) -> csr_matrix:
    """Codes by orthogonal matching pursuit: take the atom nearest to what is left, fit all again, `k` times.

    Pati, Rezaiifar & Krishnaprasad (1993). Slower than an encoder and better for the same number of atoms; amplitudes
    may be negative.

    Args:
        decoder: atoms (n_atoms, d); codes are for them scaled to unit norm in `metric`.
        X: vectors (n, d).
        k: the most active atoms of a code.
        metric: the inner product in which the next atom is chosen and the residual is least; Euclidean when None.

    Returns:
        Codes (n, n_atoms), float64; amplitudes that are nothing but rounding are left out.
    """
    from scipy.sparse import csr_matrix

    vectors = _vectors(X, metric)
    atoms = unit_atoms(decoder, metric).astype(np.float64)
    k = min(k, len(atoms))
    blocks = [_pursue(atoms, vectors[start : start + _BLOCK], k) for start in range(0, len(vectors), _BLOCK)]
    chosen = np.concatenate([np.zeros((0, k), np.int64), *(block[0] for block in blocks)])
    values = np.concatenate([np.zeros((0, k)), *(block[1] for block in blocks)])
    order = np.argsort(chosen, axis=1)
    columns, data = np.take_along_axis(chosen, order, axis=1), np.take_along_axis(values, order, axis=1)
    ends = np.arange(len(vectors) + 1) * k
    codes = csr_matrix((data.ravel(), columns.ravel(), ends), shape=(len(vectors), len(atoms)))
    codes.data[np.abs(codes.data) <= 1e-9 * np.repeat(np.linalg.norm(vectors, axis=1), k)] = 0.0
    codes.eliminate_zeros()
    return codes


def _pursue(atoms: np.ndarray, X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The chosen atoms (n, k) and their amplitudes (n, k).

    In float64 throughout: in float32, which of two nearly equal atoms is taken would depend on what else is coded.
    """
    products: np.ndarray = np.zeros((len(X), 0))
    chosen: np.ndarray
    values: np.ndarray
    chosen, values = np.zeros((len(X), k), np.int64), np.zeros((len(X), k))
    left: np.ndarray = X
    for step in range(k):
        nearness = np.abs(left @ atoms.T)
        np.put_along_axis(nearness, chosen[:, :step], -1.0, axis=1)
        chosen[:, step] = nearness.argmax(axis=1)
        support = atoms[chosen[:, : step + 1]]
        newest = np.einsum("nd,nd->n", support[:, -1], X)
        products = np.column_stack([products, newest])
        # The tiny ridge lets two equal atoms be chosen, when nothing else is left, without dividing by zero.
        normal = support @ support.transpose(0, 2, 1) + 1e-12 * np.eye(step + 1)
        values = np.linalg.solve(normal, products[:, :, None])[:, :, 0]
        left = X - np.einsum("nk,nkd->nd", values, support)
    return chosen, values


def basis_pursuit(decoder: np.ndarray, x: np.ndarray, metric: AtomicInnerProduct | None = None) -> np.ndarray:
    """The code of least l1 norm that gives one vector exactly: min |a|_1 subject to a D = x; (n_atoms,), float64.

    A linear programme over (a+, a-) >= 0 (Chen, Donoho & Saunders 1998); for small dictionaries.

    Raises:
        InputError: the atoms cannot give x.
    """
    from scipy.optimize import linprog

    atoms = unit_atoms(decoder, metric).astype(np.float64)
    vector = _vectors(np.asarray(x)[None], metric)[0]
    n = len(atoms)
    solved = linprog(np.ones(2 * n), A_eq=np.hstack([atoms.T, -atoms.T]), b_eq=vector, method="highs")
    if not solved.success:
        raise InputError(f"no code gives this vector ({solved.message})", where="basis_pursuit")
    code: np.ndarray = solved.x[:n] - solved.x[n:]
    return code


def _vectors(X: np.ndarray, metric: AtomicInnerProduct | None) -> np.ndarray:
    if metric is not None:
        return metric.whiten(X)
    array = np.asarray(X)
    return array if array.dtype == np.float64 and array.ndim == 2 else check_vectors(X).astype(np.float64)
