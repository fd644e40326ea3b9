"""The ReLU autoencoder with an L1 penalty: a = max(z, 0), loss |x - x'|^2 + penalty |a|_1.

Source: Bricken et al., "Towards Monosemanticity" (2023); Cunningham et al. (arXiv 2309.08600). Atoms keep unit norm, so
the penalty cannot be cheated by shrinking codes. Without a named penalty, it is driven to give `target_active`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.atoms.coders.coder import Batch, Entries, Parameters, Pull, arrays_of, first_thresholds, nudge, one_group
from sememe.atoms.config import AtomsConfig
from sememe.atoms.preactivations import PreActivations
from sememe.extras import require

FIRST_PENALTY = 0.02


class ReLU:
    """See the module."""

    rate = 3e-3

    def __init__(self, config: AtomsConfig) -> None:
        self._target, self._fixed = config.target_active, config.penalty
        self.state = {"penalty": config.penalty if config.penalty is not None else FIRST_PENALTY}

    def begin(self, p: Parameters, z: np.ndarray) -> None:
        """A bias under which each atom is active as often as wanted: half of all atoms would be dense work."""
        torch = require("torch", "models")
        p["encoder_bias"] -= torch.from_numpy(first_thresholds(z, self._target))

    def groups(self, n_atoms: int) -> np.ndarray:
        return one_group(n_atoms)

    def select(self, z: PreActivations, p: Parameters) -> Entries:
        del p
        row, atom, value = z.above(0.0)
        return Entries(row, atom, value, value)

    def pull(self, entries: Entries, g_a: Any, batch: Batch) -> Pull:
        del entries
        return Pull(g_a + self.state["penalty"] / len(batch.centred))

    def revive(self, p: Parameters, chosen: Any, z: np.ndarray) -> None:
        torch = require("torch", "models")
        p["encoder_bias"][chosen] = -torch.from_numpy(first_thresholds(z, self._target, len(p["decoder"])))

    def after(self, p: Parameters, active: float, share: float) -> None:
        del p, share
        if self._fixed is None:
            self.state["penalty"] *= math.exp(nudge(active, self._target))

    def finish(self, p: Parameters) -> Mapping[str, np.ndarray]:
        return arrays_of(p, np.zeros(len(p["encoder_bias"]), np.float32))
