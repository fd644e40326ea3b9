"""The BatchTopK autoencoder: the n k largest positive pre-activations of a batch of n vectors are its codes.

Source: Bussmann, Leask & Nanda, "BatchTopK Sparse Autoencoders" (arXiv 2412.06410). Vectors may have more or fewer
active atoms than k. Afterwards one threshold for all atoms, the running mean of each batch's least chosen value, takes
the place of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.atoms.coders.coder import Batch, Entries, Parameters, Pull, arrays_of, one_group
from sememe.atoms.config import AtomsConfig
from sememe.atoms.preactivations import PreActivations
from sememe.extras import require

MEMORY = 0.99  # of the running mean
SLACK = 0.9  # candidates are above this share of the running threshold


class BatchTopK:
    """See the module; k is `config.target_active`."""

    rate = 3e-3

    def __init__(self, config: AtomsConfig) -> None:
        self._k = config.target_active
        self.state = {"threshold": 0.0}

    def begin(self, p: Parameters, z: np.ndarray) -> None:
        """Start the running threshold where the first batches would put it."""
        del p
        wanted = min(z.size - 1, round(self._k * len(z)))
        self.state["threshold"] = max(0.0, float(-np.partition(-z, wanted, axis=None)[wanted]))

    def groups(self, n_atoms: int) -> np.ndarray:
        return one_group(n_atoms)

    def select(self, z: PreActivations, p: Parameters) -> Entries:
        del p
        torch = require("torch", "models")
        wanted = round(self._k * len(z))
        # Only values near the threshold of earlier batches can be among the largest; if they are too few, all can.
        row, atom, value = z.above(max(0.0, SLACK * self.state["threshold"]))
        if len(row) < wanted:
            row, atom, value = z.above(0.0)
        if len(value) > wanted:
            chosen = torch.topk(value, wanted, sorted=False).indices.sort().values
            row, atom, value = row[chosen], atom[chosen], value[chosen]
        if len(value):
            self.state["threshold"] += (1 - MEMORY) * (float(value.min()) - self.state["threshold"])
        return Entries(row, atom, value, value)

    def pull(self, entries: Entries, g_a: Any, batch: Batch) -> Pull:
        del entries, batch
        return Pull(g_a)

    def revive(self, p: Parameters, chosen: Any, z: np.ndarray) -> None:
        """Without a bias, their size alone decides."""
        del z
        p["encoder_bias"][chosen] = 0.0

    def after(self, p: Parameters, active: float, share: float) -> None:
        """Nothing to adjust: the batch has its n k."""

    def finish(self, p: Parameters) -> Mapping[str, np.ndarray]:
        return arrays_of(p, np.full(len(p["encoder_bias"]), self.state["threshold"], np.float32))
