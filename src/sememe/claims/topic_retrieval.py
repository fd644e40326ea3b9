"""Retrieval by topic: documents of the query's own topic are relevant; whole rankings are judged, ties by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sememe.search.coarse.hamming import hamming_distances

METRICS = {"map": "MAP", "ndcg@10": "NDCG@10"}
QUERIES_AT_ONCE = 50

Ranked = tuple[np.ndarray, np.ndarray]
"""Rows and their scores, in any order; rows that are not among them are not retrieved."""


@dataclass(frozen=True, eq=False)
class Topics:
    """The topics of documents and of queries.

    Attributes:
        documents: shape (n_documents,).
        queries: shape (n_queries,).
        order: which document comes first when scores are equal; by default the one with the smaller row.

    """

    documents: np.ndarray
    queries: np.ndarray
    order: np.ndarray | None = None

    def shuffled(self, random_state: int) -> Topics:
        """The same with equal scores in random order."""
        return replace(self, order=np.random.default_rng(random_state).permutation(len(self.documents)))

    def measure(self, rankings: Iterable[Ranked]) -> dict[str, float]:
        """MAP and NDCG@10 of the rankings of all queries."""
        from sememe.evaluation.metrics import evaluate_run

        n = len(self.documents)
        first = np.arange(n) if self.order is None else self.order
        ids = np.array([f"{n - place:08d}" for place in first])  # of equal scores the greatest id comes first
        judged = {topic: dict.fromkeys(ids[self.documents == topic].tolist(), 1) for topic in np.unique(self.documents)}
        totals, run, qrels = dict.fromkeys(METRICS.values(), 0.0), {}, {}
        for number, (topic, (rows, scores)) in enumerate(zip(self.queries, rankings, strict=True), 1):
            # In order already: the metric sorts, and what is sorted is sorted fast.
            best = np.lexsort((first[rows], -scores))
            run[str(number)] = dict(zip(ids[rows[best]].tolist(), scores[best].tolist(), strict=True))
            qrels[str(number)] = judged[topic]
            if len(run) == QUERIES_AT_ONCE or number == len(self.queries):
                means = evaluate_run(run, qrels, list(METRICS))
                for name, title in METRICS.items():
                    totals[title] += means[name] * len(run)
                run, qrels = {}, {}
        return {title: total / len(self.queries) for title, total in totals.items()}


def by_cosine(queries: np.ndarray, documents: np.ndarray) -> Iterator[Ranked]:
    """Rank all documents by cosine."""
    rows = np.arange(len(documents))
    documents = unit(documents)
    for query in unit(queries):
        yield rows, documents @ query


def by_hamming(queries: np.ndarray, documents: np.ndarray) -> Iterator[Ranked]:
    """Rank all documents by the Hamming distance of packed codes."""
    rows = np.arange(len(documents))
    for query in queries:
        yield rows, -hamming_distances(query, documents).astype(np.float32)


def unit(X: np.ndarray) -> np.ndarray:
    """Rows (n, d) of length one; zeros stay zeros."""
    scaled: np.ndarray = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    return scaled
