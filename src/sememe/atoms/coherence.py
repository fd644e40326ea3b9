"""Coherence: how far the atoms of a dictionary are from orthogonal, in one pass over all pairs.

Sources: Welch 1974; Donoho & Elad 2003 (mutual coherence, uniqueness); Tropp 2004 (the Babel function, exact
recovery); "Towards Atoms of Large Language Models" (arXiv 2509.20784), sections 3.3 and 3.4, for their use with the
atomic inner product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.errors import InputError

EXACT_ATOMS = 8192  # up to so many atoms all pairs are kept; above, they are counted in bins
N_BINS = 100_000
BABEL_DEPTH = 64
ROUNDING = 1e-5  # of float32 cosines: nothing is proved by less
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Coherence:
    """|cosine| over all unordered pairs of atoms, in some inner product.

    Attributes:
        n_atoms, dimensions: of the dictionary.
        nearest: the largest |cosine| of each atom with another one (n_atoms,).
        neighbour: which one that is (n_atoms,).
        babel: B_i(K), the sum of the K largest |cosines| of atom i with others, for K = 0 ... depth
            (n_atoms, depth + 1), float64. Where K exceeds the number of other atoms, the sum of all.
        mean_square: the mean square of all pairs' cosines.
        _sorted: all |cosines|, ascending; empty when there are too many atoms.
        _counts: how many fall into each of `N_BINS` equal bins of [0, 1]; empty when all are kept.
    """

    n_atoms: int
    dimensions: int
    nearest: np.ndarray
    neighbour: np.ndarray
    babel: np.ndarray
    mean_square: float
    _sorted: np.ndarray
    _counts: np.ndarray

    @property
    def mutual(self) -> float:
        """Mu: the largest |cosine| of any pair; 0 for fewer than two atoms."""
        return float(self.nearest.max(initial=0.0))

    def quantile(self, q: float) -> float:
        """The q-quantile of |cosine| over all pairs, linearly interpolated; with bins, to 1 / N_BINS.

        Raises:
            InputError: there are fewer than two atoms.
        """
        if self.n_atoms < 2:
            raise InputError(f"{self.n_atoms} atoms have no pairs", where="coherence", hint="Give at least 2")
        if len(self._sorted):
            return interpolated(self._sorted, q)
        rank = q * (int(self._counts.sum()) - 1)
        below = np.cumsum(self._counts)
        place = int(np.searchsorted(below, rank, side="right"))
        if place >= N_BINS:
            return self.mutual
        inside = (rank - (below[place] - self._counts[place]) + 0.5) / max(1, self._counts[place])
        return float(min(self.mutual, (place + inside) / N_BINS))

    def histogram(self, bins: int = 50) -> tuple[np.ndarray, np.ndarray]:
        """How many pairs fall into equal bins of [0, 1], and the bins' edges."""
        if len(self._counts):
            groups = np.arange(N_BINS) * bins // N_BINS
            return np.bincount(groups, self._counts, minlength=bins), np.linspace(0, 1, bins + 1)
        counts, edges = np.histogram(self._sorted, bins, (0, 1))
        return counts, edges


def coherence(decoder: np.ndarray, metric: AtomicInnerProduct | None = None) -> Coherence:
    """Measure all pairs of atoms.

    Args:
        decoder: the atoms (n_atoms, d); their lengths do not matter.
        metric: the inner product; Euclidean when None.

    Raises:
        InputError: an atom is zero; the message has its number.
    """
    atoms = unit_atoms(decoder, metric)
    n = len(atoms)
    depth = min(BABEL_DEPTH, max(0, n - 1))
    nearest, neighbour, babel = np.zeros(n), np.zeros(n, np.int64), np.zeros((n, depth + 1))
    kept = np.empty(n * (n - 1) // 2 if n <= EXACT_ATOMS else 0, np.float32)
    counts = np.zeros(0 if n <= EXACT_ATOMS else N_BINS, np.int64)
    filled, squares = 0, 0.0
    for start in range(0, n if depth else 0, _BLOCK):
        stop = min(start + _BLOCK, n)
        cosines = np.abs(atoms[start:stop] @ atoms.T)
        np.minimum(cosines, 1.0, out=cosines)
        above = [row[start + place + 1 :] for place, row in enumerate(cosines)]
        pairs = np.concatenate(above) if above else np.empty(0, np.float32)
        squares += float(np.square(pairs, dtype=np.float64).sum())
        if len(counts):
            counts += np.bincount(np.minimum((pairs * N_BINS).astype(np.int64), N_BINS - 1), minlength=N_BINS)
        else:
            kept[filled : filled + len(pairs)] = pairs
            filled += len(pairs)
        cosines[np.arange(stop - start), np.arange(start, stop)] = -1.0
        neighbour[start:stop] = cosines.argmax(axis=1)
        largest = np.partition(cosines, n - depth, axis=1)[:, n - depth :]
        largest[:] = -np.sort(-largest, axis=1)
        nearest[start:stop] = largest[:, 0]
        babel[start:stop, 1:] = np.cumsum(largest, axis=1, dtype=np.float64)
    kept.sort()
    n_pairs = max(1, n * (n - 1) // 2)
    return Coherence(n, decoder.shape[1], nearest, neighbour, babel, squares / n_pairs, kept, counts)


def unit_atoms(decoder: np.ndarray, metric: AtomicInnerProduct | None = None) -> np.ndarray:
    """Atoms of unit length in an inner product, as float32 vectors whose Euclidean products are its cosines.

    Raises:
        InputError: an atom is zero; the message has its number.
    """
    array = np.asarray(decoder)
    if metric is not None:
        return metric.unit(array).astype(np.float32)
    norms = np.linalg.norm(array, axis=1, keepdims=True)
    if (norms == 0).any():
        raise InputError(f"atom {int(np.argmin(norms[:, 0]))} is zero, so it has no direction", where="decoder")
    scaled: np.ndarray = (array / norms).astype(np.float32)
    return scaled


def interpolated(ascending: np.ndarray, q: float) -> float:
    """The q-quantile of sorted values, linearly interpolated, in float64."""
    place = q * (len(ascending) - 1)
    low = int(place)
    high = min(low + 1, len(ascending) - 1)
    return float(ascending[low]) + (place - low) * (float(ascending[high]) - float(ascending[low]))


def welch_bound(n_atoms: int, dimensions: int) -> float:
    """The least mutual coherence that any n_atoms unit vectors in that many dimensions can have.

    sqrt((n - d) / (d (n - 1))), and 0 when n <= d (Welch 1974). It is also the least root mean square coherence.
    """
    if n_atoms <= dimensions:
        return 0.0
    return math.sqrt((n_atoms - dimensions) / (dimensions * (n_atoms - 1)))


def rip_bound(coherence: float, k: int) -> float:
    """An upper bound of the k-restricted isometry constant: (k - 1) mu (Gershgorin). It says nothing from 1 on."""
    return (k - 1) * coherence


def unique_k_max(coherence: float) -> int | None:
    """How many active atoms a code may have so that it is provably the sparsest one and l1 minimisation finds it.

    The condition is K < (1 + 1 / mu) / 2 (Donoho & Elad 2003): the largest whole K below the bound, and None
    for orthogonal atoms (mu = 0), where every K qualifies.
    """
    if coherence <= 0:
        return None
    return max(0, math.ceil((1 + 1 / coherence) / 2 - 1e-12) - 1)


def exact_recovery_k(babel: np.ndarray, ratio: float = 1.0) -> np.ndarray:
    """For each atom, up to how many active atoms its correlation with a vector decides whether it is one of them.

    With K active atoms whose coefficients lie in [low, high], the correlation of atom i with the vector is at least
    low - high B_i(K - 1) when it is active and at most high B_i(K) when it is not. So a threshold for it exists if
    B_i(K) + B_i(K - 1) < low / high. For ratio 1 and the largest B over atoms this is Tropp's (2004) condition
    mu_1(K) + mu_1(K - 1) < 1, under which l1 minimisation and orthogonal matching pursuit recover every code.

    Args:
        babel: B_i(K) for K = 0 ... depth, (n, depth + 1), from `Coherence.babel`.
        ratio: low / high, in (0, 1].

    Returns:
        The largest K for each row (n,), at most depth. 0 where not even one active atom is told apart.
    """
    fits = babel[:, 1:] + babel[:, :-1] < ratio - ROUNDING
    # The sums grow with K, so the first failure ends the count.
    counts: np.ndarray = np.where(fits.all(axis=1), fits.shape[1], fits.argmin(axis=1) if fits.shape[1] else 0)
    return counts
