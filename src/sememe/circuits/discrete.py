"""The discrete sparse autoencoder of O'Neill and Bui (arXiv 2405.12522): a head's output becomes one integer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from sememe.errors import InputError, NotFittedError
from sememe.extras import require

_CODED_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class DiscreteConfig:
    """How the autoencoder is trained; the defaults are the paper's for indirect object identification (section 3.2).

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    n_latents: int = field(default=200, metadata={"help": "latents: how many different codes there can be"})
    l1: float = field(default=0.02, metadata={"help": "weight of the sparsity penalty (the paper: 0.05 for docstring)"})
    steps: int = field(default=500, metadata={"help": "full-batch Adam steps"})
    lr: float = field(default=1e-3, metadata={"help": "learning rate"})
    decoder_norm: Literal["atom", "official"] = field(
        default="atom",
        metadata={"help": "what has unit norm: each atom, or each output coordinate as in the official code",
                  "choices": ("atom", "official")},
    )  # fmt: skip

    def __post_init__(self) -> None:
        problems = []
        if self.n_latents < 2:
            problems.append(f"n_latents is {self.n_latents}; give 2 or more")
        if self.steps < 0:
            problems.append(f"steps is {self.steps}; give 0 or more")
        if not self.l1 >= 0:
            problems.append(f"l1 is {self.l1}; give 0 or more")
        if not self.lr > 0:
            problems.append(f"lr is {self.lr}; give more than 0")
        if self.decoder_norm not in ("atom", "official"):
            problems.append(f"decoder_norm is {self.decoder_norm!r}; use atom or official")
        if problems:
            raise InputError("; ".join(problems), where="discrete autoencoder")


class DiscreteSAE:
    """One small sparse autoencoder for all heads.

    a = ReLU(W_enc (x - b) + b_enc), x' = W_dec a + b, with the bias b tied and zero at the start. The loss is the mean
    squared error over all elements plus `l1` times the mean over prompts and heads of the L1 norm of a. Rows of W_enc
    and, with `decoder_norm="atom"`, columns of W_dec have unit norm; the part of the gradient along them is removed.

    Args:
        config: see `DiscreteConfig`.
        random_state: the seed of the weights.

    Attributes:
        weights_: after `fit`, float32 arrays `encoder` (latents, width), `encoder_bias` (latents,), `decoder`
            (width, latents) and `bias` (width,).
        losses_: the loss before each step.

    """

    def __init__(self, config: DiscreteConfig | None = None, random_state: int = 0) -> None:
        self.config = config or DiscreteConfig()
        self.random_state = random_state
        self.weights_: dict[str, np.ndarray] | None = None
        self.losses_: list[float] = []

    def get_params(self) -> dict[str, Any]:
        """The configuration and the seed."""
        return {**asdict(self.config), "random_state": self.random_state}

    def fit(self, outputs: np.ndarray) -> DiscreteSAE:
        """Learn from heads' outputs (prompts, heads, width) of a few prompts, both classes mixed.

        Raises:
            InputError: the outputs are no such array, are empty, or are not finite.

        """
        torch = require("torch", "models")
        X = torch.from_numpy(_checked(outputs))
        axis = 0 if self.config.decoder_norm == "atom" else 1
        parameters = _initial(X.shape[-1], self.config.n_latents, axis, self.random_state)
        encoder, encoder_bias, decoder, bias = parameters
        optimiser = torch.optim.Adam(parameters, lr=self.config.lr)
        self.losses_ = []
        for _ in range(self.config.steps):
            codes = torch.relu((X - bias) @ encoder.T + encoder_bias)
            error = codes @ decoder.T + bias - X
            loss = error.square().mean() + self.config.l1 * codes.sum(-1).mean()
            optimiser.zero_grad()
            loss.backward()
            with torch.no_grad():
                _remove_parallel(encoder, 1)
                _remove_parallel(decoder, axis)
            optimiser.step()
            with torch.no_grad():
                _normalise(encoder, 1)
                _normalise(decoder, axis)
            self.losses_.append(float(loss.detach()))
        names = ("encoder", "encoder_bias", "decoder", "bias")
        self.weights_ = {name: p.detach().numpy().copy() for name, p in zip(names, parameters, strict=True)}
        return self

    def codes(self, outputs: np.ndarray) -> np.ndarray:
        """The strongest latent of each output: int32 (prompts, heads); 0 where none is active, see `silent`.

        Raises:
            NotFittedError: before `fit`.
            InputError: the outputs have another width, or are not finite.

        """
        return self._strongest(outputs)[0]

    def silent(self, outputs: np.ndarray) -> np.ndarray:
        """Which outputs activate no latent, so that their code 0 says nothing: bool (prompts, heads)."""
        return self._strongest(outputs)[1]

    def _strongest(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.weights_ is None:
            raise NotFittedError("the discrete autoencoder was not fitted yet", hint="Call fit first")
        X = _checked(outputs)
        weights = self.weights_
        if X.shape[-1] != weights["encoder"].shape[1]:
            raise InputError(f"the outputs are {X.shape[-1]} wide, not {weights['encoder'].shape[1]}", where="outputs")
        rows = X.reshape(-1, X.shape[-1])
        codes, largest = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
        shift = weights["encoder_bias"] - weights["encoder"] @ weights["bias"]
        for start in range(0, len(rows), _CODED_AT_ONCE):
            part = slice(start, start + _CODED_AT_ONCE)
            activations = np.maximum(rows[part] @ weights["encoder"].T + shift, 0.0)
            codes[part], largest[part] = activations.argmax(axis=1), activations.max(axis=1)
        return codes.reshape(X.shape[:-1]), largest.reshape(X.shape[:-1]) == 0


def _initial(width: int, n_latents: int, axis: int, random_state: int) -> list[Any]:
    """PyTorch's default of linear layers, then unit norms, and a bias of zero: encoder, its bias, decoder, bias."""
    import torch

    generator = torch.Generator().manual_seed(random_state)

    def uniform(shape: tuple[int, ...], fan_in: int) -> Any:
        return (torch.rand(shape, generator=generator) * 2 - 1) / fan_in**0.5

    encoder, encoder_bias = uniform((n_latents, width), width), uniform((n_latents,), width)
    decoder, bias = uniform((width, n_latents), n_latents), torch.zeros(width)
    _normalise(encoder, 1)
    _normalise(decoder, axis)
    return [parameter.requires_grad_() for parameter in (encoder, encoder_bias, decoder, bias)]


def _remove_parallel(weight: Any, axis: int) -> None:
    """Take the part along the unit vectors of `weight` out of its gradient."""
    weight.grad -= (weight.grad * weight).sum(axis, keepdim=True) * weight


def _normalise(weight: Any, axis: int) -> None:
    weight /= weight.norm(dim=axis, keepdim=True).clamp_min(1e-12)


def _checked(outputs: np.ndarray) -> np.ndarray:
    X = np.ascontiguousarray(outputs, np.float32)
    if X.ndim != 3 or 0 in X.shape:
        raise InputError(f"expected (prompts, heads, width), got {np.shape(outputs)}", where="outputs")
    if not np.isfinite(X).all():
        raise InputError("some numbers are not finite", where="outputs")
    return X
