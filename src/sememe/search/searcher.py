"""Answering queries: encode, steer, rank, fuse, explain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sememe.errors import InputError
from sememe.search.dense import Ranking, rank_by_codes, rank_exact, rescore
from sememe.search.explaining import explain_rows, steered
from sememe.search.filters import Filter, check_filter, matches
from sememe.search.fusion import reciprocal_rank_fusion, top_items
from sememe.search.generation import Generation
from sememe.search.hits import Hit
from sememe.search.parts import Parts

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.search.index import Index

MODES = ("dense", "lexical", "hybrid")
FUSION_DEPTH = 100  # how deep each ranking is read before fusing, at least


class Found(NamedTuple):
    """A ranked document before it is read from disk."""

    ordinal: int
    row: int
    score: float
    parts: Mapping[str, float]


class Searcher:
    """One search over one version of an index."""

    def __init__(self, index: Index, generation: Generation, parts: Parts) -> None:
        self._index, self._generation, self._parts = index, generation, parts

    def search(
        self,
        queries: Sequence[str | np.ndarray] | np.ndarray,
        k: int,
        *,
        mode: str,
        where: Filter | None,
        explain: Atoms | None,
        steer: Mapping[int, float] | None,
    ) -> list[list[Hit]]:
        """See `Index.search` and `Index.search_batch`."""
        _check(queries, k, mode, explain, steer)
        vectors = None if mode == "lexical" else self.vectors(queries, explain, steer)
        answers = [
            [self._hit(found, rank) for rank, found in enumerate(ranked, start=1)]
            for ranked in self._ranked(queries, vectors, k, mode, where)
        ]
        if explain is None or vectors is None:
            return answers
        return [self._explained(hits, vector, explain) for hits, vector in zip(answers, vectors, strict=True)]

    def rank(self, queries: Sequence[str], k: int, *, mode: str, where: Filter | None) -> list[dict[str, float]]:
        """See `Index.rank_batch`."""
        _check(queries, k, mode, None, None)
        ids = self._generation.records.ids
        vectors = None if mode == "lexical" else self.vectors(queries, None, None)
        ranked = self._ranked(queries, vectors, k, mode, where)
        return [{ids[found.ordinal]: found.score for found in of_query} for of_query in ranked]

    def _ranked(
        self,
        queries: Sequence[str | np.ndarray] | np.ndarray,
        vectors: np.ndarray | None,
        k: int,
        mode: str,
        where: Filter | None,
    ) -> Iterator[list[Found]]:
        allowed = self._allowed(where)
        if vectors is None:
            yield from (self._by_words(str(query), allowed, k) for query in queries)
            return
        depth = k if mode == "dense" else max(FUSION_DEPTH, k)
        for query, vector, ranking in zip(queries, vectors, self._rank(vectors, allowed, depth), strict=True):
            yield _by_meaning(ranking) if mode == "dense" else self._fused(str(query), vector, ranking, allowed, k)

    def vectors(
        self, queries: Sequence[str | np.ndarray] | np.ndarray, explain: Atoms | None, steer: Mapping[int, float] | None
    ) -> np.ndarray:
        """The vectors of queries, steered; shape (n_queries, d), float32."""
        texts = [query for query in queries if isinstance(query, str)]
        if len(texts) == len(queries):
            vectors = np.asarray(self._index.encoder.encode_query(texts), np.float32)
        else:
            vectors = self._checked_vectors(queries)
        vectors = vectors.reshape(len(queries), self._index.bank.dimensions)
        if not steer:
            return vectors
        if explain is None:
            raise InputError("steering needs the atoms to steer along", hint="Pass them as explain=atoms")
        return steered(vectors, explain, steer, unit_length=bool(self._index.normalizes))

    def _checked_vectors(self, queries: Sequence[str | np.ndarray] | np.ndarray) -> np.ndarray:
        dimensions = self._index.bank.dimensions
        rows = []
        for number, query in enumerate(queries):
            row = np.asarray(self._index.encoder.encode_query(query) if isinstance(query, str) else query, np.float32)
            if row.shape != (dimensions,):
                raise InputError(f"query {number} has shape {row.shape}, the index holds vectors of ({dimensions},)")
            if not np.isfinite(row).all():
                raise InputError(f"query {number} holds NaN or infinity")
            rows.append(row)
        return np.stack(rows) if rows else np.zeros((0, dimensions), np.float32)

    def _allowed(self, where: Filter | None) -> np.ndarray:
        live = self._generation.live
        if not where:
            return live
        check_filter(where)
        allowed = np.zeros(len(live), bool)
        ordinals = np.flatnonzero(live)
        found = [matches(metadata, where) for metadata in self._generation.records.metadata(ordinals.tolist())]
        allowed[ordinals] = found
        return allowed

    def _rank(self, vectors: np.ndarray, allowed: np.ndarray, k: int) -> Iterable[Ranking]:
        bank, codes = self._generation.bank, self._parts.codes()
        # Few documents left by a filter are scanned faster than the codes of all.
        if codes is None or allowed.sum() < 0.05 * len(allowed):
            return rank_exact(bank, self._generation.starts, vectors, allowed, k)
        return rank_by_codes(bank, codes, vectors, allowed, k)

    def _lexical_scores(self, query: str) -> np.ndarray:
        scores = np.zeros(len(self._generation.live), np.float32)
        scores[self._parts.live_ordinals()] = self._parts.lexical().score(query)
        return scores

    def _by_words(self, query: str, allowed: np.ndarray, k: int) -> list[Found]:
        scores = self._lexical_scores(query)
        starts = self._generation.starts
        return [
            Found(int(o), int(starts[o]), float(scores[o]), {"lexical": float(scores[o])})
            for o in top_items(scores, allowed, k, at_least=0.0)
        ]

    def _fused(self, query: str, vector: np.ndarray, ranking: Ranking, allowed: np.ndarray, k: int) -> list[Found]:
        lexical = self._lexical_scores(query)
        by_words = top_items(lexical, allowed, max(FUSION_DEPTH, k), at_least=0.0)
        fused = reciprocal_rank_fusion([ranking.ordinals.tolist(), by_words.tolist()], k)
        # A document that only words found still gets its exact dense score, so that every hit shows both.
        wanted = np.sort([ordinal for ordinal, _ in fused])
        exact = rescore(self._generation.bank, vector, self._generation.rows_of(wanted), len(wanted))
        best = zip(exact.ordinals.tolist(), exact.rows.tolist(), exact.scores.tolist(), strict=True)
        dense = {ordinal: (row, score) for ordinal, row, score in best}
        return [
            Found(o, dense[o][0], score, {"dense": dense[o][1], "lexical": float(lexical[o])}) for o, score in fused
        ]

    def _hit(self, found: Found, rank: int) -> Hit:
        records = self._generation.records
        return Hit(records[found.ordinal], found.score, rank, found.row, records.window(found.row), found.parts)

    def _explained(self, hits: list[Hit], vector: np.ndarray, atoms: Atoms) -> list[Hit]:
        if not hits:
            return []
        explanations = explain_rows(atoms, vector, self._generation.bank[[hit.row for hit in hits]])
        return [replace(hit, explanation=found) for hit, found in zip(hits, explanations, strict=True)]


def _by_meaning(ranking: Ranking) -> list[Found]:
    columns = zip(ranking.ordinals.tolist(), ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
    return [Found(ordinal, row, score, {"dense": score}) for ordinal, row, score in columns]


def _check(
    queries: Sequence[str | np.ndarray] | np.ndarray,
    k: int,
    mode: str,
    explain: Atoms | None,
    steer: Mapping[int, float] | None,
) -> None:
    problems = []
    if k < 1:
        problems.append(f"k must be at least 1, not {k}")
    if mode not in MODES:
        problems.append(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if mode == "lexical" and (explain is not None or steer):
        problems.append("a lexical score has no atoms: explain and steer need mode dense or hybrid")
    for number, query in enumerate(queries):
        if isinstance(query, str) and not query.strip():
            problems.append(f"query {number} is empty")
        elif not isinstance(query, str) and mode != "dense":
            problems.append(f"query {number} is a vector, which only mode dense can search with")
    if problems:
        raise InputError("; ".join(problems))
