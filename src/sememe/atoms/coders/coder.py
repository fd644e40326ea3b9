"""What a sparse coder is to the trainer: a choice of activations, and gradients for the numbers it owns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from sememe.atoms.preactivations import PreActivations

GAIN = 0.03

Parameters = dict[str, Any]
"""Tensors by name: `decoder`, `encoder` (n_atoms, d), `encoder_bias` (n_atoms,), `bias` (d,), and the coder's own."""


class Entries(NamedTuple):
    """Some (vector, atom) pairs of a batch, sorted by vector and then by atom.

    Attributes:
        row, atom: their numbers (m,).
        value: the pre-activation z of each (m,).
        a: the coefficient with which the atom enters the reconstruction (m,), 0 for pairs that only the coder needs.
    """

    row: Any
    atom: Any
    value: Any
    a: Any


@dataclass(frozen=True)
class Pull:
    """Gradients that a coder gives back.

    Attributes:
        z: with respect to the pre-activation of each entry (m,).
        own: with respect to the coder's own parameters, and to `encoder_bias` beyond what follows from `z`.
    """

    z: Any
    own: Mapping[str, Any] = field(default_factory=dict)


class Batch(NamedTuple):
    """What a coder may look at beside its entries.

    Attributes:
        centred: the vectors without the bias (n, d).
        p: the parameters.
        starts: where the entries of each vector start, and their number (n + 1,).
    """

    centred: Any
    p: Parameters
    starts: Any


class Coder(Protocol):
    """A sparse coder.

    Attributes:
        state: numbers that change during training beside the parameters, such as a penalty; kept in checkpoints.
        rate: the peak learning rate of Adam that suits it.
    """

    state: dict[str, float]
    rate: float

    def begin(self, p: Parameters, z: np.ndarray) -> None:
        """Add its own parameters and set `encoder_bias`, from pre-activations z (n, n_atoms) of the first atoms."""

    def groups(self, n_atoms: int) -> np.ndarray:
        """The nested group of each atom (n_atoms,), ascending from 0; all 0 when the dictionary is one."""

    def select(self, z: PreActivations, p: Parameters) -> Entries:
        """Choose the activations of a batch from its pre-activations."""

    def pull(self, entries: Entries, g_a: Any, batch: Batch) -> Pull:
        """Turn the gradient of the mean squared error by `a` (m,) into gradients of the whole loss."""

    def revive(self, p: Parameters, chosen: Any, z: np.ndarray) -> None:
        """Make atoms with a new direction fire as often as they should, from their z (n, n_chosen) without bias."""

    def after(self, p: Parameters, active: float, share: float) -> None:
        """Adjust to the mean number of active atoms of the last step; `share` of all steps are done."""

    def finish(self, p: Parameters) -> Mapping[str, np.ndarray]:
        """The arrays `encoder`, `encoder_bias` and `thresholds` of a threshold coder with the same codes."""


def one_group(n_atoms: int) -> np.ndarray:
    """All atoms in one group."""
    return np.zeros(n_atoms, np.int64)


def first_thresholds(z: np.ndarray, target_active: float, n_atoms: int | None = None) -> np.ndarray:
    """For each atom the quantile of its pre-activations under which `target_active` of all atoms are active.

    Args:
        z: the pre-activations (n, m) of some atoms.
        target_active: how many of all atoms should be active.
        n_atoms: how many there are in all; m by default.
    """
    place = round(max(0.0, 1 - target_active / (n_atoms or z.shape[1])) * (len(z) - 1))
    # Many times faster than np.quantile, which walks down the columns.
    found = np.partition(np.ascontiguousarray(z.T), place, axis=1)[:, place]
    thresholds: np.ndarray = np.maximum(found, 1e-3).astype(np.float32)
    return thresholds


def nudge(active: float, target: float) -> float:
    """A small step for the logarithm of what holds activity down: up when more atoms are active than the target."""
    return GAIN * min(1.0, max(-1.0, math.log(max(active, 1e-3) / target)))


def arrays_of(p: Parameters, thresholds: np.ndarray) -> dict[str, np.ndarray]:
    """The encoder as it stands, with thresholds."""
    return {
        "encoder": p["encoder"].numpy(),
        "encoder_bias": p["encoder_bias"].numpy(),
        "thresholds": np.asarray(thresholds, np.float32),
    }
