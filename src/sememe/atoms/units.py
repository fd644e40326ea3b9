"""The scorecard: any set of units of a representation, judged by faithfulness and stability, beside its controls.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), sections 3.5 and 3.7, which compares neurons,
features of sparse autoencoders and atoms. Added here: figures on held-out vectors first, q* of random atoms with the
same sparsity, and the strong simple rivals that any dictionary must beat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sememe.atoms.atoms import Atoms
from sememe.atoms.coherence import Coherence, coherence
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.measure import r2
from sememe.atoms.recovery import pursuit_codes
from sememe.atoms.stability import q_star_random, stability
from sememe.errors import InputError

MEMORISED = 0.1  # how much better R2 may be on training vectors


@dataclass(frozen=True, eq=False)
class Units:
    """A set of units, as directions and as a way of coding vectors in them.

    Attributes:
        name: what they are.
        directions: (n_units, d); units that are never used may be left out.
        decompose: vectors (n, d) -> how many units each one uses (n,), and their reconstruction (n, d).
    """

    name: str
    directions: np.ndarray
    decompose: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class UnitScore:
    """How a set of units does.

    Attributes:
        name: what they are.
        n_units: how many.
        r2, r2_train: R2 on held-out and on training vectors; 1 - sum |x - x'|^2 / sum |x - m|^2, m the training mean.
        k_median, k_95: how many units a held-out vector uses.
        q_star, q_star_random: see `sememe.atoms.stability`.
        strict: whether the uniqueness theorem really holds.
        coherence: the largest cosine of two of them.
    """

    name: str
    n_units: int
    r2: float
    r2_train: float
    k_median: float
    k_95: float
    q_star: float
    q_star_random: float
    strict: bool
    coherence: float

    @property
    def verdict(self) -> str:
        """What a reader should not overlook."""
        if self.r2_train - self.r2 > MEMORISED:
            return f"memorised: R2 {self.r2_train:.2f} on training vectors, {self.r2:.2f} held out"
        if self.q_star <= self.q_star_random:
            return "no more separated than random directions"
        return ""


def score_units(units: Units, train: np.ndarray, held_out: np.ndarray, metric: AtomicInnerProduct) -> UnitScore:
    """Score a set of units.

    Args:
        units: what to score.
        train: training vectors (n, d).
        held_out: vectors that neither the units nor the inner product were learned from (m, d).
        metric: the inner product of the cosines.

    Raises:
        InputError: there are fewer than two units, or no vectors.
    """
    if not len(held_out) or not len(train):
        raise InputError("there are no vectors to score on", where=units.name)
    mean = train.mean(axis=0, dtype=np.float64)
    used, decoded = units.decompose(held_out)
    _, decoded_train = units.decompose(train)
    measured: Coherence = coherence(units.directions, metric)
    found = stability(measured, used)
    return UnitScore(
        units.name,
        len(units.directions),
        r2(held_out, decoded, mean),
        r2(train, decoded_train, mean),
        float(np.median(used)),
        float(np.quantile(used, 0.95)),
        found.q_star,
        q_star_random(len(units.directions), units.directions.shape[1], used),
        found.strict,
        measured.mutual,
    )


def units_of(atoms: Atoms, name: str = "atoms") -> Units:
    """Learned atoms; those that never fired are left out of all pairs."""

    def decompose(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        codes = atoms.transform(X)
        return np.diff(codes.indptr), atoms.inverse_transform(codes)

    return Units(name, atoms.decoder[atoms.fired > 0], decompose)


def neurons(d: int) -> Units:
    """The coordinates themselves: perfect, and every vector uses all of them."""
    return Units("neurons", np.eye(d), lambda X: (np.full(len(X), d), X))


def principal_components(train: np.ndarray, n: int) -> Units:
    """The first n principal components of the training vectors (m, d)."""
    mean = train.mean(axis=0, dtype=np.float64)
    centred = train - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    components = vectors.T[::-1][:n]
    return Units(
        f"{n} principal components",
        components,
        lambda X: (np.full(len(X), n), ((X - mean) @ components.T) @ components + mean),
    )


def pursued(name: str, directions: np.ndarray, mean: np.ndarray, k: int) -> Units:
    """Given directions (n_units, d) with codes by orthogonal matching pursuit, k of them for each vector."""
    directions = np.asarray(directions, np.float64)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def decompose(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        codes = pursuit_codes(unit, X - mean, k)
        return np.diff(codes.indptr), codes @ unit + mean

    return Units(name, unit, decompose)


def random_units(train: np.ndarray, n: int, k: int, random_state: int = 0) -> Units:
    """As many random Gaussian directions, coded by pursuit with k of them: what learning must beat."""
    rng = np.random.default_rng([random_state, 13])
    return pursued(
        f"{n} random directions", rng.standard_normal((n, train.shape[1])), train.mean(axis=0, dtype=np.float64), k
    )


def sample_units(train: np.ndarray, n: int, k: int, random_state: int = 0) -> Units:
    """Training vectors themselves as units, coded by pursuit: what pure memory achieves."""
    rng = np.random.default_rng([random_state, 17])
    mean = train.mean(axis=0, dtype=np.float64)
    chosen = train[np.sort(rng.choice(len(train), min(n, len(train)), replace=False))] - mean
    return pursued(f"{len(chosen)} training vectors", chosen, mean, k)
