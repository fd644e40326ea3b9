"""Training a threshold-activated sparse autoencoder, with gradients that cost what the active atoms cost.

The dense work of a step is one product, the encoder's. Everything behind the threshold is sparse: decoding,
the decoder's gradient and the encoder's gradient gather the few rows that are active.

Source: "Towards Atoms of Large Language Models" (arXiv 2509.20784), trained as in "Jumping Ahead: Improving
Reconstruction Fidelity with JumpReLU Sparse Autoencoders" (arXiv 2407.14435), sections 3 and 4. What differs, each
measured on held-out sentence vectors:

- The user names the mean number of active atoms, not a penalty. At each step the penalty is the one under which the
  thresholds' gradients cancel on average, so that they only redistribute activity among atoms; a common shift of
  all thresholds then brings the mean number to its target.
- Thresholds start at the quantile of each atom's pre-activations that gives the target, so no atom starts dead.
- The window in which a threshold receives a gradient is proportional to the threshold.
- The encoder is drawn towards the decoder a little at each step: with few vectors an atom a free encoder memorises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.atoms.config import AtomsConfig
from sememe.atoms.revival import Revival
from sememe.atoms.rows import Rows
from sememe.atoms.weights import Weights
from sememe.extras import require
from sememe.progress import progress

STEPS, EPOCHS, MOST_STEPS = 2000, 4, 20_000  # by default: at least, through the data, at most
WARM_UP, DECAY = 0.05, 0.2  # shares of the steps in which the learning rate rises, and falls
THRESHOLD_GAIN = 0.03  # how far log thresholds move for a unit of log(active / target)
SAMPLED_ROWS = 4096  # for the first thresholds


@dataclass(frozen=True)
class Step:
    """The gradients of one step by parameter, and what it measured.

    Attributes:
        gradients: shaped as the parameters.
        penalty: the weight of the L0 term that was used.
        error: mean squared error of a vector.
        active: mean number of active atoms of a vector.
        fired: the atom of each activation.
        residual: what was left of each vector (n, d).
    """

    gradients: Mapping[str, Any]
    penalty: float
    error: float
    active: float
    fired: Any
    residual: Any


def gradients(x: Any, p: Mapping[str, Any], bandwidth: float, penalty: float | None) -> Step:
    """Gradients of mean(|x - x'|^2 + penalty * |a|_0) over a batch x (n, d), with straight-through estimators.

    With the rectangle kernel K of width b = `bandwidth` * tau around each threshold tau (arXiv 2407.14435, eq. 11, 12):
    da/dtau = -(tau / b) K((z - tau) / b), d|a|_0/dtau = -(1 / b) K((z - tau) / b), da/dz = 1 where z >= tau.

    Args:
        x: the batch, centred and scaled.
        p: `decoder` and `encoder` (n_atoms, d), `encoder_bias` and `log_thresholds` (n_atoms,), `bias` (d,).
        bandwidth: the width of the kernel as a share of the threshold.
        penalty: the weight of the L0 term; None for the one that makes the gradients of all log thresholds sum to 0.
    """
    torch = require("torch", "models")
    bag = torch.nn.functional.embedding_bag
    n, n_atoms = len(x), len(p["decoder"])
    centred = x - p["bias"]
    thresholds = p["log_thresholds"].exp()
    half = bandwidth * thresholds / 2
    z = torch.addmm(p["encoder_bias"], centred, p["encoder"].T)
    row, atom = (z > thresholds - half).nonzero(as_tuple=True)
    value, threshold, half = z[row, atom], thresholds[atom], half[atom]
    is_active = (value >= threshold).to(z.dtype)
    a = (value * is_active).requires_grad_()
    decoded = bag(atom, p["decoder"], _starts(row, n), mode="sum", per_sample_weights=a)
    residual = centred - decoded.detach()
    g_out = residual * (-2.0 / n)
    (g_a,) = torch.autograd.grad(decoded, a, g_out)
    kernel = ((value - threshold).abs() < half).to(z.dtype) / (2 * half)
    if penalty is None:
        weight = float((kernel * threshold).sum())
        penalty = -n * float((kernel * threshold.square() * g_a).sum()) / weight if weight > 0 else 0.0
    g_threshold = -kernel * (threshold * g_a + penalty / n)
    g_z = g_a * is_active
    order = torch.argsort(atom, stable=True)
    starts, rows = _starts(atom, n_atoms), row[order]
    g_encoder_bias = torch.zeros(n_atoms, dtype=z.dtype).index_add_(0, atom, g_z)
    found = {
        "decoder": bag(rows, g_out, starts, mode="sum", per_sample_weights=a.detach()[order]),
        "encoder": bag(rows, centred, starts, mode="sum", per_sample_weights=g_z[order]),
        "encoder_bias": g_encoder_bias,
        "bias": g_out.sum(0) - g_encoder_bias @ p["encoder"],
        "log_thresholds": torch.zeros(n_atoms, dtype=z.dtype).index_add_(0, atom, g_threshold) * thresholds,
    }
    fired = atom[value >= threshold]
    return Step(found, penalty, float(residual.square().sum()) / n, len(fired) / n, fired, residual)


def _starts(sorted_or_not: Any, n: int) -> Any:
    """Where each of n groups starts when the group numbers are sorted."""
    torch = require("torch", "models")
    starts = torch.zeros(n, dtype=torch.long)
    torch.cumsum(torch.bincount(sorted_or_not, minlength=n)[:-1], 0, out=starts[1:])
    return starts


@dataclass(frozen=True)
class Trained:
    """What training leaves behind."""

    weights: Weights
    steps: int
    penalty: float


def train(rows: Rows, config: AtomsConfig) -> Trained:
    """Learn a dictionary of `config.n_atoms` atoms, which must be given, from the training rows."""
    torch = require("torch", "models")
    generator = np.random.default_rng([config.random_state, 1])
    batch_size = min(config.batch_size, len(rows.train))
    steps = config.steps or min(MOST_STEPS, max(STEPS, EPOCHS * len(rows.train) // batch_size))
    batches = rows.shuffled(batch_size, generator)
    p = _initial(rows, config, generator)
    optimizer = torch.optim.Adam(list(p.values()), lr=config.learning_rate, fused=True)
    revival = Revival(len(p["decoder"]), steps, generator)
    penalty = 0.0
    with progress("Learning atoms", steps, unit="steps") as bar:
        for number in range(1, steps + 1):
            x = torch.from_numpy((next(batches) - rows.mean) / np.float32(rows.scale))
            step = gradients(x, p, config.bandwidth, config.penalty)
            rate = config.learning_rate * min(1.0, number / (WARM_UP * steps), (steps - number + 1) / (DECAY * steps))
            _update(p, step, optimizer, rate)
            p["encoder"].lerp_(p["decoder"], min(1.0, config.tie * rate))
            if config.penalty is None:
                distance = np.log(max(step.active, 1e-3) / config.target_active)
                p["log_thresholds"] += THRESHOLD_GAIN * float(np.clip(distance, -1, 1))
            revival.after(number, step.fired, step.residual, p, optimizer)
            penalty = step.penalty
            bar.advance()
    return Trained(_weights(p, rows), steps, penalty)


def _update(p: Mapping[str, Any], step: Step, optimizer: Any, rate: float) -> None:
    """One step of Adam; atoms keep unit norm, so the part of their gradient along themselves is taken out first."""
    for name, parameter in p.items():
        parameter.grad = step.gradients[name]
    decoder = p["decoder"]
    decoder.grad -= (decoder.grad * decoder).sum(1, keepdim=True) * decoder
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    decoder /= decoder.norm(dim=1, keepdim=True)


def _initial(rows: Rows, config: AtomsConfig, generator: np.random.Generator) -> dict[str, Any]:
    """Random atoms, the encoder their transpose, and thresholds at the quantile that gives the target."""
    torch = require("torch", "models")
    n_atoms = config.n_atoms or 0
    decoder = generator.standard_normal((n_atoms, len(rows.mean)), dtype=np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    sampled = np.sort(generator.choice(rows.train, min(SAMPLED_ROWS, len(rows.train)), replace=False))
    sample = np.concatenate(list(rows.blocks(sampled)))
    z = ((sample - rows.mean) / np.float32(rows.scale)) @ decoder.T
    quantile = max(0.0, 1 - config.target_active / n_atoms)
    thresholds = np.maximum(np.quantile(z, quantile, axis=0), 1e-3).astype(np.float32)
    return {
        "decoder": torch.from_numpy(decoder),
        "encoder": torch.from_numpy(decoder.copy()),
        "encoder_bias": torch.zeros(n_atoms),
        "bias": torch.zeros(len(rows.mean)),
        "log_thresholds": torch.from_numpy(thresholds).log(),
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
