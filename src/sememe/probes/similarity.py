"""How alike two representations of the same inputs are: RSA and linear CKA, with a null, intervals and warnings.

RSA: Spearman correlation of the two dissimilarity matrices (Kriegeskorte et al., 2008). CKA: Kornblith et al. (2019);
debiased, with the unbiased HSIC of Song et al. (2012), because the plain one is near 1 for any two wide
representations of few inputs. Both weigh a feature by the variance it takes, so they inherit whatever biases decide
that (Lampinen, Chan and Hermann, 2024): two models of one task can look less alike than either and a model of half of
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sememe.errors import InputError

Metric = Literal["euclidean", "cosine", "correlation"]
Measure = Callable[[np.ndarray, np.ndarray], float]
MOST_INPUTS = 2000  # dissimilarity matrices are quadratic
LEAST_INPUTS = 20
N_GROUPS = 10
DOMINANT, CARRIED, DISAGREE, UNEVEN = 0.5, 0.1, 0.25, 0.15


def rdm(phi: np.ndarray, metric: Metric = "euclidean") -> np.ndarray:
    """Dissimilarities of all pairs of inputs (n (n - 1) / 2,), of representations (n, d)."""
    from scipy.spatial.distance import pdist

    found: np.ndarray = pdist(np.asarray(phi, np.float64), metric)
    if not np.isfinite(found).all():
        raise InputError(f"an input has no {metric} distance to others", where="rdm", hint="Its vector is constant")
    return found


def rsa(phi_a: np.ndarray, phi_b: np.ndarray, method: Metric = "euclidean") -> float:
    """Spearman correlation of the dissimilarities of two representations (n, d_a) and (n, d_b); symmetric."""
    _check(phi_a, phi_b)
    return _correlation(_ranks(rdm(phi_a, method)), _ranks(rdm(phi_b, method)))


def linear_cka(phi_a: np.ndarray, phi_b: np.ndarray, *, debiased: bool = True) -> float:
    """Linear centred kernel alignment of two representations (n, d_a) and (n, d_b); symmetric.

    Args:
        phi_a: one representation.
        phi_b: the other.
        debiased: with the unbiased HSIC: 0 in expectation for independent ones, and possibly below.
    """
    _check(phi_a, phi_b)
    K, L = (_gram(phi, debiased=debiased) for phi in (phi_a, phi_b))
    product = (K * K).sum() * (L * L).sum()
    if product <= 0:
        raise InputError("a representation is constant", where="linear_cka")
    return float((K * L).sum() / np.sqrt(product))


def without(phi: np.ndarray, features: np.ndarray) -> np.ndarray:
    """A representation (n, d) without what features (n, k) explain of it linearly; centred, float64."""
    X = np.asarray(phi, np.float64)
    F = np.asarray(features, np.float64)
    X, F = X - X.mean(axis=0), F - F.mean(axis=0)
    left: np.ndarray = X - F @ np.linalg.lstsq(F, X, rcond=None)[0]
    return left


@dataclass(frozen=True)
class Compared:
    """One measure of likeness.

    Attributes:
        value: of the pair.
        interval: 95%, by a jackknife over ten groups of inputs.
        null: mean when the inputs of one side are permuted.
        p: how often a permutation gives as much.
        without: feature -> value when what that feature explains is taken out of both sides.
    """

    value: float
    interval: tuple[float, float]
    null: float
    p: float
    without: dict[str, float]


@dataclass(frozen=True)
class Similarity:
    """Two representations of the same inputs compared.

    Attributes:
        rsa: see `rsa`.
        cka: see `linear_cka`.
        top_share: share of variance of each side's first principal component.
        shares: feature -> its share of variance on each side, fitted on all inputs.
        warnings: why the comparison may mislead.
        n: inputs.
    """

    rsa: Compared
    cka: Compared
    top_share: tuple[float, float]
    shares: dict[str, tuple[float, float]]
    warnings: tuple[str, ...]
    n: int


def compare_representations(
    phi_a: np.ndarray,
    phi_b: np.ndarray,
    features: dict[str, np.ndarray] | None = None,
    *,
    metric: Metric = "euclidean",
    permutations: int = 199,
    random_state: int = 0,
) -> Similarity:
    """Compare two representations of the same inputs, and say what may make the comparison unsafe.

    Args:
        phi_a: (n, d_a), n from 20 to 2,000.
        phi_b: (n, d_b).
        features: known properties of the inputs, (n,) or (n, k), such as the length of a text: each is taken out in
            turn, to see whether the likeness rests on it.
        metric: of the dissimilarities.
        permutations: for the null; p is at least 1 / (permutations + 1).
        random_state: of the permutations.

    Raises:
        InputError: the inputs do not fit, are too few or too many, or are not finite.
    """
    _check(phi_a, phi_b)
    n, known = len(phi_a), features or {}
    if not LEAST_INPUTS <= n <= MOST_INPUTS:
        raise InputError(f"{n} inputs", where="compare_representations", hint=f"Give {LEAST_INPUTS} to {MOST_INPUTS}")
    rng = np.random.default_rng([random_state, 19])
    groups, orders = np.array_split(rng.permutation(n), N_GROUPS), [rng.permutation(n) for _ in range(permutations)]
    taken = {name: (without(phi_a, _columns(f)), without(phi_b, _columns(f))) for name, f in known.items()}

    def measured(measure: Measure, null: Sequence[float]) -> Compared:
        value = measure(phi_a, phi_b)
        p = (1 + sum(other >= value for other in null)) / (1 + len(null))
        rest = {name: measure(*sides) for name, sides in taken.items()}
        return Compared(value, _jackknife(measure, phi_a, phi_b, groups, value), float(np.mean(null)), p, rest)

    found_rsa = measured(lambda a, b: rsa(a, b, metric), _null_rsa(phi_a, phi_b, metric, orders))
    found_cka = measured(linear_cka, _null_cka(phi_a, phi_b, orders))
    top = _top_share(phi_a), _top_share(phi_b)
    shares = {name: (_share(phi_a, f), _share(phi_b, f)) for name, f in known.items()}
    warnings = tuple(_warnings(found_rsa, found_cka, top, shares))
    if metric == "euclidean" and max(_spread(phi_a), _spread(phi_b)) > UNEVEN:
        warnings += (
            "the lengths of the vectors vary: Euclidean dissimilarities compare lengths too; see --metric cosine",
        )
    return Similarity(found_rsa, found_cka, top, shares, warnings, n)


def _warnings(
    found_rsa: Compared, found_cka: Compared, top: tuple[float, float], shares: dict[str, tuple[float, float]]
) -> list[str]:
    said = [
        f"one direction takes {share:.0%} of the variance of the {side}: both measures mostly compare that direction, "
        "not what the rest computes"
        for side, share in zip(("first", "second"), top, strict=True)
        if share > DOMINANT
    ]
    said += [*_about("RSA", found_rsa), *_about("CKA", found_cka)]
    said += [
        f"{feature!r} takes {a:.1%} of the first and {b:.1%} of the second: they favour it differently"
        for feature, (a, b) in shares.items()
        if max(a, b) > 0.05 and max(a, b) > 3 * max(min(a, b), 1e-3)
    ]
    if abs(found_rsa.value - found_cka.value) > DISAGREE:
        said.append(f"RSA and CKA disagree by more than {DISAGREE}: do not rest a conclusion on one of them")
    return said


def _about(name: str, measure: Compared) -> list[str]:
    said = []
    if measure.p > 0.05:
        said.append(f"{name} is no higher than for permuted inputs (p = {measure.p:.2f})")
    for feature, rest in measure.without.items():
        if measure.value - rest > CARRIED:
            said.append(f"{name} falls from {measure.value:.2f} to {rest:.2f} without {feature!r}: it rests on it")
        elif rest - measure.value > CARRIED:
            said.append(f"{name} rises from {measure.value:.2f} to {rest:.2f} without {feature!r}, which hides it")
    return said


def _gram(phi: np.ndarray, *, debiased: bool) -> np.ndarray:
    """The centred Gram matrix (n, n); debiased, products of two of them sum to n (n - 3) HSIC_1 (Song et al., eq. 5).

    U-centring (Szekely and Rizzo, 2014) gives that estimator as a plain inner product.
    """
    X = np.asarray(phi, np.float64)
    X = X - X.mean(axis=0)
    K: np.ndarray = X @ X.T
    n = len(K)
    if not debiased:
        return K
    np.fill_diagonal(K, 0.0)
    rows = K.sum(axis=1)
    K = K - rows[:, None] / (n - 2) - rows[None] / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(K, 0.0)
    return K


def _null_rsa(a: np.ndarray, b: np.ndarray, metric: Metric, orders: Sequence[np.ndarray]) -> list[float]:
    from scipy.spatial.distance import squareform

    ranks_a, square = _ranks(rdm(a, metric)), squareform(_ranks(rdm(b, metric)))
    upper = np.triu_indices(len(a), 1)
    return [_correlation(ranks_a, square[np.ix_(order, order)][upper]) for order in orders]


def _null_cka(a: np.ndarray, b: np.ndarray, orders: Sequence[np.ndarray]) -> list[float]:
    K, L = (_gram(phi, debiased=True) for phi in (a, b))
    scale = np.sqrt((K * K).sum() * (L * L).sum())
    return [float((K * L[np.ix_(order, order)]).sum() / scale) for order in orders]


def _jackknife(
    measure: Measure, a: np.ndarray, b: np.ndarray, groups: Sequence[np.ndarray], value: float
) -> tuple[float, float]:
    from scipy.stats import t

    kept = [np.setdiff1d(np.arange(len(a)), group) for group in groups]
    found = np.array([measure(a[rows], b[rows]) for rows in kept])
    g = len(groups)
    reach = float(t.ppf(0.975, g - 1)) * float(np.sqrt((g - 1) / g * np.square(found - found.mean()).sum()))
    return value - reach, value + reach


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    ranks: np.ndarray = rankdata(values)
    return ranks


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not length:
        raise InputError("all inputs are equally far from each other", where="rsa")
    return float(a @ b) / length


def _top_share(phi: np.ndarray) -> float:
    X = np.asarray(phi, np.float64)
    values = np.linalg.svd(X - X.mean(axis=0), compute_uv=False) ** 2
    return float(values[0] / values.sum())


def _spread(phi: np.ndarray) -> float:
    """Standard deviation of the vectors' lengths, in units of their mean."""
    lengths = np.linalg.norm(np.asarray(phi, np.float64), axis=1)
    return float(lengths.std() / lengths.mean()) if lengths.any() else 0.0


def _share(phi: np.ndarray, feature: np.ndarray) -> float:
    X = np.asarray(phi, np.float64)
    whole = np.square(X - X.mean(axis=0)).sum()
    return float(1 - np.square(without(X, _columns(feature))).sum() / whole)


def _columns(feature: np.ndarray) -> np.ndarray:
    return feature[:, None] if feature.ndim == 1 else feature


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if np.ndim(a) != 2 or np.ndim(b) != 2 or len(a) != len(b):
        raise InputError(f"shapes {np.shape(a)} and {np.shape(b)}", hint="Give (n, d_a) and (n, d_b): the same inputs")
    if len(a) < 4:
        raise InputError(f"{len(a)} inputs are too few", hint="Give 4 or more")
    for name, phi in (("the first", a), ("the second", b)):
        if not np.isfinite(phi).all():
            raise InputError("holds NaN or an infinity", where=name)
