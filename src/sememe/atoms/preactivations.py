"""Pre-activations z = (x - b) E^T + b_enc of a batch, exact wherever an activation could be.

Only a few in a thousand decide anything, yet the product that gives them all is most of the dense work of a training
step. On a processor with instructions for bfloat16, a product in that format comes first, and pairs that could be
active are computed again in float32, so what is chosen is chosen by exact values.

"Could be" means within six standard deviations of the first product's error. With unit roundoff u = 2^-8, each factor
x_i, e_i of an inner product is off by at most u of itself, and independent errors, spread evenly, give a variance of
2 u^2 / 3 sum_i x_i^2 e_i^2 <= 2 u^2 / 3 |x|_4^2 |e|_4^2 (Cauchy and Schwarz). A pair beyond that, one in 10^9 of those
that lie just at their threshold, would be missing in one step.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from sememe.atoms.pairs import products_of_pairs, starts_of
from sememe.extras import require

ROUNDOFF = 2.0**-8  # of bfloat16
DEVIATIONS = 6
MOST_PAIRS = 0.1  # with more pairs to compute again, a product in float32 is faster
BLOCKS = 128  # what a row is cut into, to bound its k-th largest value from below


class Chosen(NamedTuple):
    """Pairs (vector, atom) of a batch sorted by vector and then by atom, and their pre-activations; each (m,)."""

    row: Any
    atom: Any
    value: Any


class PreActivations(Protocol):
    """The pre-activations of a batch (n, n_atoms)."""

    def __len__(self) -> int:
        """The number of vectors."""

    def above(self, thresholds: Any) -> Chosen:
        """All pairs with z > threshold; `thresholds` is a number or (n_atoms,)."""

    def top(self, k: int) -> Chosen:
        """The k largest of each vector; of equal ones, some."""


def preactivations(x: Any, encoder: Any, bias: Any) -> PreActivations:
    """The pre-activations of centred vectors.

    Args:
        x: the vectors without the decoder's bias (n, d).
        encoder: one row an atom (n_atoms, d).
        bias: of the encoder (n_atoms,).
    """
    torch = require("torch", "models")
    if x.dtype == torch.float32 and x.device.type == "cpu" and multiplies_bfloat16():
        return Screened(x, encoder, bias)
    return Dense(x, encoder, bias)


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    torch = require("torch", "models")
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


class Dense:
    """All pre-activations at once."""

    def __init__(self, x: Any, encoder: Any, bias: Any) -> None:
        torch = require("torch", "models")
        self._z = torch.addmm(bias, x, encoder.T)

    def __len__(self) -> int:
        return len(self._z)

    def above(self, thresholds: Any) -> Chosen:
        row, atom = (self._z > thresholds).nonzero(as_tuple=True)
        return Chosen(row, atom, self._z[row, atom])

    def top(self, k: int) -> Chosen:
        return _largest(self._z, k)


class Screened:
    """Bounds of all pre-activations, and exact values where the bounds leave open what is chosen."""

    def __init__(self, x: Any, encoder: Any, bias: Any) -> None:
        self._x, self._encoder, self._bias = x, encoder, bias
        self._length = _norm4(x)
        self._width = DEVIATIONS * ROUNDOFF * (2 / 3) ** 0.5 * _norm4(encoder)

    def __len__(self) -> int:
        return len(self._x)

    def above(self, thresholds: Any) -> Chosen:
        # Rounding does not change a sign, so the bound of z - threshold may itself be rounded.
        found = self._exact(self._bounds(self._bias - thresholds), 0.0)
        kept = found.value > (thresholds if isinstance(thresholds, float) else thresholds[found.atom])
        return Chosen(found.row[kept], found.atom[kept], found.value[kept])

    def top(self, k: int) -> Chosen:
        torch = require("torch", "models")
        n, n_atoms = len(self._x), len(self._encoder)
        k = min(k, n_atoms)
        bounds = self._bounds(self._bias)
        width = n_atoms // BLOCKS
        # Each block's largest is among the values, so their k-th largest is no larger than that of all.
        few = bounds[:, : BLOCKS * width].view(n, width, BLOCKS).amax(1) if k <= BLOCKS and width > 1 else bounds
        largest = few.topk(k, dim=1, sorted=False).values.amin(1).float()
        # What a bound is above its value at most, and the roundings of two bounds and of the bar.
        gap = 2 * (1 + 16 * ROUNDOFF) * self._length * self._width.max()
        gap += 4 * ROUNDOFF * (largest.abs() + gap + self._bias.abs().max())
        found = self._exact(bounds, (largest - gap)[:, None])
        counts = torch.bincount(found.row, minlength=n)
        place = torch.arange(len(found.row)) - (counts.cumsum(0) - counts)[found.row]
        padded = torch.full((n, int(counts.max())), -torch.inf)
        padded[found.row, place] = found.value
        atoms = torch.zeros(padded.shape, dtype=torch.long)
        atoms[found.row, place] = found.atom
        best = _largest(padded, k)
        return Chosen(best.row, atoms[best.row, best.atom], best.value)

    def _bounds(self, bias: Any) -> Any:
        """Upper bounds of x E^T + bias (n, n_atoms), rounded to bfloat16, all in one product."""
        torch = require("torch", "models")
        one = torch.ones_like(self._length)
        left = torch.cat([self._x.bfloat16(), torch.stack([_up(self._length), _up(one)], 1)], 1)
        right = torch.cat([self._encoder.bfloat16(), torch.stack([_up(self._width), _up(bias)], 1)], 1)
        return left @ right.T

    def _exact(self, bounds: Any, bars: Any) -> Chosen:
        """The pairs whose bounds are above bars (a number or (n, 1)), with their values."""
        torch = require("torch", "models")
        # Bit patterns of bfloat16 are ordered as its positive numbers are; NumPy finds the few many times faster.
        over = bounds.view(torch.int16).numpy() > 0 if isinstance(bars, float) else (bounds > _down(bars)).numpy()
        place = torch.from_numpy(np.flatnonzero(over))
        row, atom = place // bounds.shape[1], place % bounds.shape[1]
        if len(place) > MOST_PAIRS * bounds.numel():
            return Chosen(row, atom, (self._x @ self._encoder.T)[row, atom] + self._bias[atom])
        value = products_of_pairs(self._x, self._encoder, starts_of(row, len(self._x)), atom)
        return Chosen(row, atom, value + self._bias[atom])


def _norm4(rows: Any) -> Any:
    """(sum_i x_i^4)^(1/4) of each row."""
    squares = rows.square()
    return squares.norm(dim=1).sqrt()


def _up(x: Any) -> Any:
    """The least numbers of bfloat16 that are not below x."""
    torch = require("torch", "models")
    near = x.bfloat16()
    return torch.where(near.float() < x, torch.nextafter(near, torch.full_like(near, torch.inf)), near)


def _down(x: Any) -> Any:
    return -_up(-x)


def _largest(z: Any, k: int) -> Chosen:
    torch = require("torch", "models")
    k = min(k, z.shape[1])
    value, place = torch.topk(z, k, dim=1, sorted=False)
    place, order = place.sort(dim=1)
    row = torch.arange(len(z)).repeat_interleave(k)
    return Chosen(row, place.flatten(), value.gather(1, order).flatten())
