"""Pooling: from the vectors of a text's tokens to one vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sememe.errors import ModelError

_LEGACY_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class Pooling:
    """Token vectors to one vector a text: one or several modes, side by side.

    The modes are those of sentence-transformers: `cls`, `max`, `mean`, `mean_sqrt_len_tokens`, `weightedmean`
    (weights 1, 2, 3, ...), `lasttoken`.
    """

    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    """Whether the tokens of the prompt are pooled too."""

    def __call__(self, states: Any, lengths: Any, skip: int = 0) -> Any:
        """Pool token vectors.

        Args:
            states: tensor (texts, tokens, width), filled up on the right.
            lengths: int64 tensor (texts,), how many tokens of each text are real.
            skip: how many leading tokens to leave out (those of the prompt).

        Returns:
            Tensor (texts, width x modes); zeros for a text without tokens.

        """
        import torch

        places = torch.arange(states.shape[1], device=states.device)
        kept = (places < lengths[:, None]) & (places >= skip)
        return torch.cat([_POOL[mode](states, kept) for mode in self.modes], dim=-1)

    def config(self, width: int) -> dict[str, Any]:
        """Its configuration in the form that every version of sentence-transformers reads."""
        flags = {name: mode in self.modes for name, mode in _LEGACY_MODES.items()}
        return {"word_embedding_dimension": width, **flags, "include_prompt": self.include_prompt}


def read_pooling(config: Mapping[str, Any], where: str) -> Pooling:
    """Pooling from its configuration, in the old form (one flag a mode) or the new one.

    Raises:
        ModelError: a mode is unknown.

    """
    modes = config.get("pooling_mode")
    if modes is None:
        modes = tuple(mode for name, mode in _LEGACY_MODES.items() if config.get(name)) or "mean"
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    for mode in modes:
        if mode not in _POOL:
            raise ModelError(f"unknown pooling {mode!r}", where=where, hint=f"Supported: {', '.join(_POOL)}")
    return Pooling(modes, bool(config.get("include_prompt", True)))


def _mean(states: Any, kept: Any) -> Any:
    return _sum(states, kept) / kept.sum(1, keepdim=True).clamp(min=1)


def _mean_root(states: Any, kept: Any) -> Any:
    return _sum(states, kept) / kept.sum(1, keepdim=True).clamp(min=1).sqrt()


def _weighted_mean(states: Any, kept: Any) -> Any:
    import torch

    # A left-out prompt keeps its positions: the first token behind it weighs prompt length + 1.
    weights = kept * torch.arange(1, kept.shape[1] + 1, device=kept.device, dtype=states.dtype)
    return _sum(states, weights) / weights.sum(1, keepdim=True).clamp(min=1)


def _max(states: Any, kept: Any) -> Any:
    if states.shape[1] == 0:
        return states.sum(1)
    highest = states.masked_fill(~kept[..., None], float("-inf")).max(1).values
    return highest.masked_fill(~kept.any(1, keepdim=True), 0.0)


def _first(states: Any, kept: Any) -> Any:
    return _one(states, kept, kept.int().argmax(1) if kept.shape[1] else None)


def _last(states: Any, kept: Any) -> Any:
    return _one(states, kept, kept.shape[1] - 1 - kept.flip(1).int().argmax(1) if kept.shape[1] else None)


def _one(states: Any, kept: Any, place: Any) -> Any:
    if place is None:
        return states.sum(1)
    picked = states.gather(1, place[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)
    return picked.masked_fill(~kept.any(1, keepdim=True), 0.0)


def _sum(states: Any, weights: Any) -> Any:
    return (weights.to(states.dtype)[:, None, :] @ states).squeeze(1)


_POOL: dict[str, Callable[[Any, Any], Any]] = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_root,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
