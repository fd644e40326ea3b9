"""The TopK autoencoder: the k largest positive pre-activations of each vector are its code.

Source: Gao et al., "Scaling and evaluating sparse autoencoders" (arXiv 2406.04093), section 2.3. Dead atoms are given a
new direction by the trainer instead of by an auxiliary loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.atoms.coders.coder import Batch, Entries, Parameters, Pull, arrays_of, one_group
from sememe.atoms.config import AtomsConfig
from sememe.atoms.preactivations import PreActivations


class TopK:
    """See the module; k is `config.target_active`, rounded."""

    rate = 3e-3

    def __init__(self, config: AtomsConfig) -> None:
        self.k = max(1, round(config.target_active))
        self.state: dict[str, float] = {}

    def begin(self, p: Parameters, z: np.ndarray) -> None:
        """It has no parameters of its own."""

    def groups(self, n_atoms: int) -> np.ndarray:
        return one_group(n_atoms)

    def select(self, z: PreActivations, p: Parameters) -> Entries:
        del p
        row, atom, value = z.top(self.k)
        positive = value > 0
        value = value[positive]
        return Entries(row[positive], atom[positive], value, value)

    def pull(self, entries: Entries, g_a: Any, batch: Batch) -> Pull:
        del entries, batch
        return Pull(g_a)

    def revive(self, p: Parameters, chosen: Any, z: np.ndarray) -> None:
        """Without a bias, their size alone decides."""
        del z
        p["encoder_bias"][chosen] = 0.0

    def after(self, p: Parameters, active: float, share: float) -> None:
        """Nothing to adjust: k is k."""

    def finish(self, p: Parameters) -> Mapping[str, np.ndarray]:
        return arrays_of(p, np.zeros(len(p["encoder_bias"]), np.float32))
