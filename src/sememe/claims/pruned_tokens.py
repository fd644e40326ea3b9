"""Texts as the vectors of their tokens, and what is left of late interaction when few of them are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sememe.bank import Bank
    from sememe.evaluation.metrics import Run
    from sememe.multi_vector.pruning import Kind

DEPTH = 100
BLOCK = 512


@dataclass(frozen=True)
class Row:
    """How a row of the table keeps fewer vectors.

    Attributes:
        query: the pruning of queries.
        document: that of documents.
        by_ward: clusters are found by Ward's method instead of k-means.

    """

    query: str
    document: str
    by_ward: bool = False


@dataclass(frozen=True)
class Ragged:
    """The vectors of texts, one after another."""

    vectors: np.ndarray | Bank
    starts: np.ndarray

    @classmethod
    def of(cls, vectors: Sequence[np.ndarray]) -> Ragged:
        counts = np.array([len(item) for item in vectors])
        return cls(np.concatenate(vectors), np.cumsum(counts) - counts)

    @classmethod
    def of_bank(cls, bank: Bank) -> Ragged:
        return cls(bank, np.flatnonzero(np.diff(bank.documents, prepend=-1)))

    def texts(self, first: int, last: int) -> list[np.ndarray]:
        """The vectors of texts `first` to `last`."""
        ends = np.append(self.starts[1:], len(self.vectors))
        rows = np.asarray(self.vectors[int(self.starts[first]) : int(ends[last - 1])], np.float32)
        return np.split(rows, self.starts[first + 1 : last] - self.starts[first])


@dataclass(frozen=True)
class Collection:
    """A test collection as token vectors, and the runs of rankers that need none."""

    queries: Sequence[str]
    documents: Sequence[str]
    qrels: Mapping[str, Mapping[str, int]]
    query_tokens: Ragged
    document_tokens: Ragged
    runs: Mapping[str, Run] = field(default_factory=dict)


def runs_of(collection: Collection, rows: Mapping[str, Row]) -> tuple[dict[str, Run], dict[str, float]]:
    """The run of each row by exact scores, and how many vectors a document has in it on average."""
    from sememe.multi_vector.maxsim import score_documents

    every = collection.query_tokens.texts(0, len(collection.queries))
    asked = {name: Ragged.of(pruned(every, row.query, "query", row.by_ward)) for name, row in rows.items()}
    scores = {name: np.empty((len(collection.queries), len(collection.documents)), np.float32) for name in rows}
    totals = dict.fromkeys(rows, 0)
    for first in range(0, len(collection.documents), BLOCK):
        last = min(first + BLOCK, len(collection.documents))
        tokens = collection.document_tokens.texts(first, last)
        for name, row in rows.items():
            kept = Ragged.of(pruned(tokens, row.document, "document", row.by_ward))
            totals[name] += len(kept.vectors)
            queries = np.asarray(asked[name].vectors)
            scores[name][:, first:last] = score_documents(
                queries, asked[name].starts, np.asarray(kept.vectors), kept.starts
            )
    runs = {name: run_of(collection, of_row) for name, of_row in scores.items()}
    return runs, {name: total / len(collection.documents) for name, total in totals.items()}


def pruned(texts: Sequence[np.ndarray], method: str, kind: Kind, by_ward: bool) -> list[np.ndarray]:
    """What is left of the token vectors of each text."""
    import torch

    from sememe.models.multi_vector import TokenVectors, padded
    from sememe.multi_vector.pruning import Pruning, prune
    from sememe.search.multi_vector.posthoc import ward

    if method == "mv":
        return list(texts)
    if by_ward:
        return [ward(text, Pruning.parse(method).count(len(text), kind)) for text in texts]
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), 32):
        batch = order[start : start + 32]
        vectors, mask = padded([TokenVectors(texts[number], np.zeros((0, 2), np.int32)) for number in batch])
        kept, kept_mask = prune(torch.from_numpy(vectors), torch.from_numpy(mask), method, kind)
        found |= {number: kept[row][kept_mask[row]].numpy() for row, number in enumerate(batch)}
    return [found[number] for number in range(len(texts))]


def run_of(collection: Collection, scores: np.ndarray) -> Run:
    """The best documents of each query; scores (n_queries, n_documents)."""
    n = min(DEPTH, scores.shape[1])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    return {
        query: {collection.documents[column]: float(scores[row, column]) for column in best[row]}
        for row, query in enumerate(collection.queries)
    }
