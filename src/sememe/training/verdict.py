"""What training was good for, on texts that it never saw: a table, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sememe.evaluation.metrics import Comparison, compare
from sememe.training.search_task import METRICS, ByQuery

NO_TASK = (
    "No verdict: the corpus has too few documents to hold some out. Judge the encoder with --eval before you use it."
)


@dataclass(frozen=True)
class Verdict:
    """How the trained encoder compares with its start and with BM25.

    Attributes:
        table: system -> metric -> mean over the questions.
        change: metric -> the trained encoder against the start.
        questions: how many queries it is over.
        words: one sentence a finding, the most important first.
        is_better: True or False where the interval of the change of nDCG@10 leaves out 0, None where it does not.

    """

    table: Mapping[str, Mapping[str, float]]
    change: Mapping[str, Comparison]
    questions: int
    words: tuple[str, ...]
    is_better: bool | None

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "words": list(self.words)}


def judge(start: ByQuery, trained: ByQuery, bm25: ByQuery, *, on: str = "held-out questions") -> Verdict:
    """Compare on the same queries; `on` says what they are."""
    systems = {"BM25": bm25, "start": start, "trained": trained}
    table = {
        name: {metric: float(np.mean(list(found[metric].values()))) for metric in METRICS}
        for name, found in systems.items()
    }
    change = {metric: compare(trained[metric], start[metric]) for metric in METRICS}
    found = change["ndcg@10"]
    better = True if found.low > 0 else False if found.high < 0 else None
    words = (_against_start(found, better, on), _against_bm25(table))
    return Verdict(table, change, found.n_queries, words, better)


def no_verdict() -> Verdict:
    """What is said when there was nothing to measure on."""
    return Verdict({}, {}, 0, (NO_TASK,), None)


def _against_start(change: Comparison, better: bool | None, on: str) -> str:
    by = f"nDCG@10 {change.difference:+.3f}, 95% interval {change.low:+.3f} to {change.high:+.3f}"
    on = f"on {change.n_queries} {on}"
    if better is None:
        return f"NO DIFFERENCE from the start could be shown {on} ({by})."
    if better:
        return f"Better than the start {on} ({by})."
    return f"WORSE than the start {on} ({by}): keep the encoder that you had."


def _against_bm25(table: Mapping[str, Mapping[str, float]]) -> str:
    ours, words = table["trained"], table["BM25"]
    precise, wide = (f"{metric} {ours[metric]:.3f} against {words[metric]:.3f}" for metric in METRICS)
    if ours["ndcg@10"] > words["ndcg@10"]:
        return f"Ahead of BM25 ({precise})."
    if ours["ndcg@10"] == words["ndcg@10"]:
        return f"Level with BM25 ({precise})."
    if ours["recall@100"] > words["recall@100"]:
        return f"BM25 stays ahead in {precise}, but more is found in the top 100 ({wide}): use both, --mode hybrid."
    return f"BM25 stays ahead ({precise}; {wide}): search with --mode hybrid."
