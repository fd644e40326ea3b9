"""What users of a representation inherit from its biases: components, similarity, steering, reuse.

Lampinen, Chan and Hermann (2024), section 4. Each function takes representations and features that were computed
equally well, and shows that a standard tool does not treat them equally.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError
from sememe.probes.linear import LinearClassifier

Head = Callable[[np.ndarray], np.ndarray]
"""Representations (n, d) -> logits (n, features)."""


def pc_alignment(phi: np.ndarray, F: np.ndarray, k: int = 4) -> np.ndarray:
    """|Correlation| of the first k principal components of (n, d) with each of (n, features); (k, features)."""
    scores = principal_scores(phi, k)
    Y = F - F.mean(axis=0, dtype=np.float64)
    lengths = np.outer(np.linalg.norm(scores, axis=0), np.linalg.norm(Y, axis=0))
    found: np.ndarray = np.abs(scores.T @ Y) / np.where(lengths > 0, lengths, np.inf)
    return found


def principal_scores(phi: np.ndarray, k: int) -> np.ndarray:
    """Coordinates of (n, d) along its first k principal components; (n, k), float64."""
    X = np.asarray(phi, np.float64)
    X = X - X.mean(axis=0)
    _, directions = np.linalg.eigh(X.T @ X)
    scores: np.ndarray = X @ directions[:, ::-1][:, :k]
    return scores


def accuracy_of_components(phi: np.ndarray, F: np.ndarray, head: Head, ks: Sequence[int]) -> np.ndarray:
    """Accuracy of the network's own outputs when only its k largest components are kept; (len(ks), features)."""
    X = np.asarray(phi, np.float64)
    mean = X.mean(axis=0)
    _, directions = np.linalg.eigh((X - mean).T @ (X - mean))
    directions = directions[:, ::-1]
    rows = []
    for k in ks:
        kept = (X - mean) @ directions[:, :k] @ directions[:, :k].T + mean
        rows.append(((head(kept) > 0) == F).mean(axis=0))
    return np.array(rows)


@dataclass(frozen=True, eq=False)
class Steered:
    """What adding alpha times a feature's direction does.

    Attributes:
        alphas: multiples of the difference of means.
        flipped: share of inputs with f = 0 whose output says 1, for every feature; (alphas, features). For the other
            features: share whose output changed.
        norm: length of the difference of means.
    """

    alphas: Sequence[float]
    flipped: np.ndarray
    norm: float


def steer_curve(phi: np.ndarray, F: np.ndarray, feature: int, head: Head, alphas: Sequence[float]) -> Steered:
    """Add alpha (mean phi(f=1) - mean phi(f=0)) to representations of inputs with f = 0, and read all outputs.

    Raises:
        InputError: the feature is constant.
    """
    X, f = np.asarray(phi, np.float64), F[:, feature]
    if np.ptp(f) == 0:
        raise InputError("is always the same", where=f"feature {feature}")
    direction = X[f == 1].mean(axis=0) - X[f == 0].mean(axis=0)
    off = X[f == 0]
    before = head(off) > 0
    flipped = np.array([((head(off + alpha * direction) > 0) != before).mean(axis=0) for alpha in alphas])
    return Steered(alphas, flipped, float(np.linalg.norm(direction)))


def reuse_bias(phi: np.ndarray, F: np.ndarray, first: int = 0, second: int = 1, strength: float = 1e-3) -> float:
    """Fit a classifier where two features agree; how often it follows the first one where they do not.

    1 is always the first, 0 always the second, and 0.5 no bias.

    Raises:
        InputError: the features never agree on 1 and on 0, or always agree.
    """
    X, a, b = np.asarray(phi, np.float64), F[:, first].astype(int), F[:, second].astype(int)
    same = a == b
    if same.all() or len(np.unique(a[same])) < 2:
        raise InputError("the two features must agree on 1, agree on 0, and disagree", where="reuse_bias")
    found = LinearClassifier.fit(X[same], a[same], strength, 2).predict(X[~same])
    return float((found == a[~same]).mean())
