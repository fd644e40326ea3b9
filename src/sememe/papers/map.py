"""A map of the field: a place in the plane for every paper, similar papers near each other.

Some thousands of papers, spread evenly over the collection, are laid out as the atoms' map is, by t-SNE on nearest
neighbours. Every other paper is put at the mean place of the laid-out papers most like it, so that a map of tens of
thousands takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sememe.atoms.layout import lay_out

if TYPE_CHECKING:
    from sememe.papers.collection import PaperCollection

LAID_OUT = 2000
NEIGHBOURS = 5
_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class FieldMap:
    """Where papers lie.

    Attributes:
        ids: the papers.
        titles: their titles.
        years: their years (n,), int; 0 where the date is not known.
        places: from 0 to 1 in both directions (n, 2), float32.

    """

    ids: Sequence[str]
    titles: Sequence[str]
    years: np.ndarray
    places: np.ndarray


def field_map(collection: PaperCollection, *, laid_out: int = LAID_OUT) -> FieldMap:
    """Lay out the papers of a collection; hidden ones are left out. The result is deterministic.

    Args:
        collection: the papers.
        laid_out: how many are laid out themselves.

    """
    features = collection.features
    hidden = set(collection.store.marked("hidden"))
    rows = np.asarray([row for row, id in enumerate(features.ids) if id not in hidden], np.int64)
    papers = collection.store.papers([features.ids[row] for row in rows])
    years = np.asarray([paper.date.year if paper.date else 0 for paper in papers], np.int64)
    places = lay_out_papers(features.units[rows], laid_out)
    return FieldMap([paper.id for paper in papers], [paper.title for paper in papers], years, places)


def lay_out_papers(units: np.ndarray, laid_out: int = LAID_OUT) -> np.ndarray:
    """Places of papers in the unit square (n, 2), float32, from their vectors of length one (n, d)."""
    n = len(units)
    chosen = np.unique(np.linspace(0, max(n - 1, 0), min(n, laid_out)).astype(np.int64)) if n else np.zeros(0, np.int64)
    centred = units[chosen] - units[chosen].mean(axis=0) if n else units
    anchors = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    laid = lay_out(anchors) if n else np.zeros((0, 2), np.float32)
    places = np.empty((n, 2), np.float32)
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        places[block] = _between(units[block] @ units[chosen].T, laid)
    places[chosen] = laid
    low, high = places.min(axis=0, initial=np.inf), places.max(axis=0, initial=-np.inf)
    return np.asarray((places - low) / np.maximum(high - low, 1e-12), np.float32)


def _between(likeness: np.ndarray, laid: np.ndarray) -> np.ndarray:
    """The mean place of each paper's nearest neighbours among those laid out, the nearer ones counting more."""
    k = min(NEIGHBOURS, likeness.shape[1])
    near = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
    weight = np.exp(20 * np.take_along_axis(likeness, near, axis=1).astype(np.float64))
    weight /= weight.sum(axis=1, keepdims=True)
    between: np.ndarray = (laid[near] * weight[:, :, None]).sum(axis=1)
    return between
