"""The threshold-activated sparse autoencoder that Sememe learns by default: a = z where z >= tau, else 0.

Source: the TSAE of "Towards Atoms of Large Language Models" (arXiv 2509.20784), trained with the straight-through
estimators of "Jumping Ahead" (arXiv 2407.14435). `sememe.atoms.coders.jumprelu` is that recipe to the letter. What
differs here, each measured on held-out vectors:

- The user names the mean number of active atoms, not a penalty. At each step the penalty is the one under which the
  thresholds' gradients cancel on average, so that they only redistribute activity among atoms; a common shift of
  all thresholds then brings the mean number to its target.
- Thresholds start at the quantile of each atom's pre-activations that gives the target, so no atom starts dead.
- The window in which a threshold receives a gradient is proportional to the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.atoms.coders.coder import Batch, Entries, Parameters, Pull, arrays_of, first_thresholds, nudge, one_group
from sememe.atoms.config import AtomsConfig
from sememe.atoms.preactivations import PreActivations
from sememe.extras import require


class Threshold:
    """See the module."""

    rate = 3e-3  # twice that is better for sentence vectors and kills two atoms of three at layer 14 of SmolLM2

    def __init__(self, config: AtomsConfig) -> None:
        self._target, self._bandwidth, self._fixed = config.target_active, config.bandwidth, config.penalty
        self.state = {"penalty": config.penalty or 0.0}

    def begin(self, p: Parameters, z: np.ndarray) -> None:
        torch = require("torch", "models")
        p["log_thresholds"] = torch.from_numpy(first_thresholds(z, self._target)).log()

    def groups(self, n_atoms: int) -> np.ndarray:
        return one_group(n_atoms)

    def select(self, z: PreActivations, p: Parameters) -> Entries:
        thresholds = p["log_thresholds"].exp()
        half = self._bandwidth * thresholds / 2
        row, atom, value = z.above(thresholds - half)
        return Entries(row, atom, value, value * (value >= thresholds[atom]))

    def pull(self, entries: Entries, g_a: Any, batch: Batch) -> Pull:
        """Gradients with the rectangle kernel K of width b = bandwidth * tau around tau (arXiv 2407.14435, eq. 11, 12).

        da/dtau = -(tau / b) K((z - tau) / b), d|a|_0/dtau = -(1 / b) K((z - tau) / b), da/dz = 1 where z >= tau.
        """
        torch = require("torch", "models")
        n = len(batch.centred)
        thresholds = batch.p["log_thresholds"].exp()
        threshold = thresholds[entries.atom]
        half = self._bandwidth * threshold / 2
        kernel = ((entries.value - threshold).abs() < half).to(threshold.dtype) / (2 * half)
        if self._fixed is None:
            weight = float((kernel * threshold).sum())
            pressure = float((kernel * threshold.square() * g_a).sum())
            self.state["penalty"] = -n * pressure / weight if weight > 0 else 0.0
        g_threshold = -kernel * (threshold * g_a + self.state["penalty"] / n)
        total = torch.zeros_like(thresholds).index_add_(0, entries.atom, g_threshold)
        return Pull(g_a * (entries.value >= threshold), {"log_thresholds": total * thresholds})

    def revive(self, p: Parameters, chosen: Any, z: np.ndarray) -> None:
        torch = require("torch", "models")
        p["encoder_bias"][chosen] = 0.0
        thresholds = first_thresholds(z, self._target, len(p["decoder"]))
        p["log_thresholds"][chosen] = torch.from_numpy(thresholds).log().to(p["log_thresholds"].dtype)

    def after(self, p: Parameters, active: float, share: float) -> None:
        del share
        if self._fixed is None:
            p["log_thresholds"] += nudge(active, self._target)

    def finish(self, p: Parameters) -> Mapping[str, np.ndarray]:
        return arrays_of(p, p["log_thresholds"].exp().numpy())
