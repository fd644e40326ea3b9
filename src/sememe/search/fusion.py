"""Joining several rankings into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

RANK_CONSTANT = 60  # Cormack, Clarke and Büttcher, SIGIR 2009, section 2
_LARGEST_GROUP = 64


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], k: int) -> list[tuple[int, float]]:
    """Fuse rankings of the same items: score(i) = sum over rankings of 1 / (60 + rank of i).

    Args:
        rankings: items, the best first; an item that a ranking does not hold gets nothing from it.
        k: how many to return.

    Returns:
        (item, fused score), the best first; equal scores are ordered by item.

    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


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


def by_item(items: np.ndarray, scores: np.ndarray) -> Mapping[int, float]:
    """The scores of `items` as a mapping."""
    return {int(item): float(scores[item]) for item in items}
