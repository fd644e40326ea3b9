"""Circuits that were published for GPT-2 small, as lists of heads: a second reference where a user has that model.

Heads are facts of the papers named here, as layer.head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sememe.circuits.head_outputs import place_of

if TYPE_CHECKING:
    from sememe.models import LanguageModel

IOI = {
    "name movers": "9.9 9.6 10.0",
    "backup name movers": "10.10 10.6 10.2 10.1 11.2 9.7 9.0 11.9",
    "negative name movers": "10.7 11.10",
    "S-inhibition": "7.3 7.9 8.6 8.10",
    "induction": "5.5 5.8 5.9 6.9",
    "duplicate tokens": "0.1 0.10 3.0",
    "previous token": "2.2 4.11",
}
GREATER_THAN = "0.1 0.3 0.5 5.5 6.1 6.9 7.10 8.11 9.1"
PUBLISHED = {
    "ioi": ("Wang et al. (2023)", " ".join(IOI.values())),
    "greater-than": ("Hanna et al. (2023)", GREATER_THAN),
}
LAYERS, HEADS, WIDTH = 12, 12, 768


def published_heads(lm: LanguageModel, task: str) -> tuple[str, np.ndarray] | None:
    """The published circuit for this model and task: its source, and bool (layers * heads,); None where there is none.

    Templates here differ from those of the papers, so agreement with them is worth less than with patching.
    """
    shape = (lm.model.config.model_type, lm.n_layers, lm.n_heads, lm.width)
    if task not in PUBLISHED or shape != ("gpt2", LAYERS, HEADS, WIDTH):
        return None
    source, names = PUBLISHED[task]
    truth = np.zeros(LAYERS * HEADS, bool)
    truth[[place_of(name, LAYERS, HEADS) for name in names.split()]] = True
    return source, truth
