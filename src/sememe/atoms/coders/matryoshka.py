"""The Matryoshka autoencoder: BatchTopK codes whose first atoms alone must already reconstruct well.

Source: Bussmann, Nabeshima, Karvonen & Nanda, "Learning Multi-Level Features with Matryoshka Sparse Autoencoders"
(arXiv 2503.17547): the loss is the mean over nested prefixes of the dictionary of |x - x'_prefix|^2, so general atoms
come first and stay general.
"""

from __future__ import annotations

import numpy as np

from sememe.atoms.coders.batch_topk import BatchTopK

PREFIXES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # the ends of the nested parts, as shares of all atoms


class Matryoshka(BatchTopK):
    """See the module."""

    def groups(self, n_atoms: int) -> np.ndarray:
        ends = sorted({max(1, round(share * n_atoms)) for share in PREFIXES})
        return np.searchsorted(ends, np.arange(n_atoms), side="right")
