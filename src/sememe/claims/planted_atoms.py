"""Vectors made of planted atoms, so that it is known what should be found, and how a wrong dictionary looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.atoms import Atoms, Weights
from sememe.atoms.certificate import self_recovery
from sememe.atoms.measure import r2

RECOVERED = 0.95  # cosine above which a planted atom counts as found


@dataclass(frozen=True)
class Planted:
    """Vectors x = sum_j a_j d_j with K positive coefficients in [1, 1.5].

    Attributes:
        atoms: the planted atoms (n_atoms, d), unit norm.
        train, held_out: vectors (n, d), float32.
    """

    atoms: np.ndarray
    train: np.ndarray
    held_out: np.ndarray

    def found(self, atoms: Atoms) -> tuple[float, float]:
        """The mean over planted atoms of the largest cosine with a learned one, and the share above 0.95."""
        best = np.abs(self.atoms @ atoms.decoder.T).max(axis=1)
        return float(best.mean()), float((best > RECOVERED).mean())


def plant(n_train: int, n_held_out: int, d: int, n_atoms: int, *, k: int, seed: int) -> Planted:
    """Draw atoms and vectors."""
    rng = np.random.default_rng([seed, 19])
    atoms = rng.standard_normal((n_atoms, d))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    n = n_train + n_held_out
    chosen = np.argsort(rng.random((n, n_atoms)), axis=1)[:, :k]
    codes = np.zeros((n, n_atoms))
    np.put_along_axis(codes, chosen, rng.uniform(1, 1.5, (n, k)), axis=1)
    vectors = (codes @ atoms).astype(np.float32)
    return Planted(atoms, vectors[:n_train], vectors[n_train:])


def held_out_score(atoms: Atoms, planted: Planted) -> tuple[float, float]:
    """R2 (about the mean of the training vectors) and the mean number of active atoms on held-out vectors."""
    codes = atoms.transform(planted.held_out)
    found = r2(planted.held_out, atoms.inverse_transform(codes), planted.train.mean(axis=0))
    return found, codes.nnz / len(planted.held_out)


def caught(atoms: Atoms, planted: Planted, seed: int) -> tuple[float, float]:
    """The share of atoms that the certificate grades as recovered: of sound ones, and of ones made wrong.

    A third of the atoms that stand for a planted one are replaced by the normalised sum of two others, as a dictionary
    does that merges or splits what is separate in the data.
    """
    w = atoms.weights
    true = np.flatnonzero((np.abs(planted.atoms @ w.decoder.T) > RECOVERED).any(axis=0) & (atoms.fired > 0))
    rng = np.random.default_rng([seed, 23])
    wrong = rng.permutation(true)[: max(1, len(true) // 3)]
    others = np.setdiff1d(true, wrong)
    decoder = w.decoder.copy()
    for atom in wrong:
        mixed = decoder[rng.choice(others, 2, replace=False)].sum(axis=0)
        decoder[atom] = mixed / np.linalg.norm(mixed)
    changed = Weights(decoder, w.encoder, w.encoder_bias, w.bias, w.thresholds, w.k)
    sound = self_recovery(w, planted.held_out)[true]
    spoiled = self_recovery(changed, planted.held_out)[wrong]
    return _share(sound), _share(spoiled)


def _share(f1: np.ndarray) -> float:
    measured = f1[~np.isnan(f1)]
    return float((measured >= 0.9).mean()) if len(measured) else 0.0
