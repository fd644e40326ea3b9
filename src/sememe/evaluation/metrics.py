"""How well rankings answer judged queries: the one implementation of retrieval metrics, and a paired test.

The definitions are trec_eval's. Documents are ranked by score, highest first, scores compared as 32-bit floats;
equal scores by document id, highest first. A document without a judgement, or with one of 0 or below, is not
relevant. Means are over all judged queries: one that the run does not answer counts 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError

Run = Mapping[str, Mapping[str, float]]
"""Query id -> document id -> score."""
Qrels = Mapping[str, Mapping[str, int]]
"""Query id -> document id -> relevance."""

DEFAULT_METRICS = ("ndcg@10", "recall@100", "mrr@10", "map")
_RESAMPLES_AT_ONCE = 256


def evaluate_run(run: Run, qrels: Qrels, metrics: Sequence[str] = DEFAULT_METRICS) -> dict[str, float]:
    """Mean metrics of a run over all judged queries.

    Args:
        run: scores by query and document; queries without judgements are left out.
        qrels: the judgements.
        metrics: `ndcg@k`, `recall@k`, `precision@k`, `mrr@k`, `mrr` or `map`.

    Returns:
        The mean of each metric, by its name.

    Raises:
        InputError: a metric is unknown, there are no judgements, or a score is NaN.

    """
    return {name: float(np.mean(list(values.values()))) for name, values in query_metrics(run, qrels, metrics).items()}


def query_metrics(run: Run, qrels: Qrels, metrics: Sequence[str] = DEFAULT_METRICS) -> dict[str, dict[str, float]]:
    """The metrics of every judged query: metric -> query id -> value. Arguments and errors as `evaluate_run`."""
    if not qrels:
        raise InputError("there are no judged queries to evaluate")
    measures = [_parse(name) for name in metrics]
    values: dict[str, dict[str, float]] = {name: {} for name in metrics}
    for query, judged in qrels.items():
        ranked = _ranked_gains(query, run.get(query, {}), judged)
        ideal = np.sort(np.array([max(0, gain) for gain in judged.values()], np.float64))[::-1]
        for name, (measure, k) in zip(metrics, measures, strict=True):
            values[name][query] = measure(ranked, ideal, k)
    return values


def ranking(scores: Mapping[str, float]) -> list[str]:
    """The document ids of one query's scores, best first, ordered as trec_eval orders them."""
    with np.errstate(over="ignore"):  # beyond 32 bits all scores are one infinity, as in trec_eval
        rounded = np.fromiter(scores.values(), np.float64, len(scores)).astype(np.float32).tolist()
    return [document for _, document in sorted(zip(rounded, scores, strict=True), reverse=True)]


@dataclass(frozen=True)
class Comparison:
    """Whether system A differs from system B on the same queries.

    Attributes:
        difference: mean of A minus mean of B.
        low: lower end of the bootstrap interval of the difference.
        high: upper end.
        p: two-sided p-value of the randomisation test: how often chance alone gives a difference as large.
        n_queries: how many queries were compared.

    """

    difference: float
    low: float
    high: float
    p: float
    n_queries: int


def compare(
    a: Mapping[str, float],
    b: Mapping[str, float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    random_state: int = 0,
) -> Comparison:
    """Compare two systems query by query.

    The p-value is that of Fisher's paired randomisation test: under the hypothesis that the systems are alike, the
    sign of each query's difference is a coin flip. The interval is the percentile bootstrap's over queries. Smucker,
    Allan and Carterette (CIKM 2007) compare both with the t-test.

    Args:
        a: value by query id, such as one metric of `query_metrics`.
        b: the same for the other system.
        confidence: of the interval.
        resamples: random flips, and random samples of queries.
        random_state: seed.

    Raises:
        InputError: the systems were measured on different queries, or on none.

    """
    if a.keys() != b.keys() or not a:
        differing = sorted(a.keys() ^ b.keys())[:3]
        raise InputError(
            f"the two systems must be measured on the same queries; {', '.join(differing) or 'there are none'}"
            f"{' is in one of them only' if differing else ''}"
        )
    differences = np.array([a[query] - b[query] for query in a], np.float64)
    rng = np.random.default_rng(random_state)
    flipped, means = [], []
    for count in _portions(resamples):
        signs = rng.integers(0, 2, (count, len(differences)), dtype=np.int8) * 2 - 1
        flipped.append(signs @ differences / len(differences))
        means.append(differences[rng.integers(0, len(differences), (count, len(differences)))].mean(axis=1))
    observed = float(differences.mean())
    # Rounding must not make a flip that gives the very same difference look smaller.
    as_large = np.abs(np.concatenate(flipped)) >= abs(observed) - 1e-12
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    p = (1 + int(as_large.sum())) / (1 + resamples)
    return Comparison(observed, float(low), float(high), p, len(differences))


Measure = Callable[[np.ndarray, np.ndarray, int | None], float]


def _ndcg(ranked: np.ndarray, ideal: np.ndarray, k: int | None) -> float:
    """Järvelin and Kekäläinen (2002) with linear gain and discount 1 / log2(rank + 1)."""
    best = _discounted(ideal[:k])
    return _discounted(ranked[:k]) / best if best else 0.0


def _discounted(gains: np.ndarray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def _recall(ranked: np.ndarray, ideal: np.ndarray, k: int | None) -> float:
    relevant = np.count_nonzero(ideal)
    return np.count_nonzero(ranked[:k]) / relevant if relevant else 0.0


def _precision(ranked: np.ndarray, ideal: np.ndarray, k: int | None) -> float:
    del ideal
    assert k is not None
    return np.count_nonzero(ranked[:k]) / k


def _reciprocal_rank(ranked: np.ndarray, ideal: np.ndarray, k: int | None) -> float:
    del ideal
    found = np.flatnonzero(ranked[:k])
    return 1.0 / float(found[0] + 1) if len(found) else 0.0


def _average_precision(ranked: np.ndarray, ideal: np.ndarray, k: int | None) -> float:
    del k
    found, relevant = np.flatnonzero(ranked), np.count_nonzero(ideal)
    return float((np.arange(1, len(found) + 1) / (found + 1)).sum()) / relevant if relevant else 0.0


_MEASURES: dict[str, tuple[Measure, bool, bool]] = {  # name: the measure, may it have @k, must it
    "ndcg": (_ndcg, True, True),
    "recall": (_recall, True, True),
    "precision": (_precision, True, True),
    "mrr": (_reciprocal_rank, True, False),
    "map": (_average_precision, False, False),
}


def _parse(name: str) -> tuple[Measure, int | None]:
    stem, at, depth = name.partition("@")
    known = _MEASURES.get(stem)
    if known is not None:
        measure, may, must = known
        if not at and not must:
            return measure, None
        if at and may and depth.isascii() and depth.isdigit() and int(depth) > 0:
            return measure, int(depth)
    raise InputError(f"there is no metric {name!r}", hint="Choose from ndcg@k, recall@k, precision@k, mrr@k, mrr, map")


def _ranked_gains(query: str, scores: Mapping[str, float], judged: Mapping[str, int]) -> np.ndarray:
    for document, score in scores.items():
        if math.isnan(score):
            raise InputError(f"the score of document {document!r} is NaN", where=f"query {query!r}")
    return np.array([max(0, judged.get(document, 0)) for document in ranking(scores)], np.float64)


def _portions(total: int) -> Iterator[int]:
    """Sizes of at most `_RESAMPLES_AT_ONCE` that add up to `total`."""
    for start in range(0, total, _RESAMPLES_AT_ONCE):
        yield min(_RESAMPLES_AT_ONCE, total - start)
