"""Late interaction: several vectors a text, pruned, stored, searched by exact MaxSim and explained."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sememe.search.multi_vector.config import MultiVectorConfig
    from sememe.search.multi_vector.explaining import MaxSimExplanation, MultiVectorHit
    from sememe.search.multi_vector.index import MultiVectorIndex
    from sememe.search.multi_vector.maxsim import chamfer
    from sememe.search.multi_vector.posthoc import cluster_posthoc, ward
    from sememe.search.multi_vector.pruning import Pruning, prune

_HOMES = {
    "MultiVectorConfig": "config",
    "MaxSimExplanation": "explaining",
    "MultiVectorHit": "explaining",
    "MultiVectorIndex": "index",
    "Pruning": "pruning",
    "chamfer": "maxsim",
    "prune": "pruning",
    "cluster_posthoc": "posthoc",
    "ward": "posthoc",
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
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
