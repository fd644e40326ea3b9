"""Answering queries: encode, steer, rank, fuse, explain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sememe.errors import InputError
from sememe.lexical.fusion import FUSION_DEPTH, reciprocal_rank_fusion
from sememe.search.dense import Ranking, rank_exact, rank_shortlist, rescore
from sememe.search.expansion import RM3
from sememe.search.explaining import explain_rows
from sememe.search.feedback import Feedback
from sememe.search.filters import allowed_documents
from sememe.search.generation import Generation
from sememe.search.hits import Hit, Hits
from sememe.search.parts import Parts
from sememe.search.query_vectors import query_vectors
from sememe.search.request import Queries, Request
from sememe.search.rerank import reranked
from sememe.search.second_search import Record, feed_back
from sememe.search.shortlist import candidates_for
from sememe.search.stages import Clock, StageReport
from sememe.search.top_items import top_items

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.search.index import Index

FEW = 0.05  # a filter that leaves a smaller share is faster read whole than searched


class Found(NamedTuple):
    """A ranked document before it is read from disk."""

    ordinal: int
    row: int
    score: float
    parts: Mapping[str, float]


class Ranked(NamedTuple):
    """The documents that a query found, and the stages that found them."""

    documents: Sequence[Found]
    stages: tuple[StageReport, ...]


class Searcher:
    """One search over one version of an index."""

    def __init__(self, index: Index, generation: Generation, parts: Parts) -> None:
        self._index, self._generation, self._parts = index, generation, parts

    def search(self, queries: Queries, request: Request) -> list[Hits[Hit]]:
        """See `Index.search` and `Index.search_batch`."""
        request.check(queries)
        if any(isinstance(query, str) for query in queries) and request.mode != "lexical":
            self._index.encoder  # noqa: B018  loading it is no part of a search
        k, rerank, clock = request.k, request.rerank, Clock()
        vectors = self._query_vectors(queries, request)
        before = [StageReport("encode", 1, 0, clock.lap() / max(len(queries), 1))] if vectors is not None else []
        depth = k if rerank is None else max(k, rerank.depth)
        ranked, vectors, records = self._ranked_with_feedback(queries, vectors, depth, request)
        answers = []
        for number, (query, found, record) in enumerate(zip(queries, ranked, records, strict=True)):
            clock.lap()
            hits = [self._hit(one, rank) for rank, one in enumerate(found.documents, start=1)]
            stages = [*before, *found.stages, StageReport("read", len(hits), 0, clock.lap())]
            if rerank is not None:
                hits = reranked(rerank, str(query), hits, k)
                stages.append(StageReport("rerank", len(hits), 0, clock.lap()))
            answers.append(Hits(hits, stages, record, None if vectors is None else vectors[number]))
        if request.explain is None:
            return answers
        return [self._explained(hits, request.explain) for hits in answers]

    def rank(self, queries: Queries, request: Request) -> list[dict[str, float]]:
        """See `Index.rank_batch`."""
        request.check(queries)
        ids = self._generation.records.ids
        vectors = self._query_vectors(queries, request)
        ranked, _, _ = self._ranked_with_feedback(queries, vectors, request.k, request)
        return [{ids[found.ordinal]: found.score for found in of_query.documents} for of_query in ranked]

    def _query_vectors(self, queries: Queries, request: Request) -> np.ndarray | None:
        if request.mode == "lexical":
            return None
        if isinstance(request.feedback, Feedback):
            as_read = request.feedback.as_read
            queries = [as_read(query) if isinstance(query, str) else query for query in queries]
        return self.vectors(queries, request.explain, request.steer)

    def _ranked_with_feedback(
        self, queries: Queries, vectors: np.ndarray | None, k: int, request: Request
    ) -> tuple[Iterable[Ranked], np.ndarray | None, Sequence[Record | None]]:
        """What each query found, the vectors it was found with, and what feedback did to them."""
        feedback = request.feedback
        if vectors is None or not isinstance(feedback, Feedback):
            return self._ranked(queries, vectors, k, request), vectors, [None] * len(queries)
        searches: list[list[Ranked]] = []

        def search(moved: np.ndarray, depth: int) -> list[Sequence[Found]]:
            searches.append(list(self._ranked(queries, moved, depth, request)))
            return [ranked.documents for ranked in searches[-1]]

        clock = Clock()
        answers = feed_back(self._index, feedback, list(queries), vectors, search, k=k, atoms=request.explain)
        ms, found = clock.lap() / max(len(vectors), 1), []
        for number, answer in enumerate(answers):
            stages = searches[-1][number].stages
            first = StageReport("feedback", len(answer.record.passages), 0, ms - sum(stage.ms for stage in stages))
            found.append(Ranked(answer.found, (first, *stages)))
        moved = np.stack([answer.vector for answer in answers]) if answers else vectors
        return found, moved, [answer.record for answer in answers]

    def _ranked(self, queries: Queries, vectors: np.ndarray | None, k: int, request: Request) -> Iterator[Ranked]:
        live, records, mode = self._generation.live, self._generation.records, request.mode
        allowed = allowed_documents(request.where, live, records.metadata, records.ids)
        if vectors is None:
            expansion = request.feedback if isinstance(request.feedback, RM3) else None
            yield from (self._by_words(str(query), allowed, k, expansion) for query in queries)
            return
        depth = k if mode == "dense" else max(FUSION_DEPTH, k)
        rankings = self._rank(queries, vectors, allowed, depth)
        for query, vector, ranking in zip(queries, vectors, rankings, strict=True):
            yield _by_meaning(ranking) if mode == "dense" else self._fused(str(query), vector, ranking, allowed, k)

    def vectors(self, queries: Queries, explain: Atoms | None, steer: Mapping[int, float] | None) -> np.ndarray:
        """The vectors of queries, steered; shape (n_queries, d), float32."""
        return query_vectors(self._index, self._index.bank.dimensions, queries, explain, steer)

    def _rank(self, queries: Queries, vectors: np.ndarray, allowed: np.ndarray, k: int) -> Iterable[Ranking]:
        bank, starts = self._generation.bank, self._generation.starts
        if np.count_nonzero(allowed) < FEW * np.count_nonzero(self._generation.live):
            few = self._generation.rows_of(np.flatnonzero(allowed))
            report = StageReport("filter", len(few), 0, 0.0)
            return (rescore(bank, vector, few, k, (report,)) for vector in vectors)
        if self._parts.coarse.kind == "lexical":
            return self._rank_by_words(queries, vectors, allowed, k)
        shortlist = self._parts.shortlist()
        if shortlist is None:
            return rank_exact(bank, starts, vectors, allowed, k)
        return rank_shortlist(bank, shortlist, vectors, allowed, k)

    def _rank_by_words(self, queries: Queries, vectors: np.ndarray, allowed: np.ndarray, k: int) -> Iterator[Ranking]:
        if not all(isinstance(query, str) for query in queries):
            raise InputError("the first stage 'lexical' finds words, so a query must be a text")
        n = candidates_for(k, self._index.config.candidates)
        for query, vector in zip(queries, vectors, strict=True):
            clock = Clock()
            found = np.sort(top_items(self._lexical_scores(str(query)), allowed, n, at_least=0.0))
            words = StageReport("lexical", len(found), 0, clock.lap())
            yield rescore(self._generation.bank, vector, self._generation.rows_of(found), k, (words,))

    def _lexical_scores(self, query: str) -> np.ndarray:
        found = self._parts.lexical().score(query)
        if len(found) == len(self._generation.live):  # nothing was deleted
            return found
        scores = np.zeros(len(self._generation.live), np.float32)
        scores[self._parts.live_ordinals()] = found
        return scores

    def _expanded_scores(self, expansion: RM3, query: str, allowed: np.ndarray) -> np.ndarray:
        live, records = self._parts.live_ordinals(), self._generation.records
        scores = np.zeros(len(self._generation.live), np.float32)
        scores[live] = expansion.score(
            self._parts.lexical(), query, lambda item: records[int(live[item])].content, allowed=allowed[live]
        )
        return scores

    def _by_words(self, query: str, allowed: np.ndarray, k: int, expansion: RM3 | None) -> Ranked:
        clock = Clock()
        scores = self._lexical_scores(query) if expansion is None else self._expanded_scores(expansion, query, allowed)
        starts = self._generation.starts
        documents = [
            Found(int(o), int(starts[o]), float(scores[o]), {"lexical": float(scores[o])})
            for o in top_items(scores, allowed, k, at_least=0.0)
        ]
        return Ranked(documents, (StageReport("lexical", len(documents), 0, clock.lap()),))

    def _fused(self, query: str, vector: np.ndarray, ranking: Ranking, allowed: np.ndarray, k: int) -> Ranked:
        clock = Clock()
        lexical = self._lexical_scores(query)
        by_words = top_items(lexical, allowed, max(FUSION_DEPTH, k), at_least=0.0)
        words = StageReport("lexical", len(by_words), 0, clock.lap())
        fused = reciprocal_rank_fusion([ranking.ordinals.tolist(), by_words.tolist()], k)
        # A document that only words found still gets its exact dense score, so that every hit shows both.
        wanted = np.sort([ordinal for ordinal, _ in fused])
        exact = rescore(self._generation.bank, vector, self._generation.rows_of(wanted), len(wanted))
        best = zip(exact.ordinals.tolist(), exact.rows.tolist(), exact.scores.tolist(), strict=True)
        dense = {ordinal: (row, score) for ordinal, row, score in best}
        documents = [
            Found(o, dense[o][0], score, {"dense": dense[o][1], "lexical": float(lexical[o])}) for o, score in fused
        ]
        read = sum(report.bytes_read for report in exact.stages)
        fuse = StageReport("fuse", len(documents), read, clock.lap())
        return Ranked(documents, (*ranking.stages, words, fuse))

    def _hit(self, found: Found, rank: int) -> Hit:
        records = self._generation.records
        return Hit(records[found.ordinal], found.score, rank, found.row, records.window(found.row), found.parts)

    def _explained(self, hits: Hits[Hit], atoms: Atoms) -> Hits[Hit]:
        if not hits or hits.vector is None:
            return hits
        clock = Clock()
        explanations = explain_rows(atoms, hits.vector, self._generation.bank[[hit.row for hit in hits]])
        explained = [replace(hit, explanation=found) for hit, found in zip(hits, explanations, strict=True)]
        stages = (*hits.stages, StageReport("explain", len(hits), 0, clock.lap()))
        return Hits(explained, stages, hits.feedback, hits.vector)


def _by_meaning(ranking: Ranking) -> Ranked:
    columns = zip(ranking.ordinals.tolist(), ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
    return Ranked([Found(ordinal, row, score, {"dense": score}) for ordinal, row, score in columns], ranking.stages)
