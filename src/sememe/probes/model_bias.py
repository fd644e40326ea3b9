"""What the representation of a user's own model favours, among features that are known of some texts.

For each feature: the share of variance that it explains (`sememe.probes.variance_explained`), how well it is decoded
(`sememe.probes.linear`), and where in the principal components it lies. Share and decodability are different things: a
feature may be decoded perfectly and take 1% of the variance, and the network may use it all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError
from sememe.probes.downstream import principal_scores
from sememe.probes.labelled import Feature, LabelledTexts
from sememe.probes.linear import LinearProbe, linear_probe, text_types
from sememe.probes.variance_explained import balanced_share, variance_explained

LEAST_TEXTS = 60
N_RESAMPLES, N_PERMUTATIONS, N_COMPONENTS = 1000, 20, 20
CORRELATED = 0.1
LOW_SHARE = 0.02


@dataclass(frozen=True)
class FeatureFigures:
    """One feature of one representation.

    Attributes:
        name: of the feature.
        kind: of the feature.
        share: of the held-out variance that it explains.
        interval: its 95% bootstrap interval over held-out texts.
        null: the share that is exceeded by one permutation of its values in twenty.
        unique: joint share of all features minus that of all others: what only it explains.
        balanced: what the share would be if a binary feature were balanced; None for others.
        probe: how well it is decoded (a numeric one: whether it is above the median).
        component: the principal component it is most correlated with, counted from 1.
        component_r: |correlation| with it.
    """

    name: str
    kind: str
    share: float
    interval: tuple[float, float]
    null: float
    unique: float
    balanced: float | None
    probe: LinearProbe
    component: int
    component_r: float


@dataclass(frozen=True)
class ModelBias:
    """All features of one representation.

    Attributes:
        features: in the order of the table.
        joint: share that all features explain together.
        n_fit: texts that maps and probes are fitted on.
        n_test: texts that they are measured on.
        dimensions: width of the representation.
        warnings: what a reader must know.
    """

    features: Sequence[FeatureFigures]
    joint: float
    n_fit: int
    n_test: int
    dimensions: int
    warnings: tuple[str, ...]


def model_bias(X: np.ndarray, table: LabelledTexts, *, random_state: int = 0) -> ModelBias:
    """Measure all features of a table on a representation.

    Half of the texts fit, the other half measures; equal texts are always in the same half.

    Args:
        X: (n, d), in the order of the table.
        table: texts and features.
        random_state: of the halves, permutations and control tasks.

    Raises:
        InputError: there are too few texts, or a feature is constant in one half.
    """
    if len(X) != len(table) or len(table) < LEAST_TEXTS:
        hint = f"Give {LEAST_TEXTS} labelled texts or more"
        raise InputError(f"{len(X)} vectors for {len(table)} labelled texts", where=table.name, hint=hint)
    X = np.asarray(X, np.float64)
    fit, test = halves(table.texts, random_state)
    matrices = [feature.matrix for feature in table.features]
    joint = _share(X, np.hstack(matrices), fit, test)
    types, scores = text_types(table.texts), principal_scores(X, min(N_COMPONENTS, X.shape[1]))
    found = []
    for place, feature in enumerate(table.features):
        _refuse_constant(feature, fit, test)
        others = [matrix for number, matrix in enumerate(matrices) if number != place]
        rest = _share(X, np.hstack(others), fit, test) if others else 0.0
        probe = linear_probe(X, feature.labels, types, fit, test, random_state=random_state)
        unique = joint - rest
        found.append(_figures(_Halves(X, scores, fit, test, random_state), feature, probe, unique))
    warnings = (*_correlations(table.features), *_notes(found, len(test), X.shape[1]))
    return ModelBias(found, joint, len(fit), len(test), X.shape[1], warnings)


def halves(texts: Sequence[str], random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two halves; equal texts are in one half."""
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(text, []).append(row)
    members = list(groups.values())
    order = np.random.default_rng([random_state, 26]).permutation(len(members))
    chosen = [members[place] for place in order]
    half = len(chosen) // 2
    return np.sort(np.concatenate(chosen[:half])), np.sort(np.concatenate(chosen[half:]))


@dataclass(frozen=True, eq=False)
class _Halves:
    """A representation, its first principal scores, and which rows fit and measure."""

    X: np.ndarray
    scores: np.ndarray
    fit: np.ndarray
    test: np.ndarray
    random_state: int


def _figures(data: _Halves, feature: Feature, probe: LinearProbe, unique: float) -> FeatureFigures:
    X, scores, fit, test = data.X, data.scores, data.fit, data.test
    rng = np.random.default_rng([data.random_state, 27])
    share = _share(X, feature.matrix, fit, test)
    null = [_share(X, feature.matrix[rng.permutation(len(X))], fit, test) for _ in range(N_PERMUTATIONS)]
    r = np.abs(np.corrcoef(np.hstack([scores, feature.matrix]), rowvar=False)[: scores.shape[1], scores.shape[1] :])
    component = int(r.max(axis=1).argmax())
    p = float(feature.matrix[test].mean()) if feature.kind == "binary" else None
    return FeatureFigures(
        name=feature.name,
        kind=feature.kind,
        share=share,
        interval=_interval(X, feature.matrix, fit, test, rng),
        null=max(null),
        unique=unique,
        balanced=None if p is None else balanced_share(share, p),
        probe=probe,
        component=component + 1,
        component_r=float(r[component].max()),
    )


def _share(X: np.ndarray, F: np.ndarray, fit: np.ndarray, test: np.ndarray) -> float:
    return variance_explained(X[fit], F[fit], X[test], F[test])


def _interval(
    X: np.ndarray, F: np.ndarray, fit: np.ndarray, test: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile bootstrap of the pooled ratio over held-out texts; the map stays as it was fitted."""
    mean, centre = X[fit].mean(axis=0), F[fit].mean(axis=0)
    W = np.linalg.lstsq(F[fit] - centre, X[fit] - mean, rcond=None)[0]
    target = X[test] - mean
    left, whole = np.square(target - (F[test] - centre) @ W).sum(axis=1), np.square(target).sum(axis=1)
    rows = rng.integers(0, len(test), (N_RESAMPLES, len(test)))
    low, high = np.quantile(1 - left[rows].sum(axis=1) / whole[rows].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _refuse_constant(feature: Feature, *parts: np.ndarray) -> None:
    for rows in parts:
        if (np.ptp(feature.matrix[rows], axis=0) == 0).all():
            hint = "It is too rare to measure; leave it out with --columns, or give more texts"
            raise InputError("is the same in one half of the texts", where=f"feature {feature.name!r}", hint=hint)


def _correlations(features: Sequence[Feature]) -> list[str]:
    """A warning for each pair of features that do not vary independently."""
    said = []
    for a, first in enumerate(features):
        for b in range(a + 1, len(features)):
            k, second = first.matrix.shape[1], features[b]
            r = np.abs(np.corrcoef(np.hstack([first.matrix, second.matrix]), rowvar=False)[:k, k:]).max()
            if r > CORRELATED + 3 / np.sqrt(len(first.matrix)):
                said.append(
                    f"{first.name!r} and {second.name!r} are correlated (|r| {r:.2f}): their shares overlap (see "
                    "unique), and a probe of one may read the other"
                )
    return said


def _notes(found: Sequence[FeatureFigures], n_test: int, dimensions: int) -> list[str]:
    said = []
    if n_test < dimensions:
        said.append(f"{n_test} held-out texts for {dimensions} dimensions: shares and probes are noisy")
    for figures in found:
        probe = figures.probe
        if figures.share <= figures.null:
            said.append(f"{figures.name!r} explains no more than a permutation of its values does")
        if figures.share < LOW_SHARE and probe.selectivity_interval[0] > 0 and probe.interval[0] > probe.majority:
            said.append(
                f"{figures.name!r} takes {figures.share:.1%} of the variance and is decoded at {probe.accuracy:.0%}: "
                "do not read its small share as unimportance"
            )
        if probe.known_types < 0.5:
            said.append(
                f"only {probe.known_types:.0%} of the held-out texts share a type with a fitted one: the control task "
                f"of {figures.name!r} could hardly be learned by heart"
            )
    return said
