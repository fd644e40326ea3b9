"""Any measure of representations on the bench, where all features matter equally: which bias does it inherit.

A measure that sees one feature more strongly there sees a bias, for both are computed equally well and used equally.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError
from sememe.probes.downstream import principal_scores
from sememe.probes.feature_bias import BenchResult
from sememe.probes.linear import LinearClassifier
from sememe.probes.similarity import rdm
from sememe.probes.variance_explained import unit_density, variance_explained

Measure = Callable[[np.ndarray, np.ndarray], Sequence[float]]
"""Representations (n, d) and features (n, k) -> how much the measure sees of each feature."""
N_ATOMS, N_COMPONENTS, N_PAIRS = 128, 2, 400


@dataclass(frozen=True)
class Audit:
    """What a measure sees.

    Attributes:
        seen: feature -> value of each run.
        ratio: by how much the first feature is seen more strongly than the last: ratio of means over runs.
        verdict: one sentence.
    """

    seen: Mapping[str, Sequence[float]]
    ratio: float
    verdict: str


def audit(measure: Measure | str, bench: BenchResult) -> Audit:
    """Run a measure on every network of the bench.

    Args:
        measure: a function, or the name of one of `MEASURES`.
        bench: networks that learned all features.

    Raises:
        InputError: there is no such measure, no network, or the measure gives another number of values.
    """
    function = _named(measure) if isinstance(measure, str) else measure
    if not bench.runs:
        raise InputError("no network learned every feature", where="the bench", hint="Raise --max-steps")
    names = list(bench.config.features)
    rows = [[float(value) for value in function(run.phi[run.test], run.task.F[run.test])] for run in bench.runs]
    if any(len(row) != len(names) for row in rows):
        raise InputError(f"the measure gives {len(rows[0])} values for {len(names)} features", where="audit")
    seen = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    first, last = (float(np.mean(seen[name])) for name in (names[0], names[-1]))
    ratio = first / last if last > 0 else float("inf")
    return Audit(seen, ratio, _verdict(names[0], names[-1], ratio))


def _verdict(first: str, last: str, ratio: float) -> str:
    if not 0 < ratio < float("inf"):
        return f"this measure sees {first!r} only, although {last!r} is computed as well"
    more, less, times = (first, last, ratio) if ratio >= 1 else (last, first, 1 / ratio)
    if times < 1.25:
        return f"this measure sees {first!r} and {last!r} about alike"
    return f"this measure sees {more!r} {times:.1f} times as strongly as {less!r}, although both are used equally"


def _explained(phi: np.ndarray, F: np.ndarray) -> list[float]:
    half = len(phi) // 2
    return [variance_explained(phi[:half], f[:half], phi[half:], f[half:]) for f in F.T]


def _components(phi: np.ndarray, F: np.ndarray) -> list[float]:
    """Squared correlation of each feature with the first two principal components, added up and cut at 1."""
    scores = principal_scores(phi, N_COMPONENTS)
    return [min(1.0, sum(np.corrcoef(score, f)[0, 1] ** 2 for score in scores.T)) for f in F.T]


def _dissimilarity(phi: np.ndarray, F: np.ndarray) -> list[float]:
    """Spearman correlation of the representation's dissimilarities with each feature's own."""
    from scipy.stats import spearmanr

    found = rdm(phi[:N_PAIRS])
    return [float(spearmanr(found, rdm(f[:N_PAIRS, None])).statistic) for f in F.T]


def _probe(phi: np.ndarray, F: np.ndarray) -> list[float]:
    """Held-out accuracy of a linear probe above chance, scaled to 1."""
    half = len(phi) // 2
    X = phi.astype(np.float64)
    probes = [LinearClassifier.fit(X[:half], f[:half].astype(int), 1e-3, 2) for f in F.T]
    return [2 * float((probe.predict(X[half:]) == f[half:]).mean()) - 1 for probe, f in zip(probes, F.T, strict=True)]


def _units(phi: np.ndarray, F: np.ndarray) -> list[float]:
    return [float(count) for count in unit_density(phi, F)]


def _atoms(phi: np.ndarray, F: np.ndarray) -> list[float]:
    """Number of Sememe's atoms whose activation is correlated with each feature by more than 0.5."""
    from sememe.atoms import Atoms

    atoms = Atoms.fit(np.ascontiguousarray(phi, np.float32), N_ATOMS, steps=400, batch_size=256)
    return _units(atoms.transform(phi).toarray(), F)


def _atom_variance(phi: np.ndarray, F: np.ndarray) -> list[float]:
    """Share of the variance of the codes of Sememe's atoms that each feature explains."""
    from sememe.atoms import Atoms

    atoms = Atoms.fit(np.ascontiguousarray(phi, np.float32), N_ATOMS, steps=400, batch_size=256)
    return _explained(atoms.transform(phi).toarray(), F)


MEASURES: Mapping[str, Measure] = {
    "r2": _explained,
    "pca": _components,
    "rsa": _dissimilarity,
    "units": _units,
    "probe": _probe,
    "atoms": _atoms,
    "atom-variance": _atom_variance,
}


def _named(name: str) -> Measure:
    if name not in MEASURES:
        raise InputError(f"there is no measure {name!r}", hint=f"Use {', '.join(MEASURES)}")
    return MEASURES[name]
