"""The dense part: a first stage that proposes rows, and the exact inner product that decides.

Whatever proposes them, the score of every returned document is computed afresh in float64 from the stored
vector, row by row. So a shown score does not depend on how rows were blocked, on which codes were used, or on
what else the index holds, and it can be taken apart exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sememe.bank import Bank
from sememe.search.fusion import top_items
from sememe.search.shortlist import Shortlist
from sememe.search.stages import Clock, StageReport

BLOCK_ROWS = 16_384
MAX_SCORES = 64 << 20  # float32 scores held at once: 256 MiB
# Scores of the first stage are off by rounding; whatever comes this close to the k-th is scored exactly.
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Ranking:
    """Documents, the best first, with the bank row that gave each its score, and the stages that found them."""

    ordinals: np.ndarray
    rows: np.ndarray
    scores: np.ndarray
    stages: tuple[StageReport, ...] = ()


def rank_exact(bank: Bank, starts: np.ndarray, queries: np.ndarray, allowed: np.ndarray, k: int) -> Iterator[Ranking]:
    """Rank documents by their best row, scanning every vector.

    Args:
        bank: the vectors; the rows of a document lie together.
        starts: the first row of every document; shape (n_documents,).
        queries: shape (n_queries, d), float32.
        allowed: which documents may be returned; shape (n_documents,).
        k: how many to return for each query.

    """
    per_chunk = max(1, MAX_SCORES // max(len(bank), 1))
    for first in range(0, len(queries), per_chunk):
        clock, chunk = Clock(), queries[first : first + per_chunk]
        rows = np.empty((len(chunk), len(bank)), np.float32)
        for start, block in bank.batches(BLOCK_ROWS):
            np.matmul(chunk, block.T, out=rows[:, start : start + len(block)])
        scores = rows if len(starts) == len(bank) else np.maximum.reduceat(rows, starts, axis=1)
        n_bytes, ms = len(bank) * bank.row_bytes // len(chunk), clock.lap() / len(chunk)
        for query, approximate in zip(chunk, scores, strict=True):
            candidates = top_items(approximate, allowed, k)
            if len(candidates) == k:
                close = approximate[candidates[-1]] - TOLERANCE * np.linalg.norm(query)
                candidates = np.flatnonzero(allowed & (approximate >= close))
            proposed = rows_of(candidates, starts, len(bank))
            scan = StageReport("exact", len(proposed), n_bytes, ms + clock.lap())
            yield rescore(bank, query, proposed, k, (scan,))
            clock.lap()


def rank_shortlist(
    bank: Bank, shortlist: Shortlist, queries: np.ndarray, allowed: np.ndarray, k: int
) -> Iterator[Ranking]:
    """Rank documents among the rows that a first stage proposes; see `sememe.search.coarse.stage`."""
    documents = bank.documents
    allowed_rows = allowed[documents]
    n_allowed = int(allowed.sum())
    stage = shortlist.stage
    for query in queries:
        clock, n_candidates = Clock(), shortlist.n_candidates(k)
        while True:
            rows = stage.candidates(query, n_candidates, allowed_rows)
            if len(rows) < n_candidates or len(np.unique(documents[rows])) >= min(k, n_allowed):
                break
            n_candidates *= 2  # one long document may fill the list with its windows
        coarse = StageReport(str(shortlist.name), len(rows), stage.nbytes, clock.lap())
        yield rescore(bank, query, rows, k, (coarse,))


class StoredRows(Protocol):
    """What the second stage needs of a bank; rows that were fetched from a server have it too."""

    @property
    def documents(self) -> np.ndarray:
        """The document of every row; shape (n_rows,)."""
        ...

    @property
    def row_bytes(self) -> int:
        """The bytes of a row's vector."""
        ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of rows; shape (n, d), float32."""
        ...


def rescore(
    bank: StoredRows, query: np.ndarray, rows: np.ndarray, k: int, before: tuple[StageReport, ...] = ()
) -> Ranking:
    """The exact second stage: score `rows` against `query`, keep each document's best, return the top `k`.

    The rows are read in the order in which they lie there. `before` are the stages that found them.

    Equal scores are ordered by row, which is the order in which documents were added.
    """
    clock, rows = Clock(), np.unique(rows)
    if not len(rows):
        return Ranking(rows, rows, np.zeros(0, np.float32), before)
    exact = np.einsum("nd,d->n", bank[rows].astype(np.float64), query.astype(np.float64)).astype(np.float32)
    ordinals = bank.documents[rows]
    order = np.lexsort((rows, -exact))
    _, first = np.unique(ordinals[order], return_index=True)
    best = order[np.sort(first)][:k]
    fine = StageReport("fine", len(best), len(rows) * bank.row_bytes, clock.lap())
    return Ranking(ordinals[best], rows[best], exact[best], (*before, fine))


def rows_of(ordinals: np.ndarray, starts: np.ndarray, n_rows: int) -> np.ndarray:
    """The rows of documents, where `starts` holds every document's first row; ascending if `ordinals` is."""
    if len(starts) == n_rows:
        return ordinals
    ends = np.append(starts[1:], n_rows)
    return np.concatenate([np.arange(starts[o], ends[o]) for o in ordinals] or [np.zeros(0, np.int64)])
