"""Evaluating pipelines on a test collection: quality, latency and memory in one table."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sememe.corpus import read
from sememe.errors import InputError
from sememe.models import Encoder
from sememe.progress import track
from sememe.search.collection import read_collection
from sememe.search.index import Index
from sememe.search.metrics import evaluate_run
from sememe.search.request import MODES
from sememe.search.runs import write_run

DEPTH = 1000
LATENCY_QUERIES = 100


def evaluate(
    index: Index, collection: Path, pipelines: Sequence[str], *, split: str = "test", runs: Path | None = None
) -> dict[str, dict[str, float]]:
    """Measure pipelines over all judged queries of a BEIR folder.

    Args:
        index: an index of the folder's corpus.
        collection: the BEIR folder.
        pipelines: `dense`, `lexical`, `hybrid`.
        split: which judgements.
        runs: a folder for TREC run files, one a pipeline.

    Returns:
        By pipeline: ndcg@10, recall@100, mrr@10, map (means over queries; 1,000 hits deep), ms_p50 and ms_p99 (one
        query at a time, its encoding included, 10 hits) and memory_mib (peak of this process).

    Raises:
        InputError: there is no such pipeline, or the collection cannot be read.

    """
    unknown = [name for name in pipelines if name not in MODES]
    if unknown or not pipelines:
        raise InputError(
            f"there is no pipeline {', '.join(map(repr, unknown)) or 'named'}", hint=f"Choose from {', '.join(MODES)}"
        )
    queries, qrels = read_collection(collection, split)
    report = {}
    for name in pipelines:
        rankings = index.rank_batch(list(queries.values()), DEPTH, mode=name)
        run = dict(zip(queries, rankings, strict=True))
        if runs is not None:
            write_run(runs / f"{name}.trec", run, tag=name)
        report[name] = {**evaluate_run(run, qrels), **_latency(index, list(queries.values()), name)}
    return report


def index_for(collection: Path, path: Path | None, encoder_name: str) -> Index:
    """The index to evaluate: the one at `path`, or one made from the collection and kept in the cache folder."""
    if path is not None:
        return Index.open(path)
    corpus = read(collection)
    encoder = Encoder.load(encoder_name)
    key = hashlib.sha256(f"{collection.resolve()}\n{encoder.fingerprint}".encode()).hexdigest()[:16]
    cache = Path(os.environ.get("SEMEME_CACHE", Path.home() / ".cache" / "sememe"))
    return Index.build(corpus, encoder, cache / "evaluation" / f"{collection.resolve().name}-{key}.index", resume=True)


def _latency(index: Index, queries: Sequence[str], pipeline: str) -> dict[str, float]:
    index.search(queries[0], mode=pipeline)
    milliseconds = []
    for query in track(queries[:LATENCY_QUERIES], f"Timing {pipeline}", min(len(queries), LATENCY_QUERIES)):
        started = time.perf_counter()
        index.search(query, mode=pipeline)
        milliseconds.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.percentile(milliseconds, [50, 99])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return {"ms_p50": float(p50), "ms_p99": float(p99), "memory_mib": float(peak)}
