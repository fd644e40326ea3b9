"""First stages on texts with known answers: exact, by codes, by words; alone and before a second stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sememe.bank import Bank
    from sememe.evaluation.metrics import Qrels
    from sememe.objectives.contrastive_fitting import Space
    from sememe.search.coarse.product import ProductQuantizer

TITLES = "titles"
TITLE_METRICS = ("recall@10", "recall@100", "mrr@10")
SET_METRICS = ("recall@100", "ndcg@10")
CANDIDATES = 200
DEPTH = 100


@dataclass(frozen=True, eq=False)
class Texts:
    """Documents and queries as vectors and as texts, and which document answers which query, by number."""

    documents: np.ndarray
    queries: np.ndarray
    document_texts: Sequence[str]
    query_texts: Sequence[str]
    qrels: Qrels
    bank: Bank

    def part(self, numbers: np.ndarray) -> Texts:
        """The same documents with some of the queries."""
        return Texts(
            self.documents,
            self.queries[numbers],
            self.document_texts,
            [self.query_texts[number] for number in numbers],
            {str(place): self.qrels[str(number)] for place, number in enumerate(numbers)},
            self.bank,
        )


class Table:
    """Rows of figures, and their values by query.

    Attributes:
        held_out: what is searched, by name; the papers are `titles`.
        figures: "ROW: METRIC" -> mean.
        by_query: row, name of what was searched, metric -> value by query.

    """

    def __init__(self, held_out: Mapping[str, Texts]) -> None:
        self.held_out = held_out
        self.figures: dict[str, float] = {}
        self.by_query: dict[tuple[str, str, str], Mapping[str, float]] = {}

    def add(self, row: str, space: Space, quantizer: ProductQuantizer | None = None) -> None:
        """A first stage alone, by codes or, without a quantiser, by exact scores."""
        for name, texts in self.held_out.items():
            rows, _ = first_stage(texts, space, quantizer, DEPTH)
            self._enter(row, name, rows)

    def add_reranked(self, row: str, quantizer: ProductQuantizer) -> None:
        """Candidates by code, ordered by the original vectors."""
        from sememe.objectives.contrastive_fitting import Space

        for name, texts in self.held_out.items():
            rows, _ = first_stage(texts, Space(), quantizer, CANDIDATES)
            self._enter(row, name, rescored(texts, rows))

    def add_binary(self, row: str) -> None:
        """Candidates by one-bit codes, ordered by the original vectors."""
        from sememe.search.coarse.rabitq import RaBitQ

        for name, texts in self.held_out.items():
            codes = RaBitQ.fit(texts.bank)
            codes.extend(texts.bank)
            everything = np.ones(len(texts.documents), bool)
            self._enter(
                row, name, rescored(texts, [codes.candidates(q, CANDIDATES, everything) for q in texts.queries])
            )

    def add_words(self, row: str) -> None:
        """BM25."""
        from sememe.lexical.bm25 import Lexical
        from sememe.search.top_items import top_items

        for name, texts in self.held_out.items():
            lexical = Lexical.fit(texts.document_texts, "english")
            everything = np.ones(len(texts.documents), bool)
            found = [top_items(lexical.score(query), everything, DEPTH, at_least=0.0) for query in texts.query_texts]
            self._enter(row, name, found)

    def _enter(self, row: str, name: str, rows: Sequence[np.ndarray] | np.ndarray) -> None:
        from sememe.evaluation.metrics import query_metrics

        metrics = TITLE_METRICS if name == TITLES else SET_METRICS
        for metric, values in query_metrics(run_of(rows), self.held_out[name].qrels, metrics).items():
            column = metric if name == TITLES else f"{name} {metric}"
            self.figures[f"{row}: {column}"] = float(np.mean(list(values.values())))
            self.by_query[row, name, metric] = values


def first_stage(
    texts: Texts, space: Space, quantizer: ProductQuantizer | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best documents of each query and their scores, by codes or exact; both (n_queries, k)."""
    queries, documents = space.queries(texts.queries), space.documents(texts.documents)
    k = min(k, len(documents))
    if quantizer is not None:
        scores, rows = quantizer.search(queries, quantizer.encode(documents), k)
        return rows, scores
    exact = queries @ documents.T
    rows = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(exact, rows, axis=1)


def rescored(texts: Texts, rows: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """Candidates of each query in the order of their exact scores."""
    from sememe.search.dense import rescore

    return [rescore(texts.bank, query, found, DEPTH).rows for query, found in zip(texts.queries, rows, strict=True)]


def run_of(rows: Sequence[np.ndarray] | np.ndarray) -> dict[str, dict[str, float]]:
    """Rows of each query, best first, as a run."""
    return {
        str(number): {str(row): -float(rank) for rank, row in enumerate(found.tolist())}
        for number, found in enumerate(rows)
    }


def quantizer_of(space: Space) -> ProductQuantizer:
    """The quantiser of a trained space."""
    from sememe.search.coarse.product import ProductQuantizer

    assert space.codebook is not None
    return ProductQuantizer(space.codebook, space.rotation)


def bank_of(path: Path, vectors: np.ndarray) -> Bank:
    """A new bank of vectors."""
    from sememe.bank import Bank

    bank = Bank.create(path, vectors.shape[1], provenance={})
    bank.append(vectors)
    bank.commit()
    return bank
