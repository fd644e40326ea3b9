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
from sememe.search.shortlist import Shortlist
from sememe.search.stages import Clock, StageReport
from sememe.search.top_items import top_items

BLOCK_ROWS = 16_384
FEW_QUERIES = 3
ROWS_IN_CACHE = 1024
DECODED_BYTES = 1 << 20
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
        for start, block in bank.batches(_block_rows(bank)):
            _multiply(chunk, block, rows[:, start : start + len(block)])
        scores = rows if len(starts) == len(bank) else np.maximum.reduceat(rows, starts, axis=1)
        n_bytes, ms = len(bank) * bank.row_bytes // len(chunk), clock.lap() / len(chunk)
        for query, approximate in zip(chunk, scores, strict=True):
            candidates = top_items(approximate, allowed, k)
            if len(candidates) == k:
                close = approximate >= approximate[candidates[-1]] - TOLERANCE * np.linalg.norm(query)
                close &= allowed
                candidates = np.flatnonzero(close)
            proposed = rows_of(candidates, starts, len(bank))
            scan = StageReport("exact", len(proposed), n_bytes, ms + clock.lap())
            yield rescore(bank, query, proposed, k, (scan,))
            clock.lap()


def rank_shortlist(
    bank: Bank, shortlist: Shortlist, queries: np.ndarray, allowed: np.ndarray, k: int
) -> Iterator[Ranking]:
    """Rank documents among the rows that a first stage proposes; see `sememe.search.coarse.stage`."""
    documents = bank.documents
    allowed_rows = np.ones(len(bank), bool) if allowed.all() else allowed[documents]
    wanted = min(k, int(np.count_nonzero(allowed)))
    stage = shortlist.stage
    for query in queries:
        clock, n_candidates = Clock(), shortlist.n_candidates(k)
        while True:
            rows = stage.candidates(query, n_candidates, allowed_rows)
            if len(rows) < n_candidates or len(set(documents[rows].tolist())) >= wanted:
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
    clock, rows = Clock(), rows if is_ascending(rows) else np.unique(rows)
    if not len(rows):
        return Ranking(rows, rows, np.zeros(0, np.float32), before)
    exact = np.einsum("nd,d->n", bank[rows].astype(np.float64), query.astype(np.float64)).astype(np.float32)
    ordinals = bank.documents[rows]
    order = np.argsort(-exact, kind="stable")
    if is_ascending(ordinals):  # no two rows of one document
        best = order[:k]
    else:
        _, first = np.unique(ordinals[order], return_index=True)
        best = order[np.sort(first)][:k]
    fine = StageReport("fine", len(best), len(rows) * bank.row_bytes, clock.lap())
    return Ranking(ordinals[best], rows[best], exact[best], (*before, fine))


def _block_rows(bank: Bank) -> int:
    """How many rows are read at once: those that must be turned into float32 first should stay in the cache."""
    return BLOCK_ROWS if bank.dtype == "float32" else max(1, DECODED_BYTES // (4 * bank.dimensions))


def _multiply(queries: np.ndarray, block: np.ndarray, out: np.ndarray) -> None:
    """Inner products of queries (m, d) with rows (n, d) into `out` (m, n)."""
    if len(queries) > FEW_QUERIES:
        np.matmul(queries, block.T, out=out)
        return
    # Row by row: where memory is what limits, the matrix product of BLAS is several times slower for few queries.
    for start in range(0, len(block), ROWS_IN_CACHE):
        part = block[start : start + ROWS_IN_CACHE]
        for query, scores in zip(queries, out, strict=True):
            np.vecdot(part, query, out=scores[start : start + len(part)])


def is_ascending(numbers: np.ndarray) -> bool:
    """Whether whole numbers (n,) are strictly ascending."""
    return bool((numbers[1:] > numbers[:-1]).all())


def rows_of(ordinals: np.ndarray, starts: np.ndarray, n_rows: int) -> np.ndarray:
    """The rows of documents, where `starts` holds every document's first row; ascending if `ordinals` is."""
    if len(starts) == n_rows:
        return ordinals
    first = starts[ordinals]
    counts = np.append(starts[1:], n_rows)[ordinals] - first
    before = np.cumsum(counts) - counts
    rows: np.ndarray = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
    return rows
