"""Atoms at work inside the model that they were learned from: their arithmetic in torch, at their site."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.atoms.weights import Weights
from sememe.errors import InputError
from sememe.extras import require

if TYPE_CHECKING:
    from sememe.atoms.atoms import Atoms
    from sememe.models import LanguageModel


class Tensors:
    """A dictionary as float32 tensors on a model's device; what is computed from states of any dtype is float32.

    Args:
        weights: the dictionary.
        device: a torch device.
        atoms: the atoms that are asked about (m,); None for all. Others are left out, unless only the k largest
            activations count, which takes all to know.
    """

    def __init__(self, weights: Weights, device: Any, atoms: np.ndarray | None = None) -> None:
        torch = require("torch", "models")
        self._k = weights.k if weights.k is not None and weights.k < weights.n_atoms else None
        kept = slice(None) if atoms is None or self._k is not None else atoms

        def tensor(array: np.ndarray) -> Any:
            return torch.tensor(np.asarray(array, np.float32), device=device)

        self._chosen = None if atoms is None or self._k is None else torch.tensor(atoms, device=device)
        self._encoder, self._encoder_bias = tensor(weights.encoder[kept]), tensor(weights.encoder_bias[kept])
        self._thresholds, self._bias = tensor(weights.thresholds[kept]), tensor(weights.bias)
        self.decoder = tensor(weights.decoder if atoms is None else weights.decoder[atoms])

    def activations(self, states: Any) -> Any:
        """The activations (..., m) of the atoms in states (..., d), as `Weights.encode` defines them."""
        z = (states.float() - self._bias) @ self._encoder.T + self._encoder_bias
        active = (z >= self._thresholds) & (z > 0)
        if self._k is not None:
            active &= z >= z.topk(self._k, dim=-1).values[..., -1:]
        a = z.where(active, 0.0)
        return a if self._chosen is None else a[..., self._chosen]

    def reconstruct(self, states: Any) -> Any:
        """What the dictionary makes of states (..., d), float32; for tensors of all atoms."""
        return self.activations(states) @ self.decoder + self._bias


def site_in(lm: LanguageModel, atoms: Atoms, site: str | None, *, any_model: bool) -> str:
    """The site at which atoms act: `site`, or by default the one that they were learned at.

    Raises:
        InputError: it is not known or has another width; or the model is another one, and `any_model` is false.
    """
    source = atoms.card.get("source", {})
    wanted = site or source.get("site")
    if not wanted:
        raise InputError(
            "the atoms were not learned at a site of a language model, as far as they know",
            hint="Name the site to use them at: site='layers.14.residual' (--site)",
        )
    width = lm.site_width(wanted)
    if width != atoms.dimensions:
        raise InputError(
            f"the site is {width} wide, the atoms are {atoms.dimensions} wide",
            where=wanted,
            hint="Use them with the model and at the site that they were learned from",
        )
    learned_from = source.get("model_fingerprint")
    if learned_from and not any_model and lm.fingerprint != learned_from:
        name = source.get("model", "another model")
        raise InputError(
            f"the atoms were learned from {name!r} with the fingerprint {learned_from[:12]}, "
            f"not from this model with {lm.fingerprint[:12]}",
            where=lm.name,
            hint=f"Load {name!r}; or, to use them in a relative of it, allow that with any_model=True (--any-model)",
        )
    return str(wanted)


def skips_first_token(atoms: Atoms, wish: bool | None) -> bool:
    """Whether first tokens are left as they are: as wished, else when the atoms were learned without them."""
    return bool(atoms.card.get("source", {}).get("skip_first_token", False)) if wish is None else wish


@contextmanager
def patched(lm: LanguageModel, site: str, function: Callable[[Any], Any], *, skip_first_token: bool) -> Iterator[None]:
    """`lm.patch`, which can leave the first token of every text as it is.

    Args:
        lm: the model.
        site: the name of a site.
        function: from states (texts, tokens, width) to their replacements.
        skip_first_token: leave it alone. Texts must be filled up on the right, as `LanguageModel` does it.
    """
    if not skip_first_token:
        with lm.patch(site, function):
            yield
        return
    torch = require("torch", "models")
    owner, at_start = threading.get_ident(), True

    def look(_module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal at_start
        if threading.get_ident() == owner:
            # With a cache a pass sees only what is new: the first token is in it when the cache is still empty. The
            # cache is told by what it can do, for its name among the arguments depends on transformers' version.
            caches = [value for value in (*inputs, *named.values()) if hasattr(value, "get_seq_length")]
            at_start = not any(int(cache.get_seq_length()) for cache in caches)

    def all_but_first(states: Any) -> Any:
        if not at_start:
            return function(states)
        if states.shape[1] < 2:
            return states
        return torch.cat([states[:, :1], function(states[:, 1:])], dim=1)

    # Either may be what is called: activations need no output layer, and OPT's full model passes its base by.
    handles = [part.register_forward_pre_hook(look, with_kwargs=True) for part in (lm.model, lm.model.base_model)]
    try:
        with lm.patch(site, all_but_first):
            yield
    finally:
        for handle in handles:
            handle.remove()
