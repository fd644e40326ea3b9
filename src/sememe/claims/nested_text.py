"""Cutting text embeddings: a Matryoshka adapter on frozen vectors, its baselines, and nested search with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sememe.models.encoder import normalized

DIMS = (16, 32, 64, 128, 256, 384)
BETWEEN = 48  # no size that is trained
SHORT, KEPT = (16, 32, 64), (20, 50, 100)
FUNNEL = "16:200,32:100,64:50,128:10,384:10"
"""The paper's funnel 16 -> (32, 200), (64, 100), (128, 50), (384, 10), written as how many leave every stage."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Vectors of queries and of the document that belongs to each; float32, shape (n, 384)."""

    queries: np.ndarray
    documents: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Pairs:
        return Pairs(self.queries[rows], self.documents[rows])

    def __len__(self) -> int:
        return len(self.queries)


def text_figures(train: Pairs, test: Pairs, seed: int) -> dict[str, float]:
    """nDCG@10 in percent of each method at each size, and of nested search with the Matryoshka adapter."""
    mapped: dict[str, dict[int, Pairs]] = {}
    nested = _adapted(DIMS, train, test, seed)
    full_only = _adapted(DIMS[-1:], train, test, seed)
    basis = principal_basis(np.concatenate([train.queries, train.documents]))
    projected = Pairs(test.queries @ basis, test.documents @ basis)
    separate = {m: _adapted((m,), train, test, seed) for m in DIMS[:-1]}
    mapped["raw prefix"] = dict.fromkeys(DIMS, test)
    mapped["SVD"] = dict.fromkeys(DIMS, projected)
    mapped["full-only"] = dict.fromkeys(DIMS, full_only)
    mapped["separate"] = {**separate, DIMS[-1]: full_only}
    mapped["MRL"] = dict.fromkeys((*DIMS, BETWEEN), nested)
    figures = {
        f"text {name}@{m}": quality(_exhaustive(pairs, m))
        for name, by_size in mapped.items()
        for m, pairs in sorted(by_size.items())
    }
    return {**figures, **_search_figures(nested)}


def principal_basis(X: np.ndarray) -> np.ndarray:
    """The right singular vectors of rows (n, d), the largest singular value first, as columns (d, d); not centred."""
    X = X.astype(np.float64)
    _, vectors = np.linalg.eigh(X.T @ X)
    return np.ascontiguousarray(vectors[:, ::-1]).astype(np.float32)


def quality(found: list[np.ndarray]) -> float:
    """Mean nDCG@10 in percent, where document i, and no other, belongs to query i."""
    from sememe.evaluation.metrics import evaluate_run

    run = {str(q): {str(row): -float(rank) for rank, row in enumerate(rows)} for q, rows in enumerate(found)}
    qrels = {str(q): {str(q): 1} for q in range(len(found))}
    return 100 * evaluate_run(run, qrels, ["ndcg@10"])["ndcg@10"]


def planted_pairs(n: int, seed: int) -> Pairs:
    """Pairs that share a signal in 40 of 384 directions, beside 60 directions that are as strong and not shared.

    All directions are turned at random: the first dimensions are as good as any, and strong ones may be the wrong ones.
    """
    turn, _ = np.linalg.qr(np.random.default_rng(17).standard_normal((DIMS[-1], DIMS[-1])))
    rng = np.random.default_rng([seed, 5])
    shared = rng.standard_normal((n, 40)) * 0.96 ** np.arange(40)
    sides = []
    for _ in range(2):
        x = 0.05 * rng.standard_normal((n, DIMS[-1]))
        x[:, :40] += shared + 0.2 * rng.standard_normal((n, 40))
        x[:, 40:100] += 0.8 * rng.standard_normal((n, 60))
        sides.append(normalized((x @ turn.T).astype(np.float32)))
    return Pairs(*sides)


def _adapted(dims: tuple[int, ...], train: Pairs, test: Pairs, seed: int) -> Pairs:
    from sememe.objectives.matryoshka import MatryoshkaAdapter

    adapter = MatryoshkaAdapter(dims, random_state=seed).fit(train.queries, train.documents)
    return Pairs(adapter.transform(test.queries), adapter.transform(test.documents))


def _exhaustive(pairs: Pairs, m: int) -> list[np.ndarray]:
    from sememe.search.adaptive import exhaustive_search

    return exhaustive_search(pairs.queries, pairs.documents, 10, m).rows


def _search_figures(pairs: Pairs) -> dict[str, float]:
    from sememe.search.adaptive import adaptive_search, exhaustive_search, funnel_search

    everything = exhaustive_search(pairs.queries, pairs.documents, 10, DIMS[-1])
    found = {
        search_name(short, kept): adaptive_search(pairs.queries, pairs.documents, 10, short, DIMS[-1], shortlist=kept)
        for short, kept in _grid()
    }
    found[f"search {FUNNEL}"] = funnel_search(pairs.queries, pairs.documents, FUNNEL)
    figures = {}
    for name, of_search in found.items():
        figures[name] = quality(of_search.rows)
        figures[f"{name}: agreement"] = of_search.agreement(everything)
        figures[f"{name}: times fewer multiplications"] = of_search.exhaustive_cost / of_search.cost
    return figures


def search_name(short: int, kept: int) -> str:
    """The name of the figure of adaptive search."""
    return f"search {short}:{kept},{DIMS[-1]}:10"


def _grid() -> Iterator[tuple[int, int]]:
    for short in SHORT:
        for kept in KEPT:
            yield short, kept
