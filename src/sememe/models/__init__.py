"""Models whose representations Sememe reads: encoders of texts, and language models with named sites."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sememe.models.catalogue import KnownModel, known_models

if TYPE_CHECKING:
    from sememe.models.encoder import Encoder
    from sememe.models.language import Activations, LanguageModel

_HOMES = {
    "Activations": "sememe.models.language",
    "Encoder": "sememe.models.encoder",
    "LanguageModel": "sememe.models.language",
}

__all__ = ["Activations", "Encoder", "KnownModel", "LanguageModel", "known_models"]


def __getattr__(name: str) -> Any:
    # `doctor` asks what is reachable without paying for numpy and tokenizers.
    if name not in _HOMES:
        raise AttributeError(f"module 'sememe.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
