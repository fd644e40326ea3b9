"""Evaluating pipelines on a test collection: quality, latency and memory in one table."""

from __future__ import annotations

import hashlib
import re
import resource
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sememe import disk
from sememe.corpus import read
from sememe.errors import InputError
from sememe.evaluation.collection import read_collection
from sememe.evaluation.metrics import DEFAULT_METRICS, Comparison, Run, compare, evaluate_run, query_metrics
from sememe.evaluation.runs import write_run
from sememe.models import Encoder
from sememe.progress import track
from sememe.search.index import Index
from sememe.search.opening import open_index
from sememe.search.pipeline import Pipeline, Ranker, parse_pipeline, ranker_of

if TYPE_CHECKING:
    from sememe.search.multi_vector import MultiVectorIndex

DEPTHS = {10: ("ndcg@10", "mrr@10"), 100: ("recall@100",), 1000: ("map",)}
"""How many hits are asked for to measure what; a first stage proposes fewer rows when fewer hits are wanted."""
LATENCY_QUERIES = 100


@dataclass(frozen=True)
class Evaluation:
    """How pipelines did on one collection.

    Attributes:
        pipelines: by name: ndcg@10, recall@100, mrr@10 and map (means over queries; of 10, 100, 10 and 1,000 hits),
            ms_p50 and ms_p99 (one query at a time, its encoding included, 10 hits), coarse_mib (what the first stage
            holds in memory) and memory_mib (the peak of this process so far).
        comparisons: every pipeline but the first against the first, by name and metric. `adjusted` holds the p-values
            after Holm's correction for all of them.
        adjusted: by name and metric.

    """

    pipelines: Mapping[str, Mapping[str, float]]
    comparisons: Mapping[str, Mapping[str, Comparison]]
    adjusted: Mapping[str, Mapping[str, float]]


def evaluate(
    index: Index | MultiVectorIndex,
    collection: Path,
    pipelines: Sequence[str],
    *,
    split: str = "test",
    runs: Path | None = None,
) -> Evaluation:
    """Measure pipelines over all judged queries of a BEIR folder.

    Args:
        index: an index of the folder's corpus.
        collection: the BEIR folder.
        pipelines: names as `sememe.search.pipeline.parse_pipeline` reads them; the others are compared with the first.
        split: which judgements.
        runs: a folder for TREC run files, one a pipeline.

    Raises:
        InputError: there is no such pipeline, it is for another kind of index, or the collection cannot be read.
        ArtifactError: an index that a pipeline names cannot be opened.

    """
    if not pipelines:
        raise InputError("no pipeline is named", hint="Such as dense,lexical,hybrid")
    chosen = [parse_pipeline(name) for name in pipelines]
    queries, qrels = read_collection(collection, split)
    texts, report = list(queries.values()), {}
    by_query: dict[str, dict[str, dict[str, float]]] = {}
    with ExitStack() as stack:
        rankers = [ranker_of(pipeline, _opened(pipeline, index, stack)) for pipeline in chosen]
        for pipeline, ranker in zip(chosen, rankers, strict=True):
            means: dict[str, float] = {}
            by_query[pipeline.name] = {}
            for depth, metrics in DEPTHS.items():
                run: Run = dict(zip(queries, ranker.rank(texts, depth), strict=True))
                means |= evaluate_run(run, qrels, metrics)
                by_query[pipeline.name] |= query_metrics(run, qrels, metrics)
            if runs is not None:
                file = re.sub("[^A-Za-z0-9.+_]", "-", pipeline.name)
                write_run(runs / f"{file}.trec", run, tag="".join(pipeline.name.split()))
            in_order = {metric: means[metric] for metric in DEFAULT_METRICS}
            report[pipeline.name] = {**in_order, **_cost(pipeline.name, ranker, texts)}
    first, *others = [pipeline.name for pipeline in chosen]
    comparisons = {name: _compared(by_query[name], by_query[first]) for name in others}
    return Evaluation(report, comparisons, _holm(comparisons))


def _opened(pipeline: Pipeline, index: Index | MultiVectorIndex, stack: ExitStack) -> Index | MultiVectorIndex:
    """The index that a pipeline searches, which `stack` closes if it is another one."""
    if pipeline.index is None:
        return index
    other = open_index(pipeline.index)
    stack.callback(other.close)
    return other


def _compared(a: Mapping[str, Mapping[str, float]], b: Mapping[str, Mapping[str, float]]) -> dict[str, Comparison]:
    return {metric: compare(a[metric], b[metric]) for metric in DEFAULT_METRICS}


def _holm(comparisons: Mapping[str, Mapping[str, Comparison]]) -> dict[str, dict[str, float]]:
    """Holm's step-down correction of the p-values of one metric over all systems (Holm 1979)."""
    adjusted: dict[str, dict[str, float]] = {name: {} for name in comparisons}
    for metric in DEFAULT_METRICS:
        highest = 0.0
        ordered = sorted(comparisons, key=lambda name: comparisons[name][metric].p)
        for place, name in enumerate(ordered):
            highest = max(highest, min(1.0, (len(ordered) - place) * comparisons[name][metric].p))
            adjusted[name][metric] = highest
    return adjusted


def index_for(collection: Path, path: Path | None, encoder_name: str) -> Index | MultiVectorIndex:
    """The index to evaluate: the one at `path`, or one made from the collection and kept in the cache folder."""
    if path is not None:
        return open_index(path)
    corpus = read(collection)
    encoder = Encoder.load(encoder_name)
    key = hashlib.sha256(f"{collection.resolve()}\n{encoder.fingerprint}".encode()).hexdigest()[:16]
    made = disk.cache_folder() / "evaluation"
    return Index.build(corpus, encoder, made / f"{collection.resolve().name}-{key}.index", resume=True)


def _cost(name: str, ranker: Ranker, queries: Sequence[str]) -> dict[str, float]:
    ranker.search(queries[0])
    milliseconds = []
    for query in track(queries[:LATENCY_QUERIES], f"Timing {name}", min(len(queries), LATENCY_QUERIES)):
        started = time.perf_counter()
        ranker.search(query)
        milliseconds.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.percentile(milliseconds, [50, 99])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return {"ms_p50": float(p50), "ms_p99": float(p99), "coarse_mib": ranker.nbytes / 2**20, "memory_mib": float(peak)}
