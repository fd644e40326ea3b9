"""q*, the paper's stability: how much of a dictionary's coherence and sparsity meets the uniqueness condition.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), section 3: q* = sup{q : mu_q < 1 / (2 K_q - 1)},
where mu_q and K_q are the q-quantiles of the coherence of pairs of atoms and of the number of active atoms.

What to know before reading it: q* is a statistical surrogate. A value of 0.998 does not mean that the uniqueness
theorem holds, which needs the *largest* coherence (`strict`). In a whitened space it hardly depends on anything but the
sparsity: a random dictionary with the same number of active atoms scores nearly as well, so `q_star_random` stands
beside it, and only the difference is evidence. And it is not stability from seed to seed; see `sememe.atoms.matching`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sememe.atoms.coherence import Coherence, coherence, interpolated
from sememe.errors import InputError

STEPS = 40


@dataclass(frozen=True)
class Stability:
    """What q* is, and what it hangs on.

    Attributes:
        q_star: in [0, 1].
        mu: the coherence at q*.
        k: the number of active atoms at q*, at least 1.
        strict: whether the theorem's own condition holds: largest coherence < 1 / (2 largest K - 1).
        curve: (q, mu_q, K_q) for q = 0, 0.05 ... 1.
    """

    q_star: float
    mu: float
    k: float
    strict: bool
    curve: tuple[tuple[float, float, float], ...]


def stability(
    measured: Coherence, active: np.ndarray, *, pairs: Literal["pairwise", "per_atom"] = "pairwise"
) -> Stability:
    """q* of a dictionary.

    Args:
        measured: the coherence of its atoms; only of those that ever fire.
        active: how many atoms are active in each vector (n,).
        pairs: whether mu_q is a quantile over all pairs of atoms (the paper's reading as far as its figures tell), or
            over atoms of each one's largest coherence.

    Raises:
        InputError: there are no vectors, or fewer than two atoms.
    """
    if not len(active):
        raise InputError("there are no codes", where="stability")
    if measured.n_atoms < 2:
        raise InputError(f"{measured.n_atoms} atoms have no pairs", where="stability", hint="Give at least 2")
    counts = np.sort(np.asarray(active, np.float64))
    largest = np.sort(measured.nearest)
    mu_of: Callable[[float], float] = measured.quantile if pairs == "pairwise" else lambda q: interpolated(largest, q)
    return _stability(mu_of, measured.mutual, counts)


def q_star(coherences: np.ndarray, active: np.ndarray) -> float:
    """q* from the coherences of pairs (m,) and the numbers of active atoms (n,) themselves."""
    pairs, counts = np.sort(np.asarray(coherences, np.float64)), np.sort(np.asarray(active, np.float64))
    return _stability(lambda q: interpolated(pairs, q), float(pairs[-1]), counts).q_star


def q_star_random(n_atoms: int, dimensions: int, active: np.ndarray, random_state: int = 0) -> float:
    """q* of as many random Gaussian atoms with the same numbers of active atoms: what no learning achieves."""
    rng = np.random.default_rng([random_state, 11])
    atoms = rng.standard_normal((n_atoms, dimensions), dtype=np.float32)
    return stability(coherence(atoms), active).q_star


def as_figures(found: Stability) -> dict[str, Any]:
    """What a certificate keeps."""
    return {
        "q_star": round(found.q_star, 6),
        "mu_at_q_star": round(found.mu, 6),
        "k_at_q_star": round(found.k, 3),
        "strict": found.strict,
    }


def _stability(mu_of: Callable[[float], float], mutual: float, counts: np.ndarray) -> Stability:
    def k_of(q: float) -> float:
        return max(1.0, interpolated(counts, q))

    def excess(q: float) -> float:
        """mu_q (2 K_q - 1): never falls as q grows, and the condition is that it is below 1."""
        return mu_of(q) * (2 * k_of(q) - 1)

    if excess(1.0) < 1:
        found = 1.0
    elif excess(0.0) >= 1:
        found = 0.0
    else:
        low, high = 0.0, 1.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) < 1 else (low, middle)
        found = low
    curve = tuple((q / 20, mu_of(q / 20), k_of(q / 20)) for q in range(21))
    strict = mutual * (2 * max(1.0, float(counts[-1])) - 1) < 1
    return Stability(found, mu_of(found), k_of(found), strict, curve)
