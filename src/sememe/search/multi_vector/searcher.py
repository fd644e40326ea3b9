"""Answering a query by MaxSim: candidates, their scores in float32, the exact scores of the best, the reasons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sememe.errors import InputError
from sememe.multi_vector.maxsim import exact_score, exact_shares, score_documents
from sememe.search.generation import Generation
from sememe.search.hits import Hits
from sememe.search.multi_vector.explaining import Match, MaxSimExplanation, MultiVectorHit, words_of
from sememe.search.multi_vector.lists import PROBES, Lists
from sememe.search.stages import Clock, StageReport
from sememe.search.top_items import top_items

# On SciFact with MiniLM (661,116 token vectors, 60 queries) .960, .988 and .990 of the exact top 10 are among 100, 200
# and 400 candidates; mean vectors instead of lists give .952, .973 and .988.
MIN_CANDIDATES = 200
CANDIDATES_PER_HIT = 20
TOKENS = "tokens"  # what a generation keeps of every document's tokens, as `Encoded.tokens`
_BLOCK_ROWS = 16_384
# float32 scores of unit vectors are off by rounding; whatever comes this close to the k-th is scored exactly. A share
# of a query vector has at most this error.
_TOLERANCE = 3e-5


class Query(NamedTuple):
    """A query ready to be searched with.

    Attributes:
        vectors: shape (m, d), float32.
        words: the words that each vector stands for; empty where the query was given as vectors.

    """

    vectors: np.ndarray
    words: list[tuple[str, ...]]


class Searcher:
    """One search over one version of an index.

    Args:
        generation: the documents and their vectors.
        lists: the first stage; None to score every document.
        allowed: which documents may be found; shape (n_documents,), boolean.

    """

    def __init__(self, generation: Generation, lists: Lists | None, allowed: np.ndarray) -> None:
        self._generation, self._lists, self._allowed = generation, lists, allowed

    def search(
        self, query: Query, k: int, n: int | None, *, explain: bool, before: tuple[StageReport, ...]
    ) -> Hits[MultiVectorHit]:
        """See `MultiVectorIndex.search`; `before` are the stages that made the query."""
        ordinals, scores, stages = self._rank(query.vectors, k, n)
        clock, records, hits = Clock(), self._generation.records, []
        for rank, (ordinal, score) in enumerate(zip(ordinals.tolist(), scores, strict=True), start=1):
            hits.append(MultiVectorHit(records[ordinal], score, rank))
        stages = (*before, *stages, StageReport("read", len(hits), 0, clock.lap()))
        if explain:
            hits = [self._explained(query, hit, o) for hit, o in zip(hits, ordinals.tolist(), strict=True)]
            stages = (*stages, StageReport("explain", len(hits), 0, clock.lap()))
        return Hits(hits, stages)

    def rank(self, query: Query, k: int, n: int | None) -> dict[str, float]:
        """Ids and float32 scores, the best first; no document is read."""
        ordinals, scores, _ = self._approximate(query.vectors, k, n)
        best = top_items(scores, np.ones(len(scores), bool), k)
        return {self._generation.records.ids[ordinals[i]]: float(scores[i]) for i in best}

    def candidates(self, query: Query, n: int, probes: int = PROBES) -> list[str]:
        """The ids of the documents that the first stage proposes."""
        if self._lists is None:
            raise InputError("has no first stage: every document is scored", where=str(self._generation.bank.path))
        ids = self._generation.records.ids
        return [ids[o] for o in self._lists.candidates(query.vectors, n, self._allowed, probes)]

    def _rank(
        self, query: np.ndarray, k: int, n: int | None
    ) -> tuple[np.ndarray, list[float], tuple[StageReport, ...]]:
        ordinals, scores, stages = self._approximate(query, k, n)
        clock = Clock()
        best = top_items(scores, np.ones(len(scores), bool), k)
        if len(best) == k:
            slack = _TOLERANCE * float(np.linalg.norm(query, axis=1).sum())
            best = np.flatnonzero(scores >= scores[best[-1]] - slack)
        exact = [exact_score(exact_shares(query, self._vectors(ordinals[i : i + 1]))[1]) for i in best]
        order = sorted(range(len(best)), key=lambda place: (-exact[place], int(ordinals[best[place]])))[:k]
        n_bytes = int(self._counts(ordinals[best]).sum()) * self._generation.bank.row_bytes
        report = StageReport("fine", len(order), n_bytes, clock.lap())
        return ordinals[best[order]], [exact[place] for place in order], (*stages, report)

    def _approximate(
        self, query: np.ndarray, k: int, n: int | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[StageReport, ...]]:
        """float32 scores of the candidates, or of all documents; ordinals ascending."""
        clock, stages = Clock(), []
        n = max(MIN_CANDIDATES, CANDIDATES_PER_HIT * k) if n is None else max(n, k)
        if self._lists is None:
            ordinals = np.flatnonzero(self._allowed)
        else:
            ordinals = np.sort(self._lists.candidates(query, n, self._allowed))
            stages.append(StageReport("lists", len(ordinals), self._lists.nbytes, clock.lap()))
        counts = self._counts(ordinals)
        scores = np.empty(len(ordinals), np.float32)
        first = 0
        while first < len(ordinals):
            room = np.searchsorted(np.cumsum(counts[first:]), _BLOCK_ROWS, side="right")
            last = first + max(1, int(room))
            vectors = self._vectors(ordinals[first:last])
            starts = np.cumsum(counts[first:last]) - counts[first:last]
            scores[first:last] = score_documents(query, np.zeros(1, np.int64), vectors, starts)[0]
            first = last
        n_bytes = int(counts.sum()) * self._generation.bank.row_bytes
        stages.append(StageReport("maxsim", len(ordinals), n_bytes, clock.lap()))
        return ordinals, scores, tuple(stages)

    def _vectors(self, ordinals: np.ndarray) -> np.ndarray:
        """The vectors of documents, one after another; read in one go where the documents lie side by side."""
        bank, rows = self._generation.bank, self._generation.rows_of(ordinals)
        side_by_side = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
        return bank[int(rows[0]) : int(rows[-1]) + 1] if side_by_side else bank[rows]

    def _counts(self, ordinals: np.ndarray) -> np.ndarray:
        """How many vectors documents have."""
        counts: np.ndarray = self._generation.ends[ordinals] - self._generation.starts[ordinals]
        return counts

    def _explained(self, query: Query, hit: MultiVectorHit, ordinal: int) -> MultiVectorHit:
        generation, rows = self._generation, self._generation.rows(ordinal)
        winners, shares = exact_shares(query.vectors, generation.bank[rows])
        words = words_of(hit.document.content, generation.extras[TOKENS][ordinal], rows.stop - rows.start)
        matches = zip(query.words, winners.tolist(), shares.tolist(), strict=True)
        found = tuple(Match(asked, words[winner], rows.start + winner, share) for asked, winner, share in matches)
        return MultiVectorHit(hit.document, hit.score, hit.rank, MaxSimExplanation(found))
