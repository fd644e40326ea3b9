"""Iterative quantisation: principal directions, rotated until their signs lose as little as possible.

Gong, Lazebnik, Gordo and Perronnin (PAMI 2013), section 3: V are the vectors' first b principal components. In turn,
B = sign(V R), and R is the rotation that minimises |B - V R|^2 (orthogonal Procrustes: R = U W^T for V^T B = U S W^T).
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from sememe.bank import Bank
from sememe.search.coarse.bits import LinearBits, whole_bits
from sememe.search.coarse.signs import random_rotation, training_rows

ROUNDS = 50  # as in the paper


class IterativeQuantization(LinearBits):
    """Codes by PCA and a learned rotation."""

    kind: ClassVar[str] = "itq"

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Learn directions and rotation from sampled rows; by default one bit a dimension, and never more."""
        n_bits = whole_bits(parameter, cls.kind, bank.dimensions, bank.dimensions)
        return cls(*learn_itq(training_rows(bank, random_state), n_bits, random_state))


def learn_itq(X: np.ndarray, n_bits: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) and the directions (n_bits, d) of vectors (n, d)."""
    mean = X.mean(axis=0, dtype=np.float64)
    covariance = np.cov(X.astype(np.float64).T, bias=True).reshape(X.shape[1], -1)
    principal = np.linalg.eigh(covariance)[1][:, ::-1][:, :n_bits].T
    V = ((X - mean) @ principal.T).astype(np.float32)
    R = random_rotation(n_bits, np.random.default_rng(random_state)).astype(np.float32)
    for _ in range(ROUNDS):
        U, _, Wt = np.linalg.svd(V.T @ np.where(V @ R > 0, np.float32(1), np.float32(-1)))
        R = U @ Wt
    return mean, R.T @ principal


def quantization_error(X: np.ndarray, mean: np.ndarray, matrix: np.ndarray) -> float:
    """What ITQ minimises: mean |sign(y) - y|^2 for y = matrix (x - mean)."""
    projected = (X - mean) @ matrix.T
    return float(np.square(np.where(projected > 0, 1, -1) - projected).sum(axis=1).mean())
