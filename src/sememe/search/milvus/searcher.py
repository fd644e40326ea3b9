"""Answering queries from a server: encode, steer, rank, fetch the documents, explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import InputError
from sememe.lexical.fusion import FUSION_DEPTH
from sememe.search.explaining import explain_rows
from sememe.search.hits import Hit, Hits
from sememe.search.milvus.connection import Connection
from sememe.search.milvus.ranking import Placed, Ranked, Ranker
from sememe.search.milvus.rows import DENSE, DOCUMENT, ORDER, RECORD, WINDOW, WINDOWS, documents_of
from sememe.search.milvus.schema import Card
from sememe.search.query_vectors import Encodes, query_vectors
from sememe.search.request import Queries, Request
from sememe.search.rerank import reranked
from sememe.search.stages import Clock, StageReport

if TYPE_CHECKING:
    from sememe.atoms import Atoms


class RemoteSearcher:
    """Searches of one collection."""

    def __init__(self, index: Encodes, connection: Connection, card: Card) -> None:
        self._index, self._connection, self._card = index, connection, card
        self._ranker = Ranker(connection, card)

    def search(self, queries: Queries, request: Request) -> list[Hits[Hit]]:
        """See `sememe.Index.search` and `search_batch`."""
        self._check(queries, request)
        if request.mode != "lexical" and any(isinstance(query, str) for query in queries):
            self._index.encoder  # noqa: B018  loading it is no part of a search
        clock, k, rerank = Clock(), request.k, request.rerank
        vectors = self._vectors(queries, request)
        encode = [] if vectors is None else [StageReport("encode", 1, 0, clock.lap() / max(len(queries), 1))]
        ranked = self._ranked(queries, vectors, k if rerank is None else max(k, rerank.depth), request)
        clock.lap()
        found = self._hits([of_query.documents for of_query in ranked])
        ms = clock.lap() / max(len(queries), 1)
        answers = []
        for number, (hits, of_query) in enumerate(zip(found, ranked, strict=True)):
            stages = [*encode, *of_query.stages, StageReport("read", len(hits), 0, ms)]
            placed = {one.row[DOCUMENT]: one for one in of_query.documents}
            clock.lap()
            if rerank is not None:
                hits = reranked(rerank, str(queries[number]), hits, k)  # noqa: PLW2901
                stages.append(StageReport("rerank", len(hits), 0, clock.lap()))
            if request.explain is not None and vectors is not None and hits:
                hits = _explained(hits, placed, vectors[number], request.explain)  # noqa: PLW2901
                stages.append(StageReport("explain", len(hits), 0, clock.lap()))
            answers.append(Hits(hits, stages))
        return answers

    def rank(self, queries: Sequence[str], request: Request) -> list[dict[str, float]]:
        """See `sememe.Index.rank_batch`."""
        self._check(queries, request)
        ranked = self._ranked(queries, self._vectors(queries, request), request.k, request)
        return [{placed.row[DOCUMENT]: placed.score for placed in of_query.documents} for of_query in ranked]

    def _check(self, queries: Queries, request: Request) -> None:
        request.check(queries)
        if request.feedback is not None:
            raise InputError(
                "feedback reads the vectors of an index on disk",
                where=str(self._connection.address),
                hint="Search without it, or search the index that the collection was made from",
            )
        if request.mode != "dense" and not self._card.lexical:
            raise InputError(
                f"mode {request.mode} needs a search by words, which the server could not do when the collection was "
                "made",
                where=str(self._connection.address),
                hint="Search with mode dense, or make the collection again on Milvus 2.5 or newer",
            )

    def _vectors(self, queries: Queries, request: Request) -> np.ndarray | None:
        if request.mode == "lexical":
            return None
        dimensions: int = self._card.encoder["dimensions"]
        return query_vectors(self._index, dimensions, queries, request.explain, request.steer)

    def _ranked(self, queries: Queries, vectors: np.ndarray | None, k: int, request: Request) -> list[Ranked]:
        where = request.where
        if vectors is None:
            return [self._ranker.by_words(str(query), k, where) for query in queries]
        depth = k if request.mode == "dense" else max(FUSION_DEPTH, k)
        rankings = list(self._ranker.by_meaning(vectors, depth, where))
        if request.mode == "dense":
            return rankings
        return [
            self._ranker.fused(str(query), vector, ranking, k, where)
            for query, vector, ranking in zip(queries, vectors, rankings, strict=True)
        ]

    def _hits(self, rankings: Sequence[Sequence[Placed]]) -> list[list[Hit]]:
        """Fetch the documents of all queries together; one that is being replaced just now is left out."""
        counts = {placed.name: int(placed.row[WINDOWS]) for ranking in rankings for placed in ranking}
        keys = [f"{name}:{window}" for name, n_windows in counts.items() for window in range(n_windows)]
        documents = documents_of(self._connection.get(keys, RECORD))
        answers = []
        for ranking in rankings:
            hits: list[Hit] = []
            for placed in ranking:
                document, windows = documents.get(placed.name, (None, []))
                number = int(placed.row[WINDOW])
                if document is not None and number < len(windows):
                    row, rank = int(placed.row[ORDER]), len(hits) + 1
                    hits.append(Hit(document, placed.score, rank, row, windows[number], placed.parts))
            answers.append(hits)
        return answers


def _explained(hits: Sequence[Hit], placed: dict[str, Placed], query: np.ndarray, atoms: Atoms) -> list[Hit]:
    vectors = np.array([placed[hit.document.id].row[DENSE] for hit in hits], np.float32)
    explanations = explain_rows(atoms, query, vectors)
    return [replace(hit, explanation=explanation) for hit, explanation in zip(hits, explanations, strict=True)]
