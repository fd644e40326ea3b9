"""Codes without learning: the signs of centred vectors, and of randomly rotated ones (locality-sensitive hashing)."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search.coarse.bits import LinearBits, whole_bits
from sememe.search.coarse.selecting import sampled_rows


class Signs(LinearBits):
    """The sign of every dimension around the mean, one bit each."""

    kind: ClassVar[str] = "sign"

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Take the mean of sampled rows."""
        if parameter not in (None, bank.dimensions):
            raise InputError(
                f"has one bit a dimension, {bank.dimensions}, and not {parameter}",
                where=f"sign:{parameter}",
                hint="Use lsh or itq for other numbers of bits",
            )
        sample = training_rows(bank, random_state)
        return cls(sample.mean(axis=0, dtype=np.float64), np.eye(bank.dimensions))


class RandomRotation(LinearBits):
    """Signs after a random rotation: random hyperplanes (Charikar, STOC 2002) that are orthogonal to each other.

    Ji et al. (NIPS 2012) show that orthogonal hyperplanes estimate angles with less variance than independent ones.
    More bits than dimensions come from several rotations.
    """

    kind: ClassVar[str] = "lsh"

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Take the mean of sampled rows and draw the rotation; by default one bit a dimension."""
        n_bits = whole_bits(parameter, cls.kind, bank.dimensions)
        return cls(*draw_directions(training_rows(bank, random_state), n_bits, random_state))


def draw_directions(X: np.ndarray, n_bits: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) of vectors (n, d) and random directions (n_bits, d), orthogonal in groups of d."""
    d, rng = X.shape[1], np.random.default_rng(random_state)
    rotations = [random_rotation(d, rng) for _ in range(-(-n_bits // d))]
    return X.mean(axis=0, dtype=np.float64), np.concatenate(rotations)[:n_bits]


def random_rotation(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random orthogonal matrix (n, n), uniform over all (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    rotation: np.ndarray = q * np.sign(np.diag(r))
    return rotation


def training_rows(bank: Bank, random_state: int) -> np.ndarray:
    """A sample of rows to learn from.

    Raises:
        InputError: there are none.

    """
    if not len(bank):
        raise InputError("holds no vectors to learn codes from", where=str(bank.path))
    return bank[sampled_rows(bank, random_state)]
