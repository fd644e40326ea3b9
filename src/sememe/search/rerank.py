"""The optional last stage: a slow, exact reader orders the best hits again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from sememe.errors import InputError
from sememe.search.hits import Hit

DEPTH = 50


class Reranker(Protocol):
    """Scores pairs of a query and a text; higher is better.

    Attributes:
        name: what its score is called in `Hit.parts`.
        depth: how many of the best hits it reads.

    """

    name: str
    depth: int

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """The score of each text for the query; shape (n,)."""
        ...


def reranked(reranker: Reranker, query: str, hits: Sequence[Hit], k: int) -> list[Hit]:
    """The best `k` hits after the reranker has ordered the first `depth`; what it did not read stays below, as it was.

    The score of a hit that was read is the reranker's; its earlier score stays in `parts`.

    Raises:
        InputError: the reranker gave scores of another shape, or NaN.

    """
    read, rest = hits[: reranker.depth], hits[reranker.depth :]
    if not read:
        return []
    texts = [f"{hit.document.title}\n{hit.passage}".strip() for hit in read]
    scores = np.asarray(reranker.score(query, texts), np.float64)
    if scores.shape != (len(read),) or not np.isfinite(scores).all():
        raise InputError(f"gave scores of shape {scores.shape} for {len(read)} texts, or NaN", where=reranker.name)
    order = np.lexsort((np.arange(len(read)), -scores))
    best = [
        replace(read[i], score=float(scores[i]), parts={**read[i].parts, reranker.name: float(scores[i])})
        for i in order.tolist()
    ]
    return [replace(hit, rank=rank) for rank, hit in enumerate([*best, *rest][:k], start=1)]
