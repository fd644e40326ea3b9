"""How well a collection on a server finds what an exact scan of the index on disk finds: measured, not assumed."""

from __future__ import annotations

import numpy as np

from sememe.search.index import Index
from sememe.search.milvus.index import MilvusIndex

SAMPLED_QUERIES = 100
TIE = 1e-6


def agreement(
    index: Index, remote: MilvusIndex, k: int = 10, *, n_queries: int = SAMPLED_QUERIES, random_state: int = 0
) -> float:
    """The share of the exact top `k` documents that the server finds, with sampled rows as queries.

    A document is no fair query for itself, so it is left out of its own lists; what scores as high as the k-th is as
    good. 1.0 when there is nothing to find.
    """
    rows = index.live_rows()
    drawn = np.random.default_rng(random_state).choice(rows, min(n_queries, len(rows)), replace=False)
    queries, own = index.bank[drawn], [index.id_of(int(row)) for row in drawn]
    truth = index.using("exact").search_batch(queries, k + 1)
    found = remote.search_batch(queries, k + 1)
    shares = []
    for document, exact, theirs in zip(own, truth, found, strict=True):
        true, there = ([hit.score for hit in hits if hit.document.id != document][:k] for hits in (exact, theirs))
        good = sum(score >= true[-1] - TIE for score in there) if true else 0
        shares.append(good / len(true) if true else 1.0)
    return float(np.mean(shares)) if shares else 1.0
