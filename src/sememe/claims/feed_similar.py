"""How good similar papers are: whether papers that are alike share keywords, or a category that few have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.claims.feed_readers import LARGE
from sememe.evaluation.metrics import evaluate_run
from sememe.papers.features import Features, weighted_words
from sememe.papers.similar import WORD_SHARE, likeness

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from sememe.atoms import Atoms
    from sememe.lexical.bm25 import Lexical

DEPTH = 10
METRICS = ("ndcg@10", "precision@10")


@dataclass(frozen=True, eq=False)
class Alike:
    """Papers, and what tells which of them belong together.

    Attributes:
        name: of the collection and the truth.
        features: of the papers.
        bm25: the BM25 scores of words in papers as they are, not scaled (n, m).
        codes: the papers' sparse codes over atoms learned from them (n, atoms), rows of length one.
        labels: each paper's keywords or categories; papers that share one belong together, the more the better.

    """

    name: str
    features: Features
    bm25: csr_matrix
    codes: csr_matrix
    labels: Sequence[frozenset[str]]

    @classmethod
    def of(
        cls, name: str, features: Features, lexical: Lexical, labels: Sequence[frozenset[str]], atoms: Atoms
    ) -> Alike:
        """Put them together."""
        return cls(name, features, raw_words(lexical), _unit(atoms.transform(features.vectors)), labels)


def keywords_of(record: Mapping[str, Any]) -> frozenset[str]:
    """A record's keywords without regard to case."""
    return frozenset(word.strip().casefold() for word in record["keywords"])


def small_categories(record: Mapping[str, Any]) -> frozenset[str]:
    """A record's categories but for the four largest."""
    return frozenset(record["categories"]) - LARGE


def similar_figures(alike: Alike, n_queries: int, seed: int) -> dict[str, float]:
    """nDCG@10 and precision@10 of each way to find similar papers, for papers drawn at random that have a like."""
    rng = np.random.default_rng([seed, 41])
    relevant = _relevant(alike.labels)
    asked = [row for row in range(len(alike.labels)) if relevant(row)]
    chosen = sorted(rng.permutation(asked)[:n_queries].tolist())
    qrels = {str(row): {str(other): gain for other, gain in relevant(row).items()} for row in chosen}
    figures = {}
    for name, score in _ways(alike).items():
        run = {str(row): _best(score(row), row) for row in chosen}
        for metric, value in evaluate_run(run, qrels, METRICS).items():
            figures[f"similar, {alike.name}: {name}: {metric}"] = value
    return figures


def raw_words(lexical: Lexical) -> csr_matrix:
    """BM25 scores by document and word (n, m)."""
    from scipy.sparse import csc_matrix

    shape = (lexical.n_documents, len(lexical.words))
    return csc_matrix((lexical.scores, lexical.items, lexical.starts), shape=shape).tocsr()


def features_of(ids: Sequence[str], vectors: np.ndarray, lexical: Lexical) -> Features:
    """The features of papers whose vectors are at hand."""
    vocabulary = sorted(lexical.words, key=lexical.words.__getitem__)
    return Features(ids, vectors, weighted_words(lexical), vocabulary, lexical.language)


def _ways(alike: Alike) -> dict[str, Callable[[int], np.ndarray]]:
    rows = np.arange(len(alike.labels))

    def bm25(row: int) -> np.ndarray:
        here = slice(alike.bm25.indptr[row], alike.bm25.indptr[row + 1])
        query = np.zeros(alike.bm25.shape[1])
        query[alike.bm25.indices[here]] = 1.0
        return np.asarray(alike.bm25 @ query)

    def atoms(row: int) -> np.ndarray:
        return np.asarray((alike.codes @ alike.codes[row].T).todense()).ravel()

    def like(share: float) -> Callable[[int], np.ndarray]:
        return lambda row: likeness(alike.features, row, share=share).of(alike.features, rows)

    return {"hybrid": like(WORD_SHARE), "dense": like(0.0), "words": like(1.0), "bm25": bm25, "atoms only": atoms}


def _relevant(labels: Sequence[frozenset[str]]) -> Callable[[int], dict[int, int]]:
    having: dict[str, list[int]] = {}
    for row, of_paper in enumerate(labels):
        for label in of_paper:
            having.setdefault(label, []).append(row)

    def relevant(row: int) -> dict[int, int]:
        gains: dict[int, int] = {}
        for label in labels[row]:
            for other in having[label]:
                if other != row:
                    gains[other] = gains.get(other, 0) + 1
        return gains

    return relevant


def _best(scores: np.ndarray, row: int) -> dict[str, float]:
    scores = scores.astype(np.float64)
    scores[row] = -np.inf
    best = np.argsort(-scores, kind="stable")[:DEPTH]
    return {str(other): float(scores[other]) for other in best.tolist()}


def _unit(codes: csr_matrix) -> csr_matrix:
    from scipy.sparse import diags

    lengths = np.sqrt(np.asarray(codes.multiply(codes).sum(axis=1)).ravel())
    return (diags(1 / np.maximum(lengths, 1e-12)) @ codes).tocsr()
