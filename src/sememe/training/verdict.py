"""What training was good for, on texts that it never saw: a table, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sememe.evaluation.metrics import Comparison, compare
from sememe.training.search_task import METRICS, ByQuery

BM25, START, TRAINED = "BM25", "start", "trained"
HYBRID = {START: "start, hybrid", TRAINED: "trained, hybrid"}
"""The same encoders together with BM25."""

NO_TASK = (
    "No verdict: the corpus has too few documents to hold some out. Judge the encoder with --eval before you use it."
)
_MODES = {TRAINED: "dense", HYBRID[TRAINED]: "hybrid", BM25: "lexical"}


@dataclass(frozen=True)
class Verdict:
    """How the trained encoder compares with its start and with BM25.

    Attributes:
        table: system -> metric -> mean over the questions.
        change: metric -> the trained encoder against the start.
        questions: how many queries it is over.
        words: one sentence a finding, the most important first.
        is_better: True or False where the interval of the change of nDCG@10 leaves out 0, None where it does not.
        mode: of search, that with the highest nDCG@10; None where hybrid search was not measured.

    """

    table: Mapping[str, Mapping[str, float]]
    change: Mapping[str, Comparison]
    questions: int
    words: tuple[str, ...]
    is_better: bool | None
    mode: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "words": list(self.words)}


def judge(systems: Mapping[str, ByQuery], *, on: str = "held-out questions") -> Verdict:
    """Compare on the same queries.

    Args:
        systems: `BM25`, `START`, `TRAINED`, and both of `HYBRID` where they can be searched with.
        on: what the queries are.

    """
    table = {
        name: {metric: float(np.mean(list(found[metric].values()))) for metric in METRICS}
        for name, found in systems.items()
    }
    change = {metric: compare(systems[TRAINED][metric], systems[START][metric]) for metric in METRICS}
    found = change["ndcg@10"]
    better = True if found.low > 0 else False if found.high < 0 else None
    words = [_against_start(found, better, on), _against_bm25(systems)]
    if HYBRID[TRAINED] not in systems:
        return Verdict(table, change, found.n_queries, tuple(words), better)
    best = max(_MODES, key=lambda name: tuple(table[name][metric] for metric in METRICS))
    words.append(_advice(best, systems, table))
    return Verdict(table, change, found.n_queries, tuple(words), better, _MODES[best])


def no_verdict() -> Verdict:
    """What is said when there was nothing to measure on."""
    return Verdict({}, {}, 0, (NO_TASK,), None)


def _against_start(change: Comparison, better: bool | None, on: str) -> str:
    on = f"on {change.n_queries} {on}"
    if better is None:
        return f"NO DIFFERENCE from the start could be shown {on} (nDCG@10 {_interval(change)})."
    if better:
        return f"Better than the start {on} (nDCG@10 {_interval(change)})."
    return f"WORSE than the start {on} (nDCG@10 {_interval(change)}): keep the encoder that you had."


def _against_bm25(systems: Mapping[str, ByQuery]) -> str:
    found = _compared(systems, TRAINED, BM25)
    if found.low > 0:
        return f"Ahead of BM25 (nDCG@10 {_interval(found)})."
    if found.high < 0:
        return f"Behind BM25 (nDCG@10 {_interval(found)})."
    return f"No difference from BM25 could be shown (nDCG@10 {_interval(found)})."


def _advice(best: str, systems: Mapping[str, ByQuery], table: Mapping[str, Mapping[str, float]]) -> str:
    """How to search, and what it brings."""
    hybrid, words = HYBRID[TRAINED], "Best here with --mode"
    if best == BM25:
        return f"{words} lexical: hybrid against it {_interval(_compared(systems, hybrid, BM25))}."
    if best == TRAINED:
        return f"{words} dense, the default: against hybrid {_interval(_compared(systems, TRAINED, hybrid))}."
    against = {"BM25": BM25, "the start with hybrid": HYBRID[START]}
    found = "; ".join(
        f"against {name} {_interval(_compared(systems, hybrid, rival))}" for name, rival in against.items()
    )
    return f"{words} hybrid ({table[hybrid]['ndcg@10']:.3f}): {found}."


def _compared(systems: Mapping[str, ByQuery], system: str, rival: str) -> Comparison:
    return compare(systems[system]["ndcg@10"], systems[rival]["ndcg@10"])


def _interval(found: Comparison) -> str:
    return f"{found.difference:+.3f}, 95% interval {found.low:+.3f} to {found.high:+.3f}"
