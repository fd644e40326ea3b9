"""Sparse coders, one file each: how activations are chosen from pre-activations, and the penalty that makes them few.

All are trained by `sememe.atoms.training` and all leave behind the same `Weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sememe.atoms.coders.batch_topk import BatchTopK
from sememe.atoms.coders.coder import Coder
from sememe.atoms.coders.gated import Gated
from sememe.atoms.coders.jumprelu import JumpReLU
from sememe.atoms.coders.matryoshka import Matryoshka
from sememe.atoms.coders.relu import ReLU
from sememe.atoms.coders.threshold import Threshold
from sememe.atoms.coders.topk import TopK
from sememe.atoms.config import AtomsConfig

CODERS: Mapping[str, Callable[[AtomsConfig], Coder]] = {
    "threshold": Threshold,
    "relu": ReLU,
    "topk": TopK,
    "batch_topk": BatchTopK,
    "jumprelu": JumpReLU,
    "gated": Gated,
    "matryoshka": Matryoshka,
}

__all__ = ["CODERS", "Coder"]
