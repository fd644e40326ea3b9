"""Ranking documents with what a server proposes: it returns rows with their vectors, and exact scores decide.

Whatever index the server keeps, the score of every row is computed afresh in float64 from the vector that it stores, by
the same function as for an index on disk. So equal vectors give equal scores here and there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sememe.errors import InputError
from sememe.lexical.fusion import FUSION_DEPTH, reciprocal_rank_fusion
from sememe.lexical.words import tokenizer
from sememe.search.dense import TOLERANCE, rescore
from sememe.search.filters import Filter, matches
from sememe.search.milvus.connection import MOST_ROWS, Connection
from sememe.search.milvus.expressions import expression, literal
from sememe.search.milvus.rows import (
    DENSE,
    DOCUMENT,
    KEY,
    METADATA,
    ORDER,
    TITLE,
    WINDOW,
    WINDOWS,
    metadata_of,
    name_of,
)
from sememe.search.milvus.schema import BM25, K1, Card
from sememe.search.stages import Clock, StageReport

MOST_ANSWER_BYTES = 32 << 20
_PLACE = (KEY, ORDER, DOCUMENT, WINDOW, WINDOWS)
_FILTERED = (TITLE, METADATA)
_BYTES_BESIDE_VECTOR = 300

Row = Mapping[str, Any]


class Placed(NamedTuple):
    """A document in a ranking, before its text is fetched."""

    row: Row
    """Its best row, with its vector where the ranking is by vectors."""
    score: float
    parts: Mapping[str, float]

    @property
    def name(self) -> str:
        """What the keys of the document's rows begin with."""
        return name_of(self.row[KEY])


class Ranked(NamedTuple):
    """The documents that a query found, and the stages that found them."""

    documents: Sequence[Placed]
    stages: tuple[StageReport, ...]


class FetchedRows:
    """Rows with vectors as `sememe.search.dense.rescore` reads them, in the order of adding.

    Attributes:
        rows: the rows.
        documents: for each the number of its document; shape (n_rows,), ascending.

    """

    def __init__(self, rows: Sequence[Row], dimensions: int) -> None:
        self.rows = sorted(rows, key=lambda row: int(row[ORDER]))
        numbers: dict[str, int] = {}
        self.documents = np.array([numbers.setdefault(name_of(row[KEY]), len(numbers)) for row in self.rows], np.int64)
        self._vectors = np.array([row[DENSE] for row in self.rows], np.float32).reshape(len(rows), dimensions)
        self.row_bytes = 4 * dimensions

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        vectors: np.ndarray = self._vectors[rows]
        return vectors

    def best(self, query: np.ndarray, k: int) -> list[Placed]:
        """The documents with the highest inner products, by their best rows; equal scores in the order of adding."""
        found = rescore(self, query, np.arange(len(self.rows)), k)
        return [
            Placed(self.rows[row], score, {"dense": score})
            for row, score in zip(found.rows.tolist(), found.scores.tolist(), strict=True)
        ]


class Ranker:
    """Asks one collection."""

    def __init__(self, connection: Connection, card: Card) -> None:
        self._connection, self._config = connection, card.config
        self._dimensions: int = card.encoder["dimensions"]

    def by_meaning(self, vectors: np.ndarray, k: int, where: Filter | None) -> Iterator[Ranked]:
        """The documents whose vectors have the highest inner products with each query (n, d)."""
        _check_depth(k)
        filtering, stage = expression(where), f"server {self._config.index}"
        answers: dict[int, Ranked] = {}
        pending, limit = list(range(len(vectors))), self._first_limit(k)
        while pending:
            undecided = []
            for number, proposed, ms in self._proposed(vectors, pending, limit, filtering, where):
                clock = Clock()
                kept = [row for row, _ in _matching(proposed, where)]
                best = FetchedRows(kept, self._dimensions).best(vectors[number], k)
                if self._decided(best, proposed, vectors[number], k, limit, filtered=bool(where)):
                    server = StageReport(stage, len(proposed), 0, ms)
                    fine = StageReport("fine", len(best), 4 * self._dimensions * len(kept), clock.lap())
                    answers[number] = Ranked(best, (server, fine))
                else:
                    undecided.append(number)
            pending, limit = undecided, min(2 * limit, MOST_ROWS)
        return (answers[number] for number in range(len(vectors)))

    def by_words(self, query: str, k: int, where: Filter | None, among: str = "") -> Ranked:
        """The documents with the highest BM25 scores of their best windows; `among` is an expression."""
        _check_depth(k)
        clock, words = Clock(), " ".join(tokenizer(self._config.language)(query))
        filtering = " and ".join(f"({part})" for part in (expression(where), among) if part)
        fields = [*_PLACE, *(_FILTERED if where else ())]
        limit, best = min(max(2 * k, k + 10), MOST_ROWS), list[Placed]()
        while words:
            proposed = self._connection.nearest(
                BM25, [words], limit, expression=filtering, fields=fields, parameters={"metric_type": "BM25"}
            )[0]
            best = _best_windows(_matching(proposed, where))[:k]
            if len(proposed) < limit or len(best) == k or limit == MOST_ROWS:
                break
            limit = min(2 * limit, MOST_ROWS)
        return Ranked(best, (StageReport("server BM25", len(best), 0, clock.lap()),))

    def fused(self, query: str, vector: np.ndarray, meaning: Ranked, k: int, where: Filter | None) -> Ranked:
        """Reciprocal rank fusion of a ranking by meaning with one by words; every hit shows both scores."""
        words, clock = self.by_words(query, max(FUSION_DEPTH, k), where), Clock()
        # Numbered in the order of adding, which decides between equal scores.
        first = {placed.name: int(placed.row[ORDER]) for placed in (*meaning.documents, *words.documents)}
        names = sorted(first, key=first.__getitem__)
        number = {name: place for place, name in enumerate(names)}
        rankings = [[number[placed.name] for placed in ranked.documents] for ranked in (meaning, words)]
        fused = [(names[item], score) for item, score in reciprocal_rank_fusion(rankings, k)]
        wanted = {name for name, _ in fused}
        dense = {placed.name: placed for placed in meaning.documents}
        dense |= self._scored(vector, [placed for placed in words.documents if placed.name in wanted - dense.keys()])
        lexical = {placed.name: placed.score for placed in words.documents}
        lexical |= self._word_scores(query, [dense[name] for name in wanted - lexical.keys()])
        documents = [
            Placed(dense[name].row, score, {**dense[name].parts, "lexical": lexical.get(name, 0.0)})
            for name, score in fused
            if name in dense
        ]
        fuse = StageReport("fuse", len(documents), 0, clock.lap())
        return Ranked(documents, (*meaning.stages, *words.stages, fuse))

    def _proposed(
        self, vectors: np.ndarray, numbers: Sequence[int], limit: int, filtering: str, where: Filter | None
    ) -> Iterator[tuple[int, list[tuple[dict[str, Any], float]], float]]:
        """For each query its number, the rows that the server proposes, and the milliseconds that it took."""
        fields = [*_PLACE, DENSE, *(_FILTERED if where else ())]
        parameters = {"metric_type": "IP", "params": self._config.query_parameters(limit)}
        at_once = max(1, MOST_ANSWER_BYTES // (limit * (4 * self._dimensions + _BYTES_BESIDE_VECTOR)))
        for start in range(0, len(numbers), at_once):
            part, clock = numbers[start : start + at_once], Clock()
            found = self._connection.nearest(
                DENSE,
                [vectors[number] for number in part],
                limit,
                expression=filtering,
                fields=fields,
                parameters=parameters,
            )
            ms = clock.lap() / len(part)
            for number, proposed in zip(part, found, strict=True):
                yield number, proposed, ms

    def _first_limit(self, k: int) -> int:
        wanted = max(2 * k, k + 10) if self._config.exact else max(k + 10, self._config.candidates * k)
        return min(wanted, MOST_ROWS)

    def _decided(
        self,
        best: Sequence[Placed],
        proposed: Sequence[tuple[Row, float]],
        query: np.ndarray,
        k: int,
        limit: int,
        *,
        filtered: bool,
    ) -> bool:
        """Whether further rows could not change the first `k`."""
        if len(proposed) < limit:
            return True
        if limit == MOST_ROWS:
            if filtered and len(best) < k:
                raise InputError(
                    f"the server cannot tell apart enough for this filter: of the {MOST_ROWS:,} rows that it returns "
                    f"at most, {len(best)} match",
                    hint="Use a narrower filter, or store the field so that it need not be converted",
                )
            return True
        # What the server did not return scores no more than the last that it did, but for rounding.
        margin = TOLERANCE * float(np.linalg.norm(query)) if self._config.exact else -np.inf
        return len(best) == k and best[-1].score > proposed[-1][1] + margin

    def _scored(self, vector: np.ndarray, found_by_words: Sequence[Placed]) -> dict[str, Placed]:
        """Exact dense scores of documents that only words found."""
        if not found_by_words:
            return {}
        keys = [key for placed in found_by_words for key in _all_keys(placed)]
        fetched = FetchedRows(self._connection.get(keys, [*_PLACE, DENSE]), self._dimensions)
        return {placed.name: placed for placed in fetched.best(vector, len(found_by_words))}

    def _word_scores(self, query: str, found_by_meaning: Sequence[Placed]) -> dict[str, float]:
        """BM25 scores of documents that only vectors found."""
        if not found_by_meaning:
            return {}
        keys = [literal(key) for placed in found_by_meaning for key in _all_keys(placed)]
        scored = self.by_words(query, len(found_by_meaning), None, f"{KEY} in [{', '.join(keys)}]")
        return {placed.name: placed.score for placed in scored.documents}


def _matching(found: Sequence[tuple[Row, float]], where: Filter | None) -> Sequence[tuple[Row, float]]:
    return [(row, score) for row, score in found if matches(metadata_of(row), where)] if where else found


def _best_windows(found: Sequence[tuple[Row, float]]) -> list[Placed]:
    # milvus-lite gives the scores with a minus. Milvus multiplies by k1 + 1, Lucene's variant does not: without it,
    # they are those of an index on disk.
    scored = [(row, abs(score)) for row, score in found]
    ordered = sorted(scored, key=lambda pair: (-pair[1], int(pair[0][ORDER])))
    best: dict[str, Placed] = {}
    for row, score in ordered:
        if score > 0:
            lexical = score / (K1 + 1)
            best.setdefault(name_of(row[KEY]), Placed(row, lexical, {"lexical": lexical}))
    return list(best.values())


def _all_keys(placed: Placed) -> list[str]:
    return [f"{placed.name}:{window}" for window in range(int(placed.row[WINDOWS]))]


def _check_depth(k: int) -> None:
    if k > MOST_ROWS:
        raise InputError(f"k is {k:,}, and Milvus returns at most {MOST_ROWS:,} rows", hint="Ask for fewer hits")
