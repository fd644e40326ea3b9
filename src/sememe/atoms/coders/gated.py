"""The gated autoencoder: one path decides which atoms are active, another how much.

Source: Rajamanoharan et al., "Improving Dictionary Learning with Gated Sparse Autoencoders" (arXiv 2404.16014), section
3. With u = W (x - b), the gate is pi = u + b_gate, the amplitude z = exp(r) u + b_mag; a = z where both are positive.
The loss is |x - x'|^2 + penalty |relu(pi)|_1 + |x - x'(relu(pi))|^2, where the last decoder is held fixed.

Here u + b_gate is the trainer's pre-activation, so `encoder_bias` is b_gate. Afterwards it is a threshold coder: pi > 0
says exactly that z > b_mag - exp(r) b_gate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sememe.atoms.coders.coder import Batch, Entries, Parameters, Pull, first_thresholds, nudge, one_group
from sememe.atoms.config import AtomsConfig
from sememe.atoms.pairs import products_of_pairs, sums_of_rows
from sememe.atoms.preactivations import PreActivations
from sememe.extras import require

FIRST_PENALTY = 0.02


class Gated:
    """See the module. Without a named penalty, it is driven to give `target_active`."""

    rate = 3e-3

    def __init__(self, config: AtomsConfig) -> None:
        self._target, self._fixed = config.target_active, config.penalty
        self.state = {"penalty": config.penalty if config.penalty is not None else FIRST_PENALTY}

    def begin(self, p: Parameters, z: np.ndarray) -> None:
        torch = require("torch", "models")
        p["encoder_bias"] -= torch.from_numpy(first_thresholds(z, self._target))
        p["log_gain"] = torch.zeros(z.shape[1])
        p["amplitude_bias"] = torch.zeros(z.shape[1])

    def groups(self, n_atoms: int) -> np.ndarray:
        return one_group(n_atoms)

    def select(self, z: PreActivations, p: Parameters) -> Entries:
        row, atom, gate = z.above(0.0)
        u = gate - p["encoder_bias"][atom]
        amplitude = p["log_gain"].exp()[atom] * u + p["amplitude_bias"][atom]
        return Entries(row, atom, gate, amplitude.clamp(min=0))

    def pull(self, entries: Entries, g_a: Any, batch: Batch) -> Pull:
        torch = require("torch", "models")
        p, n, atom = batch.p, len(batch.centred), entries.atom
        decoded = sums_of_rows(p["decoder"], batch.starts, atom, entries.value)
        g_decoded = (batch.centred - decoded) * (-2.0 / n)
        g_gate = products_of_pairs(g_decoded, p["decoder"], batch.starts, atom) + self.state["penalty"] / n
        g_amplitude = g_a * (entries.a > 0)
        gain = p["log_gain"].exp()[atom]
        u = entries.value - p["encoder_bias"][atom]
        total = torch.zeros_like(p["log_gain"])
        own = {
            "log_gain": total.clone().index_add_(0, atom, g_amplitude * gain * u),
            "amplitude_bias": total.clone().index_add_(0, atom, g_amplitude),
            # The amplitude sees u, not the gate's bias, so its share is taken back from what follows from `z`.
            "encoder_bias": total.index_add_(0, atom, -g_amplitude * gain),
        }
        return Pull(g_gate + g_amplitude * gain, own)

    def revive(self, p: Parameters, chosen: Any, z: np.ndarray) -> None:
        torch = require("torch", "models")
        p["encoder_bias"][chosen] = -torch.from_numpy(first_thresholds(z, self._target, len(p["decoder"])))
        p["log_gain"][chosen] = 0.0
        p["amplitude_bias"][chosen] = 0.0

    def after(self, p: Parameters, active: float, share: float) -> None:
        del p, share
        if self._fixed is None:
            self.state["penalty"] *= math.exp(nudge(active, self._target))

    def finish(self, p: Parameters) -> Mapping[str, np.ndarray]:
        gain = p["log_gain"].exp()
        thresholds = (p["amplitude_bias"] - gain * p["encoder_bias"]).clamp(min=0)
        return {
            "encoder": (gain[:, None] * p["encoder"]).numpy(),
            "encoder_bias": p["amplitude_bias"].numpy(),
            "thresholds": thresholds.numpy(),
        }
