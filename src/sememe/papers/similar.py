"""Papers like a given one, with reasons: what both are about, and rare words that both use.

    likeness(a, b) = (1 - share) cos(x_a, x_b) + share cos(u_a, u_b)

x is a paper's vector, u the BM25 weights of its words. Both cosines are sums, over atoms and over words, so the reasons
add up to the likeness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sememe.papers.reasons import Score

if TYPE_CHECKING:
    from sememe.papers.features import Features

WORD_SHARE = 0.5
"""The share of words in a likeness; chosen on arXiv categories that no claim is measured on."""


def likeness(features: Features, row: int, *, share: float = WORD_SHARE) -> Score:
    """How like a paper others are: 1 is the paper itself.

    Args:
        features: of all papers.
        row: the paper.
        share: the share of words, 0 to 1.

    """
    words = features.words[row].toarray().ravel().astype(np.float64)
    return Score((1 - share) * features.units[row].astype(np.float64), share * words)
