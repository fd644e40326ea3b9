"""Nested search: scan with few leading dimensions, re-order what is left with more of them.

Kusupati et al., "Matryoshka Representation Learning" (arXiv 2205.13147), section 4.3: adaptive retrieval has two
stages, a funnel has several. Every prefix is brought back to unit length after cutting. It pays with vectors that were
trained to be cut (`sememe.objectives.matryoshka`); with others the first dimensions are as good as any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search.top_items import top_items

BLOCK_ROWS = 16_384
_QUERIES_AT_ONCE = 256  # with a block of rows: 16 MiB of scores
_FORMAT = "Give DIMENSIONS:KEPT for each stage, such as 32:200,128:50,384:10"

Database = Bank | np.ndarray
"""Vectors (n, d): in a bank, or in memory."""


class Stage(NamedTuple):
    """One stage: order by the first `dimensions` dimensions, keep the best `keep` rows."""

    dimensions: int
    keep: int


class Proposes(Protocol):
    """What can make the first shortlist; see `sememe.search.coarse.stage.Coarse`."""

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        """The `n` allowed rows that look best."""
        ...


@dataclass(frozen=True, eq=False)
class Found:
    """What a nested search found.

    Attributes:
        rows: for each query the rows, the best first; int64, shape (k,) or fewer.
        scores: their inner products in the last stage's dimensions; float32, shaped as `rows`.
        survivors: how many rows the last query's stages kept, one number a stage.
        cost: multiplications a query, what the paper counts as FLOPs.
        exhaustive_cost: the same for a scan of all rows with the last stage's dimensions.

    """

    rows: list[np.ndarray]
    scores: list[np.ndarray]
    survivors: tuple[int, ...]
    cost: int
    exhaustive_cost: int

    def agreement(self, other: Found) -> float:
        """The mean share of the other's rows that are here too; 1.0 for queries that the other has none for."""
        shares = [
            np.isin(theirs, ours).mean() if len(theirs) else 1.0
            for ours, theirs in zip(self.rows, other.rows, strict=True)
        ]
        return float(np.mean(shares)) if shares else 1.0


def parse_funnel(text: str) -> tuple[Stage, ...]:
    """Read `32:200,128:50,384:10`: scan with 32 dimensions and keep 200 rows, order those by 128 and keep 50, ...

    The paper writes the same funnel as D_s = 32 and pairs of (dimensions, how many are re-ordered): (128, 200),
    (384, 50), and returns all of the last; here every stage says how many rows leave it.

    Raises:
        InputError: it is not of this form, dimensions decrease, or the numbers kept increase.

    """
    stages = []
    for part in text.split(","):
        dimensions, colon, keep = (piece.strip() for piece in part.partition(":"))
        if not colon or not all(number.isascii() and number.isdigit() for number in (dimensions, keep)):
            raise InputError(f"is not a stage: {part!r}", where=f"funnel {text!r}", hint=_FORMAT)
        stages.append(Stage(int(dimensions), int(keep)))
    return check_funnel(stages)


def check_funnel(
    stages: Sequence[tuple[int, int]], n_rows: int | None = None, width: int | None = None
) -> tuple[Stage, ...]:
    """The stages, if they can be used, also on `n_rows` rows of that width when these are given.

    Raises:
        InputError: there is none, a number is below 1, dimensions decrease, numbers kept increase, or there are fewer
            rows or dimensions.

    """
    checked = tuple(Stage(*stage) for stage in stages)
    where = f"funnel {format_funnel(checked)!r}"
    if not checked or min(min(stage) for stage in checked) < 1:
        raise InputError("every stage needs 1 or more dimensions and rows to keep", where=where, hint=_FORMAT)
    for before, after in pairwise(checked):
        if after.dimensions < before.dimensions:
            raise InputError(f"dimensions decrease from {before.dimensions} to {after.dimensions}", where=where)
        if after.keep > before.keep:
            raise InputError(f"rows kept increase from {before.keep} to {after.keep}", where=where)
    if n_rows is not None and checked[0].keep > n_rows:
        raise InputError(f"the first stage keeps {checked[0].keep} of {n_rows} rows", where=where, hint="Keep fewer")
    if width is not None and checked[-1].dimensions > width:
        raise InputError(f"the vectors have {width} dimensions, not {checked[-1].dimensions}", where=where)
    return checked


def format_funnel(stages: Sequence[tuple[int, int]]) -> str:
    """What `parse_funnel` reads."""
    return ",".join(f"{dimensions}:{keep}" for dimensions, keep in stages)


def funnel_cost(stages: Sequence[Stage], n_rows: int) -> int:
    """Multiplications a query: N D_1 + sum_i K_(i-1) D_i (the paper's FLOPs)."""
    reordered = sum(before.keep * after.dimensions for before, after in pairwise(stages))
    return n_rows * stages[0].dimensions + reordered


def truncate(X: np.ndarray, m: int, *, normalize: bool = True) -> np.ndarray:
    """The first `m` dimensions of vectors (n, d) or (d,), brought to unit length after cutting; zeros stay zeros.

    A model that ends in a normalisation gives prefixes shorter than 1: ranked as they are, they rank by length.

    Raises:
        InputError: there are not as many dimensions.

    """
    if not 1 <= m <= X.shape[-1]:
        raise InputError(f"cannot keep {m} of {X.shape[-1]} dimensions", where="truncate")
    prefix = X[..., :m]
    if not normalize:
        return prefix
    lengths = np.linalg.norm(prefix, axis=-1, keepdims=True)
    scaled: np.ndarray = prefix / np.maximum(lengths, np.finfo(X.dtype).tiny)
    return scaled


def adaptive_search(
    queries: np.ndarray,
    database: Database,
    k: int,
    d_short: int,
    d_rerank: int,
    *,
    shortlist: int = 200,
    normalize: bool = True,
    allowed: np.ndarray | None = None,
    coarse: Proposes | None = None,
) -> Found:
    """Two stages: the `shortlist` best rows by `d_short` dimensions, ordered by `d_rerank`; the best `k` of them.

    Other arguments and errors as `funnel_search`.
    """
    stages = (Stage(d_short, shortlist), Stage(d_rerank, k))
    return funnel_search(queries, database, stages, normalize=normalize, allowed=allowed, coarse=coarse)


def exhaustive_search(
    queries: np.ndarray,
    database: Database,
    k: int,
    dimensions: int,
    *,
    normalize: bool = True,
    allowed: np.ndarray | None = None,
) -> Found:
    """One stage: all rows by their first `dimensions` dimensions. Other arguments and errors as `funnel_search`."""
    return funnel_search(queries, database, (Stage(dimensions, k),), normalize=normalize, allowed=allowed)


def funnel_search(
    queries: np.ndarray,
    database: Database,
    stages: Sequence[tuple[int, int]] | str,
    *,
    normalize: bool = True,
    allowed: np.ndarray | None = None,
    coarse: Proposes | None = None,
) -> Found:
    """Search in stages of growing dimensions and shrinking numbers of rows.

    Args:
        queries: shape (n_queries, d), or (d,) for one.
        database: shape (n, d), or a bank. Of a bank, all rows are scanned in blocks; what survives the first stage is
            read once, in the order in which it lies on disk.
        stages: (dimensions, rows kept) of each stage, or a text for `parse_funnel`.
        normalize: bring prefixes to unit length (cosine); False for vectors whose lengths mean something.
        allowed: which rows may be found; shape (n,), boolean.
        coarse: makes the first shortlist instead of the scan, such as prefixes held in memory.

    Raises:
        InputError: the stages, the queries or `allowed` do not fit the database.

    """
    if isinstance(stages, str):
        stages = parse_funnel(stages)
    width = database.shape[1] if isinstance(database, np.ndarray) else database.dimensions
    checked = check_funnel(stages, len(database), width)
    queries = _checked_queries(queries, width)
    if allowed is None:
        allowed = np.ones(len(database), bool)
    elif allowed.shape != (len(database),):
        raise InputError(f"`allowed` has shape {allowed.shape}, not ({len(database)},)", where="funnel_search")
    dimensions, keep = checked[0]
    if coarse is None:
        shortlists, _ = nearest_rows(queries, database, dimensions, keep, allowed=allowed, normalize=normalize)
    else:
        shortlists = [coarse.candidates(query, keep, allowed) for query in queries]
    rows, scores, survivors = [], [], tuple(0 for _ in checked)
    for query, shortlist in zip(queries, shortlists, strict=True):
        survivors, order, values = _narrow(query, database, shortlist, checked, normalize=normalize)
        rows.append(order)
        scores.append(values)
    cost = funnel_cost(checked, len(database))
    return Found(rows, scores, survivors, cost, len(database) * checked[-1].dimensions)


def _narrow(
    query: np.ndarray, database: Database, rows: np.ndarray, stages: Sequence[Stage], *, normalize: bool
) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    """Order the shortlist of one query by every stage in turn. Equal scores are ordered by row."""
    rows = np.sort(rows)
    vectors = database[rows].astype(np.float64)
    query = query.astype(np.float64)
    scores = np.zeros(len(rows))
    survivors = []
    for dimensions, keep in stages:
        prefixes = truncate(vectors, dimensions, normalize=normalize)
        scores = np.einsum("nd,d->n", prefixes, truncate(query, dimensions, normalize=normalize))
        order = np.lexsort((rows, -scores))[:keep]
        rows, vectors, scores = rows[order], vectors[order], scores[order]
        survivors.append(len(rows))
    return tuple(survivors), rows, scores.astype(np.float32)


def nearest_rows(
    queries: np.ndarray,
    database: Database,
    dimensions: int,
    n: int,
    *,
    allowed: np.ndarray,
    own: np.ndarray | None = None,
    normalize: bool = True,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The `n` rows with the highest inner products of prefixes, by a scan of all rows.

    Args:
        queries: shape (n_queries, d), float32.
        database: shape (n_rows, d), or a bank; a bank is read once for every 256 queries.
        dimensions: how many of the first dimensions count.
        n: how many rows; fewer when fewer are allowed.
        allowed: which rows may be found; shape (n_rows,), boolean.
        own: for each query the first row that is its own and the first after those, which are not found by it;
            shape (n_queries, 2), or (n_queries, m, 2) for m such ranges.
        normalize: bring prefixes to unit length.

    Returns:
        For each query the rows (int64) and their scores (float32), the best first, equal scores by row.

    """
    rows: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    for first in range(0, len(queries), _QUERIES_AT_ONCE):
        part = slice(first, first + _QUERIES_AT_ONCE)
        prefixes = truncate(queries[part], dimensions, normalize=normalize)
        own_part = None if own is None else own[part]
        best = _scan(prefixes, database, n, allowed=allowed, own=own_part, normalize=normalize)
        rows.extend(of_query for of_query, _ in best)
        scores.extend(of_query for _, of_query in best)
    return rows, scores


_Best = list[tuple[np.ndarray, np.ndarray]]


def _scan(
    prefixes: np.ndarray, database: Database, n: int, *, allowed: np.ndarray, own: np.ndarray | None, normalize: bool
) -> _Best:
    best: _Best = [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in prefixes]
    for start, block in _blocks(database):
        part = block[:, : prefixes.shape[1]]
        scores = prefixes @ part.T
        if normalize:
            scores /= np.maximum(np.linalg.norm(part, axis=1), np.finfo(np.float32).tiny)
        inside = allowed[start : start + len(block)]
        if own is not None:
            for of_query, ranges in zip(scores, own.reshape(len(scores), -1, 2), strict=True):
                for low, high in ranges:
                    of_query[max(0, low - start) : max(0, high - start)] = -np.inf
        for number, of_query in enumerate(scores):
            items = top_items(of_query, inside, n)
            best[number] = _merged(best[number], items + start, of_query[items], n)
    return best


def _merged(
    best: tuple[np.ndarray, np.ndarray], rows: np.ndarray, scores: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    all_rows, all_scores = np.concatenate([best[0], rows]), np.concatenate([best[1], scores])
    order = np.argsort(-all_scores, kind="stable")[:n]  # earlier blocks come first, so ties stay in the order of rows
    return all_rows[order], all_scores[order]


def _blocks(database: Database) -> Iterator[tuple[int, np.ndarray]]:
    if isinstance(database, Bank):
        yield from database.batches(BLOCK_ROWS)
        return
    for start in range(0, len(database), BLOCK_ROWS):
        yield start, database[start : start + BLOCK_ROWS]


def _checked_queries(queries: np.ndarray, width: int) -> np.ndarray:
    checked = np.atleast_2d(np.asarray(queries, np.float32))
    if checked.ndim != 2 or checked.shape[1] != width:
        raise InputError(f"queries have shape {np.shape(queries)}, the vectors are {width} wide", where="funnel_search")
    if not np.isfinite(checked).all():
        raise InputError("a query holds NaN or infinity", where="funnel_search")
    return checked
