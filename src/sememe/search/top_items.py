"""The best of many scores."""

from __future__ import annotations

import numpy as np

_LARGEST_GROUP = 64


def top_items(scores: np.ndarray, allowed: np.ndarray, k: int, at_least: float = -np.inf) -> np.ndarray:
    """The `k` allowed items with the highest scores above `at_least`; equal scores are ordered by item.

    Args:
        scores: one score an item; shape (n,).
        allowed: which items may be returned; shape (n,), boolean.
        k: how many to return.
        at_least: what a score must exceed.

    """
    passing = scores > at_least
    passing &= allowed
    floor = _floor(scores, passing, k)
    if floor > at_least:
        passing &= scores >= floor
    items = np.flatnonzero(passing)
    if len(items) > k:
        # Everything that ties with the k-th stays in, so that the order of ties is by item and nothing else.
        cut = -np.partition(-scores[items], k - 1)[k - 1]
        items = items[scores[items] >= cut]
    order = np.argsort(-scores[items], kind="stable")
    return items[order][:k]


def _floor(scores: np.ndarray, passing: np.ndarray, k: int) -> float:
    """A score that k of the passing items reach, found without sorting: the k-th largest maximum of groups of items."""
    size = min(_LARGEST_GROUP, len(scores) // (4 * max(k, 1)))
    if size < 2:
        return -np.inf
    n_groups = len(scores) // size
    grouped = np.where(passing, scores, -np.inf)[: n_groups * size].reshape(size, n_groups).max(axis=0)
    return float(np.partition(grouped, n_groups - k)[n_groups - k])
