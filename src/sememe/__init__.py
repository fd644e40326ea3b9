"""Sememe: open up, shape and search with the representations that neural networks learn."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sememe.version import __version__

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.bank import Bank
    from sememe.bank.harvest import harvest
    from sememe.corpus import Corpus, Document, read
    from sememe.errors import SememeError
    from sememe.models import Encoder, LanguageModel
    from sememe.models.cross_encoder import CrossEncoder
    from sememe.models.multi_vector import MultiVectorEncoder
    from sememe.search import Explanation, Hit, Index
    from sememe.search.feedback import Feedback
    from sememe.search.late_interaction import LateInteraction
    from sememe.search.milvus import MilvusIndex
    from sememe.search.multi_vector import MultiVectorIndex
    from sememe.training.encoders import train_encoder

_HOMES = {
    "Atoms": "sememe.atoms",
    "Bank": "sememe.bank",
    "harvest": "sememe.bank",
    "Corpus": "sememe.corpus",
    "Document": "sememe.corpus",
    "read": "sememe.corpus",
    "CrossEncoder": "sememe.models.cross_encoder",
    "Encoder": "sememe.models",
    "Feedback": "sememe.search.feedback",
    "LateInteraction": "sememe.search.late_interaction",
    "MilvusIndex": "sememe.search.milvus",
    "MultiVectorEncoder": "sememe.models.multi_vector",
    "MultiVectorIndex": "sememe.search.multi_vector",
    "LanguageModel": "sememe.models",
    "Explanation": "sememe.search",
    "Hit": "sememe.search",
    "Index": "sememe.search",
    "SememeError": "sememe.errors",
    "train_encoder": "sememe.training.encoders",
}

__all__ = [
    "Atoms",
    "Bank",
    "Corpus",
    "CrossEncoder",
    "Document",
    "Encoder",
    "Explanation",
    "Feedback",
    "Hit",
    "Index",
    "LanguageModel",
    "LateInteraction",
    "MilvusIndex",
    "MultiVectorEncoder",
    "MultiVectorIndex",
    "SememeError",
    "__version__",
    "harvest",
    "read",
    "train_encoder",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import sememe` must stay fast, and torch takes seconds.
    if name not in _HOMES:
        raise AttributeError(f"module 'sememe' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
