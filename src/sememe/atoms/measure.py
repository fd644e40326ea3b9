"""How well a dictionary reconstructs vectors, how sparsely, and which atoms do nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.rows import Rows
from sememe.atoms.weights import Weights

DENSE_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Score:
    """Measured on some rows, of which x' is the reconstruction and m the mean of the *training* rows.

    Attributes:
        r2: 1 - sum |x - x'|^2 / sum |x - m|^2, the paper's faithfulness (arXiv 2509.20784, section 3.5) and 1 - FVU.
            With the mean of the training rows, one figure means the same on training and held-out rows. 1 is perfect;
            0 is no better than the mean.
        r2_per_vector: the mean over rows of 1 - |x - x'|^2 / |x - m|^2, which long vectors do not dominate.
        r2_uncentred: 1 - sum |x - x'|^2 / sum |x|^2; near 1 for any dictionary when the mean is large.
        r2_atomic: `r2` with the atomic norm in place of the Euclidean; None without an inner product.
        active: how many atoms are active in each row (n,).
        fired: how many rows each atom is active on (n_atoms,).
    """

    r2: float
    r2_per_vector: float
    r2_uncentred: float
    r2_atomic: float | None
    active: np.ndarray
    fired: np.ndarray

    @property
    def mean_active(self) -> float:
        """Mean number of active atoms of a row."""
        return float(self.active.mean()) if len(self.active) else 0.0

    @property
    def rows(self) -> int:
        """How many rows were scored."""
        return len(self.active)


def score(weights: Weights, rows: Rows, which: np.ndarray, metric: AtomicInnerProduct | None = None) -> Score:
    """Score a dictionary on the rows numbered `which`, a block at a time, with float64 sums."""
    sums, atomic = np.zeros(3), np.zeros(2)
    per_vector = 0.0
    fired = np.zeros(weights.n_atoms, np.int64)
    active = []
    for block in rows.blocks(which):
        codes = weights.encode(block)
        residual, centred = block - weights.decode(codes), block - rows.mean
        lost, spread = _squares(residual), _squares(centred)
        sums += lost.sum(), spread.sum(), _squares(block).sum()
        per_vector += float((1 - lost / np.maximum(spread, 1e-30)).sum())
        if metric is not None:
            atomic += _squares(metric.whiten(residual)).sum(), _squares(metric.whiten(centred)).sum()
        fired += np.bincount(codes.indices, minlength=weights.n_atoms)
        active.append(np.diff(codes.indptr))
    return Score(
        _share(sums[0], sums[1]),
        per_vector / max(1, len(which)),
        _share(sums[0], sums[2]),
        None if metric is None else _share(atomic[0], atomic[1]),
        np.concatenate(active) if active else np.zeros(0, np.int64),
        fired,
    )


def figures(kept: Score, seen: Score, rows: Rows) -> dict[str, Any]:
    """What a card says of a dictionary: held-out figures first, and what they were measured on."""
    fired, n = kept.fired + seen.fired, kept.rows + seen.rows
    return {
        "n_atoms": len(fired),
        "r2": round(kept.r2, 6),
        "r2_train": round(seen.r2, 6),
        "r2_per_vector": round(kept.r2_per_vector, 6),
        "r2_uncentred": round(kept.r2_uncentred, 6),
        "r2_atomic": None if kept.r2_atomic is None else round(kept.r2_atomic, 6),
        "mean_active": round(kept.mean_active, 4),
        "dead": int((fired == 0).sum()),
        "dense": int((fired > DENSE_SHARE * n).sum()),
        "n_train": seen.rows,
        "n_held_out": kept.rows,
        "left_out": rows.left_out,
        "norm_limit": None if math.isinf(rows.norm_limit) else round(rows.norm_limit, 4),
    }


def r2(X: np.ndarray, decoded: np.ndarray, mean: np.ndarray) -> float:
    """1 - sum |x - x'|^2 / sum |x - m|^2 for vectors (n, d), their reconstructions and the training mean (d,)."""
    return _share(float(_squares(X - decoded).sum()), float(_squares(X - mean).sum()))


def _squares(X: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.square(X, dtype=np.float64).sum(axis=1)
    return squares


def _share(lost: float, spread: float) -> float:
    return float(1.0 - lost / spread) if spread > 0 else 0.0
