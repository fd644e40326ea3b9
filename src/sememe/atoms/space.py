"""The coordinates in which a dictionary is learned, and the way back to those of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.weights import Weights


@dataclass(frozen=True, eq=False)
class Space:
    """y = (x - mean) M / scale, with M the identity, or the root of the atomic inner product.

    In the second case squared errors are those of the atomic norm, and a unit atom is one of unit S-norm.

    Attributes:
        mean: (d,), float32.
        scale: a number by which the vectors get a mean squared length of 1.
        root, inverse_root: M and its inverse (d, d), float32; None for the identity.
    """

    mean: np.ndarray
    scale: float
    root: np.ndarray | None = None
    inverse_root: np.ndarray | None = None

    def enter(self, X: np.ndarray) -> np.ndarray:
        """Vectors (n, d) of the data in these coordinates, float32."""
        centred: np.ndarray = X - self.mean
        if self.root is not None:
            centred = centred @ self.root
        centred /= np.float32(self.scale)
        return centred

    def weights(self, decoder: np.ndarray, bias: np.ndarray, coder: Any, k: int | None) -> Weights:
        """The dictionary in the units of the data, atoms of unit Euclidean norm.

        With x' = mean + scale (a D + bias) M^-1 and z = W_enc (y - bias) + b_enc, an atom becomes d_j M^-1 divided by
        its length l_j, and its activation is scale l_j times larger, so encoder row, bias and threshold are too.

        Args:
            decoder: D (n_atoms, d), here.
            bias: (d,), here.
            coder: `encoder` (n_atoms, d), `encoder_bias` and `thresholds` (n_atoms,), here.
            k: see `Weights`.
        """
        scale = np.float32(self.scale)
        encoder, lengths = coder["encoder"], np.ones(len(decoder), np.float32)
        bias = bias * scale
        if self.root is not None and self.inverse_root is not None:
            decoder, bias = decoder @ self.inverse_root, bias @ self.inverse_root
            encoder = encoder @ self.root
            lengths = np.linalg.norm(decoder, axis=1)
            decoder = decoder / lengths[:, None]
        return Weights(
            decoder=decoder,
            encoder=encoder * lengths[:, None],
            encoder_bias=coder["encoder_bias"] * scale * lengths,
            bias=self.mean + bias,
            thresholds=coder["thresholds"] * scale * lengths,
            k=k,
        )


def euclidean_space(mean: np.ndarray, scale: float) -> Space:
    """Centred and scaled, nothing else."""
    return Space(mean, scale)


def atomic_space(mean: np.ndarray, metric: AtomicInnerProduct, sample: np.ndarray) -> Space:
    """Centred, whitened by the root of an inner product, and scaled to a mean squared length of 1 on a sample."""
    root = metric.root.astype(np.float32)
    whitened = (sample - mean) @ root
    scale = float(np.sqrt(np.square(whitened, dtype=np.float64).sum(axis=1).mean()))
    return Space(mean, scale, root, metric.inverse_root.astype(np.float32))
