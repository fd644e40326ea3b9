"""A search task: queries, texts and judgements, and how well an encoder or BM25 does it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np

from sememe.corpus import read
from sememe.errors import InputError, ModelError
from sememe.evaluation.collection import read_collection
from sememe.evaluation.metrics import Qrels, Run, query_metrics
from sememe.lexical.bm25 import Lexical
from sememe.lexical.fusion import FUSION_DEPTH, reciprocal_rank_fusion
from sememe.models.encoder import Encoder, compared, is_compared_by_cosine
from sememe.models.multi_vector import MultiVectorEncoder
from sememe.multi_vector.encoding import encode_pruned
from sememe.multi_vector.maxsim import score_documents
from sememe.multi_vector.pruning import Kind, Pruning

METRICS = ("ndcg@10", "recall@100")
_QUERIES_AT_ONCE = 256

ByQuery = Mapping[str, Mapping[str, float]]
"""Metric -> query id -> value."""


class SearchTask:
    """Queries that some of the texts answer.

    Args:
        queries: query id -> text.
        texts: document id -> text.
        qrels: the judgements.

    """

    def __init__(self, queries: Mapping[str, str], texts: Mapping[str, str], qrels: Qrels) -> None:
        self.queries, self.texts, self.qrels = queries, texts, qrels
        self._documents = list(texts)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """A test collection in the BEIR layout.

        Raises:
            InputError: a file is missing or damaged.

        """
        queries, qrels = read_collection(folder)
        return cls(queries, {document.id: document.content for document in read(folder)}, qrels)

    def __len__(self) -> int:
        return len(self.queries)

    def dense(self, encoder: Encoder | MultiVectorEncoder) -> ByQuery:
        """The metrics of every query when an encoder searches; errors as `by_meaning`."""
        return self.metrics(self.by_meaning(encoder))

    def bm25(self, language: str = "english") -> ByQuery:
        """The metrics of every query when BM25 searches."""
        return self.metrics(self.by_words(language))

    def by_meaning(self, encoder: Encoder | MultiVectorEncoder) -> Run:
        """What an encoder finds, by its own similarity: the best 100, best first.

        One that gives several vectors a text searches by MaxSim, pruned as it says.

        Raises:
            ModelError: its vectors are not finite numbers, or it compares by a distance.

        """
        if isinstance(encoder, MultiVectorEncoder):
            return self._run(self._late_interaction(encoder))
        queries = encoder.encode_query(list(self.queries.values()))
        texts = encoder.encode_document(list(self.texts.values()))
        if not (np.isfinite(queries).all() and np.isfinite(texts).all()):
            raise ModelError("the encoder's vectors are not finite numbers", where=encoder.name)
        by_cosine = is_compared_by_cosine(encoder)
        return self.by_vectors(*(compared(vectors, encoder, by_cosine=by_cosine) for vectors in (queries, texts)))

    def by_vectors(self, queries: np.ndarray, texts: np.ndarray) -> Run:
        """What vectors find, by their inner products: the best 100, best first.

        Args:
            queries: in the order of `queries`; shape (n_queries, d).
            texts: in the order of `texts`; shape (n_texts, d).

        """
        parts = np.array_split(queries, max(1, -(-len(queries) // _QUERIES_AT_ONCE)))
        return self._run(row for part in parts for row in part @ texts.T)

    def by_words(self, language: str = "english") -> Run:
        """What BM25 finds: the best 100 that share a word with the query, best first."""
        words = Lexical.fit(self.texts.values(), language)
        return self._run((words.score(query) for query in self.queries.values()), at_least=0.0)

    def fused(self, *runs: Run) -> Run:
        """What several runs find together, fused by rank as `--mode hybrid` does."""
        places = {name: place for place, name in enumerate(self._documents)}
        found = {}
        for query in self.queries:
            fused = reciprocal_rank_fusion([[places[name] for name in run[query]] for run in runs], FUSION_DEPTH)
            found[query] = {self._documents[place]: score for place, score in fused}
        return found

    def metrics(self, run: Run) -> ByQuery:
        """The metrics of every query of a run."""
        return query_metrics(run, self.qrels, METRICS)

    def estimate(self, encoder: Encoder | MultiVectorEncoder, n: int) -> float:
        """Seconds that `dense` would take, from timing `n` texts."""
        texts = list(self.texts.values())
        probe = texts[:: max(1, len(texts) // n)][:n]
        started = time.perf_counter()
        encoder.encode(probe, "document") if isinstance(encoder, MultiVectorEncoder) else encoder.encode_document(probe)
        return (time.perf_counter() - started) * len(texts) / len(probe)

    def _late_interaction(self, encoder: MultiVectorEncoder) -> Iterator[np.ndarray]:
        """The scores of all texts, a row a query."""
        pruning = Pruning.parse(encoder.pruning or "mv")
        rows: dict[Kind, Mapping[str, str]] = {"query": self.queries, "document": self.texts}
        found = {}
        for kind, texts in rows.items():
            try:
                encoded = encode_pruned(encoder, list(texts.values()), kind, pruning, list(texts), renormalize=False)
            except InputError as error:  # NaN, or a text without a single token
                raise ModelError(error.message, where=f"{encoder.name}, {error.where}", hint=error.hint) from error
            counts = np.array([len(each.vectors) for each in encoded])
            found[kind] = np.concatenate([each.vectors for each in encoded]), np.cumsum(counts) - counts
        vectors, starts = found["query"]
        ends = [*starts[1:], len(vectors)]
        for first in range(0, len(starts), _QUERIES_AT_ONCE):
            part = starts[first : first + _QUERIES_AT_ONCE]
            own = vectors[part[0] : ends[min(first + _QUERIES_AT_ONCE, len(starts)) - 1]]
            yield from score_documents(own, part - part[0], *found["document"])

    def _run(self, rows: Iterable[np.ndarray], at_least: float = -np.inf) -> Run:
        """The best documents of each query, from the scores of all texts, a row a query."""
        run = {}
        for query, scores in zip(self.queries, rows, strict=True):
            best = np.argsort(-scores, kind="stable")[:FUSION_DEPTH]
            run[query] = {self._documents[place]: float(scores[place]) for place in best if scores[place] > at_least}
        return run
