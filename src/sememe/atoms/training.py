"""Training a threshold-activated sparse autoencoder, with gradients that cost what the active atoms cost.

The dense work of a step is one product, the encoder's. Everything behind the threshold is sparse: decoding,
the decoder's gradient and the encoder's gradient gather the few rows that are active.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), trained as in "Jumping Ahead: Improving
Reconstruction Fidelity with JumpReLU Sparse Autoencoders" (arXiv 2407.14435), sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.atoms.config import AtomsConfig
from sememe.atoms.rows import Rows
from sememe.atoms.weights import Weights
from sememe.extras import require
from sememe.progress import progress


@dataclass
class Gradients:
    """The gradients of one step, and what it measured. Tensors are shaped as the parameters that they belong to."""

    decoder: Any
    encoder: Any
    encoder_bias: Any
    bias: Any
    log_thresholds: Any
    error: float
    active: float
    fired: Any
    residual: Any


def gradients(x: Any, p: dict[str, Any], penalty: float, bandwidth: float) -> Gradients:
    """Gradients of mean(|x - x'|^2 + penalty * |a|_0) over a batch x (n, d), with straight-through estimators.

    With the rectangle kernel K of width b = `bandwidth` around each threshold tau:
    da/dtau = -(tau / b) K((z - tau) / b), d|a|_0/dtau = -(1 / b) K((z - tau) / b), da/dz = 1 where z >= tau.
    """
    torch = require("torch", "models")
    n, d = x.shape
    n_atoms = p["decoder"].shape[0]
    centred = x - p["bias"]
    tau = p["log_thresholds"].exp()
    z = torch.addmm(p["encoder_bias"], centred, p["encoder"].T)
    near = z > tau - bandwidth / 2
    row, atom = near.nonzero(as_tuple=True)
    value, threshold = z[row, atom], tau[atom]
    is_active = (value >= threshold).to(z.dtype)
    a = value * is_active
    starts = torch.zeros(n, dtype=torch.long)
    torch.cumsum(torch.bincount(row, minlength=n)[:-1], 0, out=starts[1:])
    bag = torch.nn.functional.embedding_bag
    decoded = bag(atom, p["decoder"], starts, mode="sum", per_sample_weights=a)
    residual = centred - decoded
    g_out = residual * (-2.0 / n)
    g_a = (g_out[row] * p["decoder"][atom]).sum(1)
    g_z = g_a * is_active
    kernel = ((value - threshold).abs() < bandwidth / 2).to(z.dtype) / bandwidth
    g_tau = -kernel * (threshold * g_a + penalty / n)
    order = torch.argsort(atom, stable=True)
    counts = torch.bincount(atom, minlength=n_atoms)
    by_atom = torch.zeros(n_atoms, dtype=torch.long)
    torch.cumsum(counts[:-1], 0, out=by_atom[1:])
    rows_by_atom = row[order]
    g_decoder = bag(rows_by_atom, g_out, by_atom, mode="sum", per_sample_weights=a[order])
    g_encoder = bag(rows_by_atom, centred, by_atom, mode="sum", per_sample_weights=g_z[order])
    g_encoder_bias = torch.zeros(n_atoms).index_add_(0, atom, g_z)
    g_log_tau = torch.zeros(n_atoms).index_add_(0, atom, g_tau) * tau
    g_bias = g_out.sum(0) - g_encoder_bias @ p["encoder"]
    fired = torch.zeros(n_atoms).index_add_(0, atom, is_active)
    return Gradients(
        g_decoder, g_encoder, g_encoder_bias, g_bias, g_log_tau,
        float(residual.square().sum() / n), float(is_active.sum() / n), fired, residual,
    )  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What training leaves behind."""

    weights: Weights
    steps: int


def train(rows: Rows, config: AtomsConfig) -> Trained:
    """Learn a dictionary from the training rows."""
    torch = require("torch", "models")
    generator = np.random.default_rng([config.random_state, 1])
    p = _initial(rows, config, generator)
    optimizer = torch.optim.Adam(list(p.values()), lr=config.learning_rate, betas=(0.9, 0.999), fused=True)
    steps = config.steps or 2000
    penalty = config.penalty if config.penalty is not None else 0.01
    lr = config.learning_rate
    active = config.target_active
    batches = rows.shuffled(min(config.batch_size, len(rows.train)), generator)
    with progress("learning atoms", steps, unit="steps") as bar:
        for step in range(steps):
            x = torch.from_numpy((next(batches) - rows.mean) / np.float32(rows.scale))
            ramp = min(1.0, (step + 1) / (0.1 * steps))
            g = gradients(x, p, penalty * ramp, config.bandwidth)
            g.decoder -= (g.decoder * p["decoder"]).sum(1, keepdim=True) * p["decoder"]
            for name, parameter in p.items():
                parameter.grad = getattr(g, name)
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1.0, (step + 1) / (0.05 * steps), (steps - step) / (0.2 * steps))
            optimizer.step()
            p["decoder"] /= p["decoder"].norm(dim=1, keepdim=True)
            active += 0.05 * (g.active - active)
            if config.penalty is None and step > 0.1 * steps:
                penalty *= float(np.exp(0.02 * np.clip(np.log(max(active, 1e-3) / config.target_active), -1, 1)))
            bar.advance()
    return Trained(_weights(p, rows), steps)


def _initial(rows: Rows, config: AtomsConfig, generator: np.random.Generator) -> dict[str, Any]:
    torch = require("torch", "models")
    decoder = generator.standard_normal((config.n_atoms, len(rows.mean)), dtype=np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    return {
        "decoder": torch.from_numpy(decoder),
        "encoder": torch.from_numpy(decoder.copy()),
        "encoder_bias": torch.zeros(config.n_atoms),
        "bias": torch.zeros(len(rows.mean)),
        "log_thresholds": torch.full((config.n_atoms,), float(np.log(config.threshold))),
    }


def _weights(p: dict[str, Any], rows: Rows) -> Weights:
    """The weights in the units of the data: activation and threshold scale together."""
    arrays = {name: tensor.detach().numpy() for name, tensor in p.items()}
    scale = np.float32(rows.scale)
    return Weights(
        decoder=arrays["decoder"],
        encoder=arrays["encoder"],
        encoder_bias=arrays["encoder_bias"] * scale,
        bias=rows.mean + arrays["bias"] * scale,
        thresholds=np.exp(arrays["log_thresholds"]) * scale,
    )
