"""Low-rank adapters (LoRA; Hu et al., ICLR 2022) by the peft package: far fewer weights to train, merged when saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sememe.errors import InputError
from sememe.extras import require


@dataclass(frozen=True)
class LoraConfig:
    """How adapters are made: W + (alpha / rank) B A on every linear layer, B starting at 0.

    Attributes:
        rank: inner dimension of each adapter.
        alpha: scale.
        dropout: in front of the adapters.
        seed: of the adapters' weights.

    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0 or not 0 <= self.dropout < 1:
            raise InputError("rank must be 1 or more, alpha above 0 and dropout from 0 to below 1", where="LoraConfig")


def add_adapters(model: Any, config: LoraConfig) -> Any:
    """The model with an adapter on every linear layer; its own weights are frozen.

    Raises:
        MissingExtraError: peft is not installed.

    """
    import torch

    peft = require("peft", "train")
    adapters = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules="all-linear"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return peft.get_peft_model(model, adapters)


def merge_adapters(model: Any) -> Any:
    """The plain model with the adapters added to its weights."""
    return model.merge_and_unload()
