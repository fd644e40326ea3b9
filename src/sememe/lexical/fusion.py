"""Joining rankings into one, such as one by words and one by meaning."""

from __future__ import annotations

from collections.abc import Sequence

RANK_CONSTANT = 60  # Cormack, Clarke and Büttcher, SIGIR 2009, section 2
FUSION_DEPTH = 100
"""How deep each ranking is read before fusing, at least."""


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
