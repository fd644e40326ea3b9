"""Training sparse autoencoders, with gradients that cost what the active atoms cost.

The dense work of a step is one product, the encoder's, and on many processors that is done in half precision first
(`sememe.atoms.preactivations`). Everything behind the choice of activations is sparse: decoding,
the decoder's gradient and the encoder's gradient gather the few rows that are active. A coder
(`sememe.atoms.coders`) chooses the activations and owns the penalty.

What holds for every coder: atoms keep unit norm and the part of their gradient along themselves is taken out; the
encoder starts as the decoder's transpose and can be drawn towards it (with few vectors an atom a free encoder
memorises); atoms that have stopped firing are revived; the learning rate rises at first and falls to 0 in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe.atoms.checkpoint import Checkpoint, State
from sememe.atoms.coders import CODERS
from sememe.atoms.coders.coder import Batch, Coder, Parameters
from sememe.atoms.config import AtomsConfig
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.pairs import products_of_pairs, starts_of, sums_of_rows
from sememe.atoms.preactivations import preactivations
from sememe.atoms.revival import Revival
from sememe.atoms.rows import Rows
from sememe.atoms.space import Space, atomic_space, euclidean_space
from sememe.atoms.weights import Weights
from sememe.extras import require
from sememe.progress import progress

STEPS, EPOCHS, MOST_STEPS = 2000, 4, 20_000  # by default: at least, through the data, at most
WARM_UP, DECAY = 0.05, 0.2  # shares of the steps in which the learning rate rises, and falls
TIE = {"threshold": 3.0}  # by default; what is published has no tie
SAMPLED_ROWS = 4096  # for the first thresholds


@dataclass(frozen=True)
class Trained:
    """What training leaves behind."""

    weights: Weights
    steps: int
    penalty: float


@dataclass(frozen=True)
class Step:
    """The gradients of one step by parameter, and what it measured.

    Attributes:
        gradients: shaped as the parameters.
        error: mean squared error of a vector.
        active: mean number of active atoms of a vector.
        fired: the atom of each activation.
        residual: what was left of each vector (n, d).
        centred: the vectors without the bias (n, d).
    """

    gradients: Mapping[str, Any]
    error: float
    active: float
    fired: Any
    residual: Any
    centred: Any


def train(
    rows: Rows, config: AtomsConfig, *, metric: AtomicInnerProduct | None = None, checkpoint: Path | None = None
) -> Trained:
    """Learn a dictionary of `config.n_atoms` atoms, which must be given, from the training rows.

    Args:
        rows: the vectors.
        config: the options.
        metric: the inner product in whose coordinates to learn; Euclidean when None.
        checkpoint: a folder to keep the state in now and then; when it is there, training goes on from it, to the
            same weights that it would have reached without stopping.

    Raises:
        ArtifactError: the checkpoint is of another run.
    """
    torch = require("torch", "models")
    space = _space(rows, metric)
    steps = n_steps(config, len(rows.train))
    coder = CODERS[config.coder](config)
    p = _initial(rows, config, coder, space)
    groups = torch.from_numpy(coder.groups(len(p["decoder"])))
    peak = config.learning_rate or coder.rate
    tie = TIE.get(config.coder, 0.0) if config.tie is None else config.tie
    optimizer = torch.optim.Adam(list(p.values()), lr=peak, fused=True)
    revival = Revival(len(p["decoder"]), steps, config.random_state)
    keeper = Checkpoint(checkpoint, config, rows, State(p, optimizer, coder, revival))
    first = keeper.restore() + 1
    batches = rows.shuffled(min(config.batch_size, len(rows.train)), config.random_state, first_batch=first - 1)
    with progress("Learning atoms", steps, unit="steps", done=first - 1) as bar:
        for number in range(first, steps + 1):
            x = torch.from_numpy(space.enter(next(batches)))
            step = take_step(x, p, coder, groups)
            rate = peak * min(1.0, number / (WARM_UP * steps), (steps - number + 1) / (DECAY * steps))
            _update(p, step, optimizer, rate)
            if tie:
                p["encoder"].lerp_(p["decoder"], min(1.0, tie * rate))
            coder.after(p, step.active, number / steps)
            revival.after(number, step, p, coder, optimizer)
            bar.advance()
            keeper.keep(number)
    k = getattr(coder, "k", None)
    weights = space.weights(p["decoder"].numpy(), p["bias"].numpy(), coder.finish(p), k)
    return Trained(weights, steps, coder.state.get("penalty", 0.0))


def n_steps(config: AtomsConfig, n_train: int) -> int:
    """How many steps training takes on so many rows."""
    batch_size = min(config.batch_size, n_train)
    return config.steps or min(MOST_STEPS, max(STEPS, EPOCHS * n_train // batch_size))


def take_step(x: Any, p: Parameters, coder: Coder, groups: Any) -> Step:
    """The gradients of the mean over a batch of |x - x'|^2, averaged over nested parts, and of the coder's penalty.

    With nested parts g = 0 ... m - 1 of the dictionary and residuals r_g = x - b - sum_{h <= g} decode_h(a), the loss
    is mean_g |r_g|^2, so an atom of part h meets the sum of the gradients of all r_g with g >= h.

    Args:
        x: the batch (n, d), centred and scaled.
        p: the parameters.
        coder: chooses the activations.
        groups: the part of each atom (n_atoms,).
    """
    torch = require("torch", "models")
    n, n_atoms, m = len(x), len(p["decoder"]), int(groups[-1]) + 1
    centred = x - p["bias"]
    entries = coder.select(preactivations(centred, p["encoder"], p["encoder_bias"]), p)
    row, atom, a = entries.row, entries.atom, entries.a
    place = row if m == 1 else row * m + groups[atom]
    starts = starts_of(place, n * m)
    parts = sums_of_rows(p["decoder"], starts, atom, a)
    residual = centred - parts if m == 1 else centred[:, None] - parts.view(n, m, -1).cumsum(1)
    g_parts = residual * (-2.0 / (n * m))
    if m > 1:
        g_parts = g_parts.flip(1).cumsum(1).flip(1)
        residual = residual[:, -1]
    g_x = g_parts if m == 1 else g_parts[:, 0]
    g_out = g_parts.reshape(n * m, -1)
    g_a = products_of_pairs(g_out, p["decoder"], starts, atom)
    pull = coder.pull(entries, g_a, Batch(centred, p, starts_of(row, n)))
    order = torch.argsort(atom, stable=True)
    starts = starts_of(atom, n_atoms)
    bias_pull = torch.zeros(n_atoms, dtype=x.dtype).index_add_(0, atom, pull.z)
    own = dict(pull.own)
    extra = own.pop("encoder_bias", None)
    found = {
        "decoder": sums_of_rows(g_out, starts, place[order], a[order]),
        "encoder": sums_of_rows(centred, starts, row[order], pull.z[order]),
        "encoder_bias": bias_pull if extra is None else bias_pull + extra,
        "bias": g_x.sum(0) - bias_pull @ p["encoder"],
        **own,
    }
    fired = atom[a > 0]
    return Step(found, float(residual.square().sum()) / n, len(fired) / n, fired, residual, centred)


def _update(p: Parameters, step: Step, optimizer: Any, rate: float) -> None:
    """One step of Adam; atoms keep unit norm, so the part of their gradient along themselves is taken out first."""
    torch = require("torch", "models")
    for name, parameter in p.items():
        parameter.grad = step.gradients[name]
    decoder = p["decoder"]
    along = torch.from_numpy(np.einsum("nd,nd->n", decoder.grad.numpy(), decoder.numpy()))
    decoder.grad.addcmul_(decoder, along[:, None], value=-1)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    decoder /= decoder.norm(dim=1, keepdim=True)


def _space(rows: Rows, metric: AtomicInnerProduct | None) -> Space:
    return euclidean_space(rows.mean, rows.scale) if metric is None else atomic_space(rows.mean, metric, _sample(rows))


def _sample(rows: Rows) -> np.ndarray:
    """Some training rows, evenly spread."""
    chosen = rows.train[np.linspace(0, len(rows.train) - 1, min(SAMPLED_ROWS, len(rows.train))).astype(np.int64)]
    return np.concatenate(list(rows.blocks(np.unique(chosen))))


def _initial(rows: Rows, config: AtomsConfig, coder: Coder, space: Space) -> Parameters:
    """Random atoms, the encoder their transpose, and the coder's own parameters."""
    torch = require("torch", "models")
    generator = np.random.default_rng([config.random_state, 1])
    n_atoms = config.n_atoms or 0
    decoder = generator.standard_normal((n_atoms, len(rows.mean)), dtype=np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    p = {
        "decoder": torch.from_numpy(decoder),
        "encoder": torch.from_numpy(decoder.copy()),
        "encoder_bias": torch.zeros(n_atoms),
        "bias": torch.zeros(len(rows.mean)),
    }
    coder.begin(p, space.enter(_sample(rows)) @ decoder.T)
    return p
