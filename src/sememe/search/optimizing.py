"""Learning a better product quantiser for an index from queries and the documents that answer them.

The vectors in the bank are never changed, so exact scores and their explanations stay as they are. What is learned is
the first stage: the codebook, and optionally a map that changes what a query is compared with codewords as. Both are
measured on queries that the training did not see, between what was there before and exact search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.evaluation.metrics import Comparison, compare, evaluate_run, query_metrics
from sememe.objectives.contrastive_fitting import ContrastiveConfig, Fitted, Space, fit_contrastive
from sememe.search.coarse.product import ProductCodes, ProductQuantizer
from sememe.search.dense import Ranking, rank_exact, rescore
from sememe.search.query_vectors import encoded_queries

if TYPE_CHECKING:
    from sememe.search.index import Index

MIN_QUERIES = 20
MAX_QUERIES = 20_000
TRAINING_ROWS = 50_000
DEPTH = 100
COARSE = "recall@100"
FINE = ("ndcg@10", "mrr@10", "recall@10")
LEARNABLE = ("codebook", "query_map")

Pair = tuple[str | np.ndarray, str]
"""A query, as a text or a vector, and the id of a document that answers it: a click, a judgement."""


@dataclass(frozen=True, eq=False)
class Optimized:
    """A learned quantiser and how it measured on held-out queries.

    Attributes:
        before: the quantiser it started from.
        after: the learned one.
        table: `before`, `after` and `exact` -> "coarse recall@100" (the share of answers among the first 100 documents
            by code; for `exact`, by vector), and ndcg@10, mrr@10 and recall@10 after the exact second stage.
        in_force: the name of the first stage that the index had.
        present: ndcg@10, mrr@10 and recall@10 with that stage.
        recall_gain: of coarse recall@100, after minus before, paired by query.
        found_gain: of ndcg@10, after minus in force, paired by query.
        n_pairs: how many pairs were learned from, dev queries included, and how many measured with.
        fitted: the training.

    """

    before: ProductQuantizer
    after: ProductQuantizer
    table: Mapping[str, Mapping[str, float]]
    in_force: str
    present: Mapping[str, float]
    recall_gain: Comparison
    found_gain: Comparison
    n_pairs: tuple[int, int]
    fitted: Fitted

    @property
    def is_better(self) -> bool:
        """Whether the 95% interval of the gain in coarse recall@100 lies above 0."""
        return self.recall_gain.low > 0

    @property
    def objection(self) -> str | None:
        """Why it should not be adopted: it did not gain on held-out queries, or it surely finds less than before."""
        gain, found = self.recall_gain, self.found_gain
        if gain.difference <= 0:
            before, after = (self.table[name][f"coarse {COARSE}"] for name in ("before", "after"))
            return f"on {gain.n_queries} held-out queries its {COARSE} is {after:.4f}, without learning {before:.4f}"
        if found.high < 0:
            return (
                f"its {FINE[0]} on {found.n_queries} held-out queries is {-found.difference:.4f} below that of the "
                f"stage in force ({self.in_force}), with a 95% interval of [{found.low:+.4f}, {found.high:+.4f}]"
            )
        return None

    def as_dict(self) -> dict[str, Any]:
        """JSON values, for a card."""
        return {
            "bytes": self.after.n_subvectors,
            "pairs_learned": self.n_pairs[0],
            "pairs_measured": self.n_pairs[1],
            "in_force": {"stage": self.in_force, **self.present},
            "table": {name: dict(row) for name, row in self.table.items()},
            "recall_gain": asdict(self.recall_gain),
            "found_gain": asdict(self.found_gain),
            "better": self.is_better,
            "objection": self.objection,
        }


def optimize_coarse(
    index: Index,
    pairs: Sequence[Pair] | None = None,
    *,
    n_bytes: int | None = None,
    before: ProductQuantizer | None = None,
    learn: Sequence[str] = ("codebook",),
    candidates: int = 200,
    held_out: float = 0.2,
    config: ContrastiveConfig | None = None,
    random_state: int = 0,
) -> Optimized:
    """Learn a quantiser from pairs and measure it on other queries.

    Args:
        index: its documents and vectors; nothing of it is changed.
        pairs: queries and the ids of documents that answer them; by default `title_pairs(index)`.
        n_bytes: bytes a vector, when `before` is not given; the default is that of `ProductCodes.fit`.
        before: the quantiser to start from; by default one learned from the vectors alone (OPQ).
        learn: `codebook`, `query_map` or both.
        candidates: rows that the first stage proposes to the second.
        held_out: the share of the queries to measure with.
        config: of the training.
        random_state: seed.

    Raises:
        InputError: there are too few queries, or a pair names no document of the index.

    """
    if not learn or set(learn) - set(LEARNABLE):
        raise InputError(f"learn must name some of {', '.join(LEARNABLE)}, not {', '.join(learn) or 'nothing'}")
    judged = _judged(index, title_pairs(index, random_state=random_state) if pairs is None else pairs)
    order = np.random.default_rng([random_state, 9]).permutation(len(judged.vectors))
    n_test = max(MIN_QUERIES // 4, round(held_out * len(order)))
    train, test = judged.part(np.sort(order[n_test:])), judged.part(np.sort(order[:n_test]))

    before = before or ProductCodes.fit(index.bank, n_bytes, random_state).quantizer
    config = config or ContrastiveConfig(dense_weight=0.0)
    fitted = _fit(index, train, before, learn=learn, config=config, random_state=random_state)
    query_map = fitted.space.query_head if "query_map" in learn else before.query_map
    assert fitted.space.codebook is not None
    after = ProductQuantizer(fitted.space.codebook, before.rotation, query_map)

    qrels = {str(query): {str(o): 1 for o in ordinals} for query, ordinals in enumerate(test.ordinals)}
    live = _live(index)
    by_id = {str(query): {index.id_of(row): 1 for row in rows} for query, rows in enumerate(test.rows)}
    present = _run_in_force(index, test)
    table, recall, fine = {}, {}, {}
    for name, quantizer in (("before", before), ("after", after)):
        coarse, fine[name] = _two_stage_runs(index.bank, quantizer, test.vectors, live, candidates)
        recall[name] = query_metrics(coarse, qrels, (COARSE,))[COARSE]
        table[name] = {
            f"coarse {COARSE}": float(np.mean(list(recall[name].values()))),
            **evaluate_run(fine[name], qrels, FINE),
        }
    exact = _exact_run(index.bank, test.vectors, live)
    figures = evaluate_run(exact, qrels, (COARSE, *FINE))
    table["exact"] = {f"coarse {COARSE}": figures.pop(COARSE), **figures}
    gain = compare(recall["after"], recall["before"], random_state=random_state)
    found = query_metrics(fine["after"], qrels, FINE)[FINE[0]]
    found_gain = compare(found, query_metrics(present, by_id, FINE)[FINE[0]], random_state=random_state)
    return Optimized(
        before=before,
        after=after,
        table=table,
        in_force=index.first_stage,
        present=evaluate_run(present, by_id, FINE),
        recall_gain=gain,
        found_gain=found_gain,
        n_pairs=(train.n_pairs, test.n_pairs),
        fitted=fitted,
    )


def judged_pairs(
    index: Index, queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]]
) -> tuple[list[Pair], int]:
    """Pairs from queries and judgements or clicks, by the ids of queries.

    Args:
        index: whose documents are meant.
        queries: query id -> text.
        qrels: query id -> document id -> relevance; what is above 0 answers.

    Returns:
        The pairs, and how many were left out because the index does not hold their document.

    Raises:
        InputError: a judged query has no text.

    """
    pairs: list[Pair] = []
    missing = 0
    for query, judged in qrels.items():
        if query not in queries:
            raise InputError(
                "is judged and has no text", where=f"query {query!r}", hint="Give the queries file it is in"
            )
        answers = [document for document, relevance in judged.items() if relevance > 0]
        pairs += [(queries[query], document) for document in answers if document in index]
        missing += sum(document not in index for document in answers)
    return pairs, missing


def title_pairs(index: Index, n: int = MAX_QUERIES, *, random_state: int = 0) -> list[Pair]:
    """The documents' own titles as queries, for an index without clicks or judgements; at most `n`, drawn at random.

    A title is part of its document's vector, so it is an easier query than those of people.
    """
    pairs: list[Pair] = [(document.title, document.id) for document in index.documents() if document.title.strip()]
    if len(pairs) <= n:
        return pairs
    chosen = np.random.default_rng([random_state, 10]).permutation(len(pairs))[:n]
    return [pairs[number] for number in np.sort(chosen)]


def verify(
    bank: Bank,
    query: np.ndarray,
    rows: np.ndarray,
    coarse_scores: np.ndarray,
    k: int,
    *,
    coarse_weight: float = 0.0,
) -> Ranking:
    """The second stage of the paper: ``<q, v> + coarse_weight * coarse score``, the best `k` documents.

    With weight 0 it is `sememe.search.dense.rescore`. The paper's weight of 0.3 was fitted to inner products of its
    own encoder, which are not cosines. A score that contains coarse scores is not explained by atoms.
    """
    if not coarse_weight:
        return rescore(bank, query, rows, k)
    exact = rescore(bank, query, rows, len(rows))
    by_row = dict(zip(rows.tolist(), coarse_scores.tolist(), strict=True))
    scores = exact.scores + coarse_weight * np.array([by_row[row] for row in exact.rows.tolist()], np.float32)
    order = np.lexsort((exact.rows, -scores))[:k]
    return Ranking(exact.ordinals[order], exact.rows[order], scores[order])


class _Judged(NamedTuple):
    """Queries with the documents that answer them, by ordinal, and the best row of each."""

    queries: Sequence[str | np.ndarray]
    vectors: np.ndarray
    ordinals: Sequence[Sequence[int]]
    rows: Sequence[Sequence[int]]

    @property
    def n_pairs(self) -> int:
        return sum(map(len, self.ordinals))

    def part(self, numbers: np.ndarray) -> _Judged:
        queries = [self.queries[n] for n in numbers]
        return _Judged(
            queries, self.vectors[numbers], [self.ordinals[n] for n in numbers], [self.rows[n] for n in numbers]
        )


def _judged(index: Index, pairs: Sequence[Pair]) -> _Judged:
    queries: dict[object, str | np.ndarray] = {}
    answers: dict[object, list[str]] = {}
    for query, document_id in pairs:
        key = query if isinstance(query, str) else np.asarray(query, np.float32).tobytes()
        queries.setdefault(key, query)
        found = answers.setdefault(key, [])
        if document_id not in found:
            found.append(document_id)
    if len(queries) < MIN_QUERIES:
        raise InputError(
            f"there are {len(queries)} different queries, too few to learn from and to measure with",
            hint=f"Give {MIN_QUERIES} or more; hundreds are better",
        )
    vectors = _vectors(index, list(queries.values()))
    ordinals, rows = [], []
    for vector, ids in zip(vectors, answers.values(), strict=True):
        of_documents = [index.rows_of(document_id) for document_id in ids]
        ordinals.append([int(index.bank.documents[found[0]]) for found in of_documents])
        rows.append([_best_row(index.bank, vector, found) for found in of_documents])
    return _Judged(list(queries.values()), vectors, ordinals, rows)


def _best_row(bank: Bank, query: np.ndarray, rows: np.ndarray) -> int:
    return int(rows[0] if len(rows) == 1 else rows[np.argmax(bank[rows] @ query)])


def _vectors(index: Index, queries: Sequence[str | np.ndarray]) -> np.ndarray:
    vectors = np.empty((len(queries), index.bank.dimensions), np.float32)
    texts = [(number, query) for number, query in enumerate(queries) if isinstance(query, str)]
    if texts:
        vectors[[number for number, _ in texts]] = encoded_queries(index, [text for _, text in texts])
    for number, query in enumerate(queries):
        if not isinstance(query, str):
            if np.shape(query) != vectors.shape[1:]:
                raise InputError(f"query {number} has shape {np.shape(query)}, not ({vectors.shape[1]},)")
            vectors[number] = query
    return vectors


def _fit(
    index: Index,
    train: _Judged,
    before: ProductQuantizer,
    *,
    learn: Sequence[str],
    config: ContrastiveConfig,
    random_state: int,
) -> Fitted:
    """Train on the answers' best rows and on rows of other documents."""
    rng = np.random.default_rng([random_state, 11])
    answers = np.unique(np.concatenate([np.asarray(rows) for rows in train.rows]))
    live = index.live_rows()
    others = live[~np.isin(index.bank.documents[live], index.bank.documents[answers])]
    others = rng.permutation(others)[: max(0, TRAINING_ROWS - len(answers))]
    rows = np.sort(np.concatenate([answers, others]))
    positives = [np.searchsorted(rows, found).tolist() for found in train.rows]
    names = {"codebook": "codebook", "query_map": "query_head"}
    return fit_contrastive(
        train.vectors,
        index.bank[rows],
        positives,
        Space(before.codebook, before.rotation, before.query_map),
        learn=[names[name] for name in learn],
        config=config,
        random_state=random_state,
    )


def _live(index: Index) -> np.ndarray:
    live = np.zeros(len(index.bank), bool)
    live[index.live_rows()] = True
    return live


def _two_stage_runs(
    bank: Bank, quantizer: ProductQuantizer, queries: np.ndarray, live: np.ndarray, candidates: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """The first stage's own ranking of documents, and the second stage's of its candidates."""
    codes = ProductCodes(quantizer)
    codes.extend(bank)
    coarse, fine = {}, {}
    for number, query in enumerate(queries):
        rows = codes.candidates(query, max(candidates, DEPTH), live)
        ordinals = list(dict.fromkeys(bank.documents[rows].tolist()))[:DEPTH]
        coarse[str(number)] = {str(ordinal): -float(rank) for rank, ordinal in enumerate(ordinals)}
        fine[str(number)] = _run(rescore(bank, query, rows[:candidates], DEPTH))
    return coarse, fine


def _run_in_force(index: Index, asked: _Judged) -> dict[str, dict[str, float]]:
    """What the index finds as it is, by the ids of documents."""
    words = index.first_stage == "lexical"  # which finds texts only
    rankings = index.rank_batch(asked.queries if words else list(asked.vectors), DEPTH)
    return {
        str(number): {document: -float(rank) for rank, document in enumerate(ranking)}
        for number, ranking in enumerate(rankings)
    }


def _exact_run(bank: Bank, queries: np.ndarray, live: np.ndarray) -> dict[str, dict[str, float]]:
    starts = np.flatnonzero(np.diff(bank.documents, prepend=-1))
    rankings: Iterator[Ranking] = rank_exact(bank, starts, queries, live[starts], DEPTH)
    return {str(number): _run(ranking) for number, ranking in enumerate(rankings)}


def _run(ranking: Ranking) -> dict[str, float]:
    """By rank, so that equal scores keep their order when metrics are computed."""
    return {str(ordinal): -float(rank) for rank, ordinal in enumerate(ranking.ordinals.tolist())}
