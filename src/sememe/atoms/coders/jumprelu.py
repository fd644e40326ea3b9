"""The JumpReLU autoencoder as published: a = z where z >= tau, loss |x - x'|^2 + penalty |a|_0.

Source: "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders" (arXiv 2407.14435),
sections 3 and 4, which "Towards Atoms of Large Language Models" (arXiv 2509.20784) uses for its TSAE. One bandwidth and
one first threshold for all atoms, a penalty that the user names and that warms up linearly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.atoms.coders.coder import Batch, Entries, Parameters, Pull, arrays_of, one_group
from sememe.atoms.config import AtomsConfig
from sememe.atoms.preactivations import PreActivations
from sememe.extras import require

FIRST_THRESHOLD = 0.1  # in units of the data's root mean squared norm, to which the penalty also refers
WARM_UP = 0.25  # share of the steps in which the penalty rises


class JumpReLU:
    """See the module. `config.bandwidth` is in first thresholds, `config.penalty` the weight of |a|_0."""

    rate = 3e-3

    def __init__(self, config: AtomsConfig) -> None:
        self._half = config.bandwidth * FIRST_THRESHOLD / 2
        self._penalty = config.penalty if config.penalty is not None else 1.0 / (32.0 * config.target_active)
        self.state = {"penalty": 0.0}

    def begin(self, p: Parameters, z: np.ndarray) -> None:
        torch = require("torch", "models")
        p["log_thresholds"] = torch.full((z.shape[1],), math.log(FIRST_THRESHOLD))

    def groups(self, n_atoms: int) -> np.ndarray:
        return one_group(n_atoms)

    def select(self, z: PreActivations, p: Parameters) -> Entries:
        thresholds = p["log_thresholds"].exp()
        # Pre-activations are rectified first, so nothing below zero is ever active or pulls at a threshold.
        row, atom, value = z.above((thresholds - self._half).clamp(min=0))
        return Entries(row, atom, value, value * (value >= thresholds[atom]))

    def pull(self, entries: Entries, g_a: Any, batch: Batch) -> Pull:
        """Gradients as in `sememe.atoms.coders.threshold`, with one bandwidth b for all (eq. 11, 12)."""
        torch = require("torch", "models")
        thresholds = batch.p["log_thresholds"].exp()
        threshold = thresholds[entries.atom]
        kernel = ((entries.value - threshold).abs() < self._half).to(threshold.dtype) / (2 * self._half)
        g_threshold = -kernel * (threshold * g_a + self.state["penalty"] / len(batch.centred))
        total = torch.zeros_like(thresholds).index_add_(0, entries.atom, g_threshold)
        return Pull(g_a * (entries.value >= threshold), {"log_thresholds": total * thresholds})

    def revive(self, p: Parameters, chosen: Any, z: np.ndarray) -> None:
        """As at the beginning."""
        del z
        p["encoder_bias"][chosen] = 0.0
        p["log_thresholds"][chosen] = math.log(FIRST_THRESHOLD)

    def after(self, p: Parameters, active: float, share: float) -> None:
        del p, active
        self.state["penalty"] = self._penalty * min(1.0, share / WARM_UP)

    def finish(self, p: Parameters) -> Mapping[str, np.ndarray]:
        return arrays_of(p, p["log_thresholds"].exp().numpy())
