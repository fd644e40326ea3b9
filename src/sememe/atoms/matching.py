"""Matching two dictionaries atom by atom: what was found again with another seed, layer or coder.

Sources: the mean max cosine similarity of Sharkey, Braun & Millidge (2022); one-to-one matching by the Hungarian
algorithm as in Paulo & Belrose, "Sparse Autoencoders Trained on the Same Data Learn Different Features" (arXiv
2501.16615), who count an atom as shared when its match has a cosine above 0.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.atoms.coherence import unit_atoms
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.errors import InputError

SHARED = 0.7


@dataclass(frozen=True, eq=False)
class Matching:
    """Which atom of the second dictionary stands for each of the first.

    Attributes:
        partner: the one-to-one match of each atom of the first (n,), -1 where the second has fewer atoms.
        cosine: their cosine (n,), NaN without a partner.
        nearest: the largest cosine of each atom of the first with any of the second (n,).
        nearest_back: the same from the second to the first (m,).
    """

    partner: np.ndarray
    cosine: np.ndarray
    nearest: np.ndarray
    nearest_back: np.ndarray

    @property
    def mmcs(self) -> float:
        """Mean max cosine similarity, averaged over both directions."""
        return float((self.nearest.mean() + self.nearest_back.mean()) / 2)

    @property
    def shared(self) -> float:
        """The share of the first dictionary's atoms whose one-to-one match has a cosine above 0.7."""
        return float((np.nan_to_num(self.cosine, nan=-1.0) > SHARED).mean())


def match(first: np.ndarray, second: np.ndarray, metric: AtomicInnerProduct | None = None) -> Matching:
    """Match atoms (n, d) with atoms (m, d); a direction and its opposite are different atoms.

    Takes (n m) memory and, for 8,192 atoms each, some 10 seconds.

    Args:
        first: atoms; leave out those that never fire, which match nothing.
        second: atoms of the same width.
        metric: the inner product of the cosines; Euclidean when None.

    Raises:
        InputError: a dictionary is empty, or the widths differ.
    """
    from scipy.optimize import linear_sum_assignment

    if first.shape[1:] != second.shape[1:] or not len(first) or not len(second):
        raise InputError("dictionaries must have atoms, of one width", where=f"shapes {first.shape} and {second.shape}")
    cosines = unit_atoms(first, metric) @ unit_atoms(second, metric).T
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    partner, cosine = np.full(len(first), -1), np.full(len(first), np.nan)
    partner[rows], cosine[rows] = columns, cosines[rows, columns]
    return Matching(partner, cosine, cosines.max(axis=1), cosines.max(axis=0))
