"""How well a dictionary reconstructs vectors, how sparsely, and which atoms do nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.atoms.rows import Rows
from sememe.atoms.weights import Weights

DENSE_SHARE = 0.1


@dataclass(frozen=True)
class Score:
    """Measured on some rows.

    Attributes:
        r2: 1 - sum |x - x'|^2 / sum |x - m|^2, where m is the mean of the *training* rows, so that one figure means
            the same on training and held-out rows. 1 is perfect; 0 is no better than the mean.
        mean_active: mean number of active atoms per vector.
        fired: how many rows each atom is active on (n_atoms,).
        rows: how many rows were scored.
    """

    r2: float
    mean_active: float
    fired: np.ndarray
    rows: int


def score(weights: Weights, rows: Rows, which: np.ndarray) -> Score:
    """Score a dictionary on the rows numbered `which`, a block at a time, with float64 sums."""
    error = spread = 0.0
    fired = np.zeros(weights.n_atoms, np.int64)
    for block in rows.blocks(which):
        codes = weights.encode(block)
        error += float(np.square(block - weights.decode(codes), dtype=np.float64).sum())
        spread += float(np.square(block - rows.mean, dtype=np.float64).sum())
        fired += np.bincount(codes.indices, minlength=weights.n_atoms)
    r2 = 1.0 - error / spread if spread > 0 else 0.0
    return Score(r2, float(fired.sum()) / max(1, len(which)), fired, len(which))
