"""Late interaction: several vectors a text, pruned, stored, searched by exact MaxSim and explained."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sememe.multi_vector.maxsim import chamfer
    from sememe.multi_vector.pruning import Pruning, prune
    from sememe.search.multi_vector.config import MultiVectorConfig
    from sememe.search.multi_vector.explaining import MaxSimExplanation, MultiVectorHit
    from sememe.search.multi_vector.index import MultiVectorIndex
    from sememe.search.multi_vector.posthoc import cluster_posthoc, ward

_HOMES = {
    "MultiVectorConfig": "sememe.search.multi_vector.config",
    "MaxSimExplanation": "sememe.search.multi_vector.explaining",
    "MultiVectorHit": "sememe.search.multi_vector.explaining",
    "MultiVectorIndex": "sememe.search.multi_vector.index",
    "Pruning": "sememe.multi_vector.pruning",
    "chamfer": "sememe.multi_vector.maxsim",
    "prune": "sememe.multi_vector.pruning",
    "cluster_posthoc": "sememe.search.multi_vector.posthoc",
    "ward": "sememe.search.multi_vector.posthoc",
}

__all__ = [
    "MaxSimExplanation",
    "MultiVectorConfig",
    "MultiVectorHit",
    "MultiVectorIndex",
    "Pruning",
    "chamfer",
    "cluster_posthoc",
    "prune",
    "ward",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
