"""What can be proved about a dictionary from its geometry alone.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), section 3, with the Euclidean inner product;
the bounds are classical (Donoho & Elad 2003; Gribonval & Nielsen 2003; Welch 1974).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_BLOCK = 1024


def mutual_coherence(decoder: np.ndarray) -> float:
    """Mu = max over i != j of |<d_i, d_j>| for unit-norm rows d_i (n_atoms, d); 0 for fewer than two atoms."""
    n = len(decoder)
    largest = 0.0
    for start in range(0, n, _BLOCK):
        # Only pairs (i, j) with j >= start: the rest was seen with i and j swapped.
        cosines = np.abs(decoder[start : start + _BLOCK] @ decoder[start:].T)
        np.fill_diagonal(cosines, 0.0)
        largest = max(largest, float(cosines.max(initial=0.0)))
    return min(1.0, largest)


def welch_bound(n_atoms: int, dimensions: int) -> float:
    """The least mutual coherence that any n_atoms unit vectors in that many dimensions can have.

    sqrt((n - d) / (d (n - 1))), and 0 when n <= d (Welch 1974).
    """
    if n_atoms <= dimensions:
        return 0.0
    return math.sqrt((n_atoms - dimensions) / (dimensions * (n_atoms - 1)))


def unique_k_max(coherence: float) -> int | None:
    """How many active atoms a code may have so that it is provably the sparsest one and l1 minimisation finds it.

    The condition is K < (1 + 1 / mu) / 2 (Donoho & Elad 2003): the largest whole K below the bound, and None
    for orthogonal atoms (mu = 0), where every K qualifies.
    """
    if coherence <= 0:
        return None
    return max(0, math.ceil((1 + 1 / coherence) / 2 - 1e-12) - 1)


def certify(decoder: np.ndarray, live: np.ndarray, mean_active: float) -> dict[str, Any]:
    """The certificate of a dictionary: exact figures over the pairs of its live atoms.

    Args:
        decoder: unit-norm atoms (n_atoms, d).
        live: which atoms are ever active (n_atoms,), boolean. Dead atoms have no codes to certify.
        mean_active: mean number of active atoms per held-out vector.

    Returns:
        `inner_product` ("euclidean"), `live_atoms`, `mutual_coherence`, `welch_bound`, `unique_k_max`,
        `mean_active`.
    """
    atoms = decoder[live]
    coherence = mutual_coherence(atoms)
    return {
        "inner_product": "euclidean",
        "live_atoms": len(atoms),
        "mutual_coherence": round(coherence, 6),
        "welch_bound": round(welch_bound(len(atoms), decoder.shape[1]), 6),
        "unique_k_max": unique_k_max(coherence),
        "mean_active": mean_active,
    }
