"""The representation shift: activations of language models share a direction, so their angles centre off 90 degrees.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), section 3.7, step 1: Euclidean angles between
activations centre below 90 degrees, atomic ones at 90. The control that the paper lacks stands beside them: taking the
mean off alone brings the centre to 90 too. What the atomic inner product adds is the narrower spread.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sememe.atoms.inner_product import RIDGE, AtomicInnerProduct
from sememe.atoms.rows import held_out_rows

HELD_OUT = 0.2
ANGLE_VECTORS = 4000


def representation_shift(
    data: Any, *, n_pairs: int = 20_000, ridge: float = RIDGE, random_state: int = 0
) -> dict[str, Any]:
    """Angles between held-out vectors, in degrees; the inner product and the mean are those of the others.

    Args:
        data: the vectors (n, d), or a bank, whose documents are not split.
        n_pairs: how many pairs.
        ridge: see `AtomicInnerProduct`.
        random_state: the seed of the split and of the pairs.

    Returns:
        `euclidean`, `centred` (Euclidean, after the mean is taken off) and `atomic`, each with `mean` and `sd`;
        `condition` of the second moment; `n` vectors that it was estimated from, and `n_per_dimension`.
    """
    train, held_out = held_out_rows(data, HELD_OUT, random_state)
    metric = AtomicInnerProduct.fit(data, rows=train, ridge=ridge)
    chosen = held_out[np.unique(np.linspace(0, len(held_out) - 1, ANGLE_VECTORS).astype(np.int64))]
    vectors = np.asarray(data[chosen], np.float64)
    plain = AtomicInnerProduct.fit(vectors, source="euclidean")
    mean = sum(np.asarray(data[part], np.float64).sum(axis=0) for part in _blocks(train)) / len(train)
    angles = {
        "euclidean": plain.angles(vectors, n_pairs, random_state),
        "centred": plain.angles(vectors - mean, n_pairs, random_state),
        "atomic": metric.angles(vectors, n_pairs, random_state),
    }
    return {
        **{name: {"mean": float(found.mean()), "sd": float(found.std())} for name, found in angles.items()},
        "condition": metric.condition,
        "n": metric.n,
        "n_per_dimension": metric.n / metric.dimensions,
    }


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(1, len(rows) // 8192))
