"""How much of a representation's variance a feature explains: an encoding model, not a probe.

Lampinen, Chan and Hermann (2024), section 2: predict the representation FROM the feature,

    W* = argmin_W sum_V |W (f - mean_V f) - (phi - mean_V phi)|^2      on validation inputs V,
    R^2_f = 1 - sum_T |W* (f - mean_V f) - (phi - mean_V phi)|^2 / sum_T |phi - mean_V phi|^2     on test inputs T.

The other direction, decoding the feature, is near 1 for everything that a network computes and tells nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sememe.errors import InputError

Aggregate = Literal["pooled", "per_sample"]


def variance_explained(
    phi_val: np.ndarray,
    f_val: np.ndarray,
    phi_test: np.ndarray,
    f_test: np.ndarray,
    *,
    aggregate: Aggregate = "pooled",
    total: float | None = None,
) -> float:
    """The share of variance of a representation that a feature, or several together, explain.

    It is not clipped: a feature that explains nothing may come out slightly negative. It is the same when the
    representation is rotated, shifted or scaled as a whole, and when f becomes 1 - f; not when single units are scaled.

    Args:
        phi_val: (n, d), what the map is fitted on.
        f_val: (n,), or (n, k) for the joint share of k features.
        phi_test: (m, d), what the share is measured on.
        f_test: (m,) or (m, k).
        aggregate: `pooled` is a ratio of sums. `per_sample` is the mean of each input's own ratio, as the paper writes
            it; inputs with a short centred vector dominate it.
        total: mean squared length to divide by instead of that of the centred `phi_test`, such as the final network's
            for a trajectory; `pooled` only.

    Raises:
        InputError: shapes do not fit, something is not finite, or the test representation is constant.
    """
    phi_val, phi_test = (_matrix(array, name) for array, name in ((phi_val, "phi_val"), (phi_test, "phi_test")))
    f_val, f_test = (_matrix(array, name) for array, name in ((f_val, "f_val"), (f_test, "f_test")))
    if len(phi_val) != len(f_val) or len(phi_test) != len(f_test):
        raise InputError(f"{len(phi_val)} and {len(phi_test)} vectors for {len(f_val)} and {len(f_test)} values")
    if phi_val.shape[1] != phi_test.shape[1] or f_val.shape[1] != f_test.shape[1]:
        raise InputError("validation and test have different widths", where=f"{phi_val.shape}, {phi_test.shape}")
    mean, centre = phi_val.mean(axis=0), f_val.mean(axis=0)
    W = np.linalg.lstsq(f_val - centre, phi_val - mean, rcond=None)[0]
    target = phi_test - mean
    left = np.square(target - (f_test - centre) @ W).sum(axis=1)
    whole = np.square(target).sum(axis=1)
    if aggregate == "per_sample":
        if not whole.all():
            raise InputError("an input's representation is the mean itself", hint="Use aggregate='pooled'")
        return float(np.mean(1 - left / whole))
    if not whole.any():
        raise InputError("the representation is the same for all inputs", where="phi_test")
    if total is None:
        return float(1 - left.sum() / whole.sum())
    return float((whole.sum() - left.sum()) / (len(whole) * total))


def total_variance(phi: np.ndarray) -> float:
    """Mean squared length of centred vectors (n, d): the trace of their covariance."""
    return float(np.var(_matrix(phi, "phi"), axis=0).sum())


def balanced_share(share: float, p: float) -> float:
    """What a binary feature's share would be if it were 1 in half of the inputs, its two means being what they are.

    A feature that is 1 with probability p has the variance p (1 - p) |mu_1 - mu_0|^2, at most at p = 1/2.
    """
    scaled = share / (4 * p * (1 - p))
    return float(scaled / (1 - share + scaled))


@dataclass(frozen=True)
class Explained:
    """Shares of one representation.

    Attributes:
        share: feature -> pooled R².
        per_sample: feature -> mean of each input's ratio.
        balanced: feature -> what the share would be if the feature were balanced.
        joint: R² of all features together; the rest is variance that no feature explains.
        balance: feature -> how often it is 1.
        warnings: what a reader must know.
    """

    share: Mapping[str, float]
    per_sample: Mapping[str, float]
    balanced: Mapping[str, float]
    joint: float
    balance: Mapping[str, float]
    warnings: tuple[str, ...] = ()

    @property
    def overlap(self) -> float:
        """Sum of the shares minus the joint one: 0 for independent features; above 0, features share variance."""
        return sum(self.share.values()) - self.joint


def explained_by(phi: np.ndarray, F: np.ndarray, names: Sequence[str], val: np.ndarray, test: np.ndarray) -> Explained:
    """Shares of all features of a representation.

    Args:
        phi: (n, d).
        F: (n, features), 0 or 1.
        names: of the features.
        val: rows that maps are fitted on.
        test: rows that shares are measured on.

    Raises:
        InputError: a row is in both halves, a feature is constant in one of them, or `variance_explained` refuses.
    """
    both = np.intersect1d(val, test)
    if len(both):
        raise InputError(f"{len(both)} rows are fitted on and measured on", where=f"row {both[0]}")
    for rows, half in ((val, "validation"), (test, "test")):
        constant = [name for name, column in zip(names, F[rows].T, strict=True) if np.ptp(column) == 0]
        if constant:
            raise InputError(f"always the same in the {half} half: {', '.join(constant)}", where="features")
    share, per_sample, balanced, balance = {}, {}, {}, {}
    for name, column in zip(names, F.T, strict=True):
        halves = phi[val], column[val], phi[test], column[test]
        share[name] = variance_explained(*halves)
        per_sample[name] = variance_explained(*halves, aggregate="per_sample")
        balance[name] = float(column[test].mean())
        balanced[name] = balanced_share(share[name], balance[name])
    few = f"{len(test)} test inputs for {phi.shape[1]} dimensions: shares are noisy"
    warnings = (few,) if len(test) < phi.shape[1] else ()
    joint = variance_explained(phi[val], F[val], phi[test], F[test])
    return Explained(share, per_sample, balanced, joint, balance, warnings)


def trajectory(
    checkpoints: Sequence[tuple[np.ndarray, np.ndarray]], F_val: np.ndarray, F_test: np.ndarray
) -> np.ndarray:
    """Variance that each feature explains at each checkpoint, in units of the last checkpoint's total variance.

    So that curves of one run share a scale (paper, section 2): a growing representation shows as growth.

    Args:
        checkpoints: (phi of validation inputs, phi of test inputs) by time.
        F_val: (n, features).
        F_test: (m, features).

    Returns:
        (checkpoints, features), float64.
    """
    last_val, last_test = checkpoints[-1]
    total = float(np.square(last_test - last_val.mean(axis=0, dtype=np.float64)).sum(axis=1).mean())
    return np.array(
        [
            [
                variance_explained(phi_val, f_val, phi_test, f_test, total=total)
                for f_val, f_test in zip(F_val.T, F_test.T, strict=True)
            ]
            for phi_val, phi_test in checkpoints
        ]
    )


def unit_density(phi: np.ndarray, F: np.ndarray, thr: float = 0.5) -> np.ndarray:
    """How many units have |correlation| above `thr` with each feature; (features,), int64."""
    X, Y = _matrix(phi, "phi"), _matrix(F, "F")
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    lengths = np.outer(np.linalg.norm(X, axis=0), np.linalg.norm(Y, axis=0))
    r = np.abs(X.T @ Y) / np.where(lengths > 0, lengths, np.inf)
    counts: np.ndarray = (r > thr).sum(axis=0)
    return counts


def _matrix(array: np.ndarray, name: str) -> np.ndarray:
    found = np.asarray(array, np.float64)
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or 0 in found.shape:
        raise InputError(f"has shape {np.shape(array)}, not (n, d)", where=name)
    if not np.isfinite(found).all():
        raise InputError("holds NaN or an infinity", where=name)
    return found
