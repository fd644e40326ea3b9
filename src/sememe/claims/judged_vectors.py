"""Test collections as vectors with judgements: real ones through an encoder, and planted ones whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sememe.claims.claim import Setting

if TYPE_CHECKING:
    from sememe.models import Encoder

Move = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a query (d,) and passages (k, d) to the moved query (d,)."""
DIMENSIONS = 32
N_FAMILIES, TOPICS_PER_FAMILY, ABOUT_EACH = 16, 4, 5
"""Planted topics lie near others of their family; so many documents are about each."""


@dataclass(frozen=True, eq=False)
class JudgedVectors:
    """Queries, documents and judgements.

    Attributes:
        name: of the collection.
        queries: the ids of the queries.
        documents: the ids of the documents.
        Q: the vectors of the queries; (n_queries, d), unit norm.
        D: the vectors of the documents; (n_documents, d), unit norm.
        qrels: query id -> document id -> relevance.
        query_texts: what the queries say; empty for planted vectors.
        document_texts: what the documents say; empty for planted vectors.

    """

    name: str
    queries: Sequence[str]
    documents: Sequence[str]
    Q: np.ndarray
    D: np.ndarray
    qrels: Mapping[str, Mapping[str, int]]
    query_texts: Sequence[str] = ()
    document_texts: Sequence[str] = ()

    def rank(self, Q: np.ndarray, depth: int) -> np.ndarray:
        """The documents that fit each query best, the best first; (n_queries, depth), ties by place."""
        scores = Q @ self.D.T
        return np.argsort(-scores, axis=1, kind="stable")[:, :depth]

    def moved(self, move: Move, rows: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """The queries after passages were fed back; (n_queries, d).

        Args:
            move: what makes a query of a query and its passages.
            rows: the passages of each query.

        """
        return np.stack([move(q0, self.D[of_query]) for q0, of_query in zip(self.Q, rows, strict=True)])

    def run(self, Q: np.ndarray, depth: int) -> dict[str, dict[str, float]]:
        """The same as a run: query id -> document id -> score."""
        scores = Q @ self.D.T
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        return {
            query: {self.documents[row]: float(scores[number, row]) for row in ranked[number]}
            for number, query in enumerate(self.queries)
        }


def read_judged(setting: Setting, name: str, encoder: Encoder) -> JudgedVectors:
    """A test collection in the BEIR layout, `data/retrieval-NAME`, through an encoder.

    Raises:
        InputError: the collection is missing or damaged.

    """
    from sememe.claims.vectors import encode_once
    from sememe.corpus import read
    from sememe.evaluation.collection import read_collection

    folder = setting.data(f"retrieval-{name}")
    documents = list(read(folder))
    queries, qrels = read_collection(folder)
    texts, asked = [document.content for document in documents], list(queries.values())
    return JudgedVectors(
        name,
        list(queries),
        [document.id for document in documents],
        encode_once(setting, encoder, asked, as_queries=True),
        encode_once(setting, encoder, texts),
        qrels,
        asked,
        texts,
    )


def planted_judged(name: str, *, several: bool, random_state: int = 0) -> JudgedVectors:
    """A planted collection: five documents about each of 64 topics, four topics a family.

    Args:
        name: of the collection.
        several: all documents of the query's topic are relevant, and the query is a blurred picture of the topic; else
            one document is, and the query a picture of this one.
        random_state: seed.

    """
    rng = np.random.default_rng([random_state, 17])
    n_topics = N_FAMILIES * TOPICS_PER_FAMILY
    family = np.repeat(_noise(rng, N_FAMILIES), TOPICS_PER_FAMILY, axis=0)
    topics = _unit(family + 0.8 * _noise(rng, n_topics))
    about = np.repeat(np.arange(n_topics), ABOUT_EACH)
    D = _unit(topics[about] + 0.7 * _noise(rng, len(about)))
    meant = np.arange(n_topics) * ABOUT_EACH
    Q = _unit((topics + 1.2 * _noise(rng, n_topics)) if several else (D[meant] + 0.9 * _noise(rng, n_topics)))
    documents = [f"d{number}" for number in range(len(about))]
    relevant = [np.flatnonzero(about == topic) if several else meant[topic : topic + 1] for topic in range(n_topics)]
    qrels = {f"q{topic}": {documents[row]: 1 for row in relevant[topic]} for topic in range(n_topics)}
    return JudgedVectors(name, list(qrels), documents, Q, D, qrels)


def _noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` vectors in random directions, of length one on average."""
    return np.asarray(rng.standard_normal((n, DIMENSIONS)) / np.sqrt(DIMENSIONS))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
