"""The certificate: which of the atoms can be trusted, and what is proved, measured, or only hoped.

Sources: "Towards Atoms of Large Language Models" (arXiv 2509.20784), sections 3.3 to 3.5, for the conditions and q*;
Donoho & Elad 2003 and Tropp 2004 for the bounds. Three levels, from strict to lenient:

proved
    The atom's correlation with a vector decides whether it is active, whatever the other active atoms are, up to
    `recovery_k` of them with equal coefficients (`sememe.atoms.coherence.exact_recovery_k`). Worst case over all codes,
    so few learned dictionaries have many such atoms at the sparsity they are used with.
recovered
    On codes as they really occur: held-out vectors are coded, the codes are decoded, and what was decoded is coded
    again. An atom is recovered when it fires in the second codes where it fires in the first and nowhere else (F1 of at
    least 0.9). It says that the dictionary tells its own atoms apart, not that another training would find them;
    `sememe.atoms.matching` measures that.
uncertain
    Neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.atoms.coherence import (
    Coherence,
    coherence,
    exact_recovery_k,
    rip_bound,
    unique_k_max,
    welch_bound,
)
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.measure import Score
from sememe.atoms.stability import as_figures, q_star_random, stability
from sememe.atoms.weights import Weights

RECOVERED = 0.9
MINIMUM_FIRED = 5  # below, an F1 means nothing
CERTIFIED = ("coherence", "recovery_k", "recovered")
GRADES = ("proved", "recovered", "uncertain", "unmeasured", "dead")


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known about a dictionary and about each of its atoms.

    Attributes:
        figures: about the dictionary, as `certify` says.
        coherence: each atom's largest |cosine| with another live one (n_atoms,), NaN where it is dead.
        recovery_k: up to how many active atoms each one is provably told apart (n_atoms,), 0 where it is dead.
        recovered: F1 of each one's recovery from decoded codes (n_atoms,), NaN where it fired too rarely to tell.
        dead: which never fired (n_atoms,).
    """

    figures: dict[str, Any]
    coherence: np.ndarray
    recovery_k: np.ndarray
    recovered: np.ndarray
    dead: np.ndarray

    def grades(self) -> list[str]:
        """A word for each atom; see the module."""
        proved = self.recovery_k >= self.figures["k_median"]
        return [
            "dead" if self.dead[j] else "proved" if proved[j] else _grade(float(self.recovered[j]))
            for j in range(len(self.dead))
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """What an artifact keeps beside the figures."""
        return {
            "certified.coherence": self.coherence.astype(np.float32),
            "certified.recovery_k": self.recovery_k.astype(np.int32),
            "certified.recovered": self.recovered,  # float64: an F1 of exactly 0.9 must stay on its side
        }


def certify(
    weights: Weights, fired: np.ndarray, held_out: Score, sample: np.ndarray, metric: AtomicInnerProduct | None
) -> Certificate:
    """Certify a dictionary.

    Args:
        weights: the dictionary.
        fired: on how many of all vectors each atom fired (n_atoms,); those that never did are left out of all pairs,
            for they would flatter q*.
        held_out: its score on held-out vectors.
        sample: some of them (n, d).
        metric: the inner product for cosines; Euclidean when None.

    Returns:
        With the figures `inner_product` (its source), `condition` (of its matrix), `live_atoms`; for cosines in this
        inner product `mutual_coherence` (mu, the largest), `rms_coherence` (root mean square over pairs), `welch_bound`
        (what is possible at best); `unique_k_max` (so many active atoms make a unique, l1-recoverable code, by mu),
        `exact_recovery_k` (the same by the Babel function), `rip_bound` ((K - 1) mu for the median K; below 1 it means
        something); `k_median` and `k_95` (active atoms of held-out vectors); `q_star`, `mu_at_q_star`, `k_at_q_star`,
        `strict` and `q_star_random` (see `sememe.atoms.stability`); `euclidean` (`mutual_coherence`, `unique_k_max` and
        `q_star` with ordinary cosines); and `proved`, `recovered`, `uncertain`, `unmeasured`, `dead`: how many atoms
        have each grade.
    """
    live = np.asarray(fired) > 0
    atoms = weights.decoder[live]
    measured = coherence(atoms, metric)
    active = np.sort(held_out.active)
    k_median = max(1, round(float(np.median(active)))) if len(active) else 1
    figures: dict[str, Any] = {
        "inner_product": "euclidean" if metric is None else metric.source,
        "condition": 1.0 if metric is None else float(f"{metric.condition:.4g}"),
        "live_atoms": len(atoms),
        **_geometry(measured, k_median),
        "k_median": k_median,
        "k_95": float(np.quantile(active, 0.95)) if len(active) else 0.0,
        "mean_active": round(held_out.mean_active, 4),
        **_stability(measured, active, weights.dimensions),
    }
    if metric is not None:
        plain = coherence(atoms)
        figures["euclidean"] = {
            "mutual_coherence": round(plain.mutual, 6),
            "unique_k_max": unique_k_max(plain.mutual),
            "q_star": _stability(plain, active, None)["q_star"],
        }
    n = weights.n_atoms
    nearest, recovery_k = np.full(n, np.nan), np.zeros(n, np.int64)
    nearest[live] = measured.nearest
    recovery_k[live] = exact_recovery_k(measured.babel)
    found = Certificate(figures, nearest, recovery_k, self_recovery(weights, sample), ~live)
    grades = found.grades()
    figures.update({grade: grades.count(grade) for grade in GRADES})
    return found


def recovered_share(figures: dict[str, Any]) -> float | None:
    """Which part of the atoms that fire often enough to tell is recovered, or proved; None if none does or is known."""
    if "recovered" not in figures:
        return None
    trusted = figures["proved"] + figures["recovered"]
    measured = trusted + figures["uncertain"]
    return trusted / measured if measured else None


def restore(figures: dict[str, Any], arrays: dict[str, np.ndarray], fired: np.ndarray) -> Certificate | None:
    """The certificate from what an artifact kept; None if it kept no figures of single atoms."""
    try:
        nearest, recovery_k, recovered = (arrays[f"certified.{name}"] for name in CERTIFIED)
    except KeyError:
        return None
    return Certificate(figures, nearest, recovery_k, recovered, np.asarray(fired) == 0)


def self_recovery(weights: Weights, X: np.ndarray) -> np.ndarray:
    """F1 of each atom's support after coding, decoding and coding again (n_atoms,); see the module.

    NaN where an atom fires on fewer than five of the vectors X (n, d).
    """
    first = weights.encode(X)
    second = weights.encode(weights.decode(first))
    fired = np.bincount(first.indices, minlength=weights.n_atoms)
    again = np.bincount(second.indices, minlength=weights.n_atoms)
    both = np.bincount(first.multiply(second > 0).tocsr().indices, minlength=weights.n_atoms)
    f1: np.ndarray = 2 * both / np.maximum(fired + again, 1)
    return np.where(fired >= MINIMUM_FIRED, f1, np.nan)


def _geometry(measured: Coherence, k: int) -> dict[str, Any]:
    largest = measured.babel.max(axis=0, initial=0.0)[None] if measured.n_atoms else np.zeros((1, 1))
    return {
        "mutual_coherence": round(measured.mutual, 6),
        "rms_coherence": round(float(np.sqrt(measured.mean_square)), 6),
        "welch_bound": round(welch_bound(measured.n_atoms, measured.dimensions), 6),
        "unique_k_max": unique_k_max(measured.mutual),
        "exact_recovery_k": int(exact_recovery_k(largest)[0]),
        "rip_bound": round(rip_bound(measured.mutual, k), 6),
    }


def _stability(measured: Coherence, active: np.ndarray, dimensions: int | None) -> dict[str, Any]:
    if measured.n_atoms < 2 or not len(active):
        return {"q_star": None}
    figures = as_figures(stability(measured, active))
    if dimensions is not None:
        figures["q_star_random"] = round(q_star_random(measured.n_atoms, dimensions, active), 6)
    return figures


def _grade(recovered: float) -> str:
    if np.isnan(recovered):
        return "unmeasured"
    return "recovered" if recovered >= RECOVERED else "uncertain"
