"""Training objectives: one file each, a loss with what it needs."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from sememe.errors import InputError


class Home(NamedTuple):
    """Where an objective and its options are, and what it is trained on."""

    module: str
    objective: str
    config: str
    takes_pairs: bool = False
    """Whether it learns from labelled pairs instead of a corpus."""
    compares_tokens: bool = False
    """Whether it trains the vectors of tokens (`TrainableTokens`) instead of one vector a text."""


OBJECTIVES = {
    "contriever": Home("sememe.objectives.contriever", "Contriever", "ContrieverConfig"),
    "crisp": Home("sememe.objectives.crisp", "Crisp", "CrispConfig", takes_pairs=True, compares_tokens=True),
    "distillation": Home("sememe.objectives.distillation", "Distillation", "DistillationConfig", takes_pairs=True),
    "masked-lm": Home("sememe.objectives.masked_language_model", "MaskedLanguageModel", "MaskedLanguageModelConfig"),
    "pairs": Home("sememe.objectives.pairs", "Pairs", "PairsConfig", takes_pairs=True),
    "replug": Home("sememe.objectives.replug", "Replug", "ReplugConfig"),
    "revela": Home("sememe.objectives.revela", "Revela", "RevelaConfig"),
}
"""Objectives by the name that the command line knows them by."""


def objective_class(name: str) -> Any:
    """The class of an objective; it is made from its options.

    Raises:
        InputError: there is no such objective.

    """
    return _find(name, "objective")


def objective_config(name: str) -> Any:
    """The dataclass of an objective's options.

    Raises:
        InputError: there is no such objective.

    """
    return _find(name, "config")


def _find(name: str, what: str) -> Any:
    if name not in OBJECTIVES:
        raise InputError(f"there is no objective {name!r}", hint=f"Choose from {', '.join(OBJECTIVES)}")
    home = OBJECTIVES[name]
    return getattr(importlib.import_module(home.module), getattr(home, what))
