"""The feed of papers on all papers of the shared data: indexing, search, similar papers, feeds and the map.

Vectors are WordLlama's, so that tens of thousands of abstracts are encoded in seconds; times do not depend on what a
vector means, and MiniLM's have 384 dimensions instead of 256. The peer of *for me* is what arxiv-sanity-lite does for
each list: fit a linear SVM on tf-idf of all papers and rank them; tf-idf is made before, as there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.harness import alternate, comparison
from sememe.claims import shared_folder
from sememe.papers import PaperStore
from sememe.papers.collection import PaperCollection
from sememe.papers.editing import Edit, edit_interest
from sememe.papers.feed import feed
from sememe.papers.importing import PaperSource
from sememe.papers.map import field_map

DATA = ("papers-arxiv", "papers-acl", "papers-ml")
N_QUERIES = 100
WORDS = 6
FEW_RUNS = 30
PEER = "tf-idf + LinearSVC on all papers"


def run(n_queries: int = N_QUERIES) -> dict[str, Any]:
    """Seconds of the long jobs, percentiles of the short ones, and *for me* beside its peer."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = {"import": _timed(lambda: _import(folder))}
        seconds["encode and index"] = _timed(lambda: _index(folder))
        seconds["open"] = _timed(lambda: PaperCollection.open(folder).close())
        with PaperCollection.open(folder) as collection:
            seconds["first features"] = _timed(lambda: collection.features)
            seconds["map"] = _timed(lambda: field_map(collection))
            papers = collection.store.select()
            rng = np.random.default_rng(0)
            chosen = [papers[number] for number in rng.permutation(len(papers))[:n_queries]]
            ids = [paper.id for paper in chosen]
            edit_interest(collection.store, "me", Edit(like=ids[:5], unlike=ids[5:8]))
            return {
                "papers": len(papers),
                "encoder": "wordllama, 256 dimensions",
                "seconds": seconds,
                "milliseconds": _latencies(
                    collection, [" ".join(paper.title.split()[:WORDS]) for paper in chosen], ids
                ),
                "comparisons": [_for_me_and_peer(collection, [f"{one.title} {one.abstract}" for one in papers])],
            }


def _import(folder: str) -> None:
    with PaperStore.open(folder, create=True) as store:
        for name in DATA:
            store.add(PaperSource(str(shared_folder() / "data" / name / "papers.jsonl.gz")))


def _index(folder: str) -> None:
    with PaperCollection.open(folder, encoder="wordllama") as collection:
        collection.catch_up()


def _latencies(collection: PaperCollection, queries: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, float]]:
    newest = collection.store.select(limit=1)[0].date
    assert newest is not None
    since = newest.replace(month=1, day=1)
    for query in queries[:8]:
        collection.store.mark(collection.search(query, 1)[0].paper.id, "saved")
    jobs: dict[str, Callable[[int], Any]] = {
        "search hybrid": lambda n: collection.search(queries[n]),
        "search dense": lambda n: collection.search(queries[n], mode="dense"),
        "search lexical": lambda n: collection.search(queries[n], mode="lexical"),
        "search hybrid, since January": lambda n: collection.search(queries[n], since=since),
        "search hybrid, saved": lambda n: collection.search(queries[n], mark="saved"),
        "similar": lambda n: collection.similar(ids[n]),
        "feed day newest": lambda _: feed(collection),
        "feed month newest": lambda _: feed(collection, period="month"),
        "feed month trending": lambda _: feed(collection, period="month", order="trending"),
        "feed month for-me": lambda _: feed(collection, period="month", order="for-me"),
        "feed all for-me": lambda _: feed(collection, period="all", order="for-me"),
    }
    return {name: _percentiles(job, len(queries) if "search" in name else FEW_RUNS) for name, job in jobs.items()}


def _percentiles(job: Callable[[int], Any], runs: int) -> dict[str, float]:
    """Wall and processor milliseconds of a job; on a busy machine only the processor's say something."""
    job(0)
    wall, processor = [], []
    for number in range(runs):
        started, used = time.perf_counter(), time.process_time()
        job(number)
        wall.append(1000 * (time.perf_counter() - started))
        processor.append(1000 * (time.process_time() - used))
    found = {"runs": float(runs)}
    for name, times in (("", wall), ("processor ", processor)):
        found[f"{name}p50"], found[f"{name}p99"] = (float(np.quantile(times, share)) for share in (0.5, 0.99))
    return found


def _for_me_and_peer(collection: PaperCollection, texts: Sequence[str]) -> dict[str, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    options = {"max_features": 20_000, "sublinear_tf": True, "max_df": 0.1, "min_df": 5, "stop_words": "english"}
    tfidf = TfidfVectorizer(ngram_range=(1, 2), **options).fit_transform(texts)
    labels = np.zeros(len(texts))
    labels[np.random.default_rng(0).permutation(len(texts))[:5]] = 1

    def peer() -> None:
        classifier = LinearSVC(class_weight="balanced", C=0.01, max_iter=10_000, tol=1e-6)
        np.argsort(-classifier.fit(tfidf, labels).decision_function(tfidf))

    def ours() -> None:
        feed(collection, period="all", order="for-me", limit=20)

    seconds = alternate({"ours": ours, PEER: peer})
    job = f"learn from 5 + and 3 − and rank {len(texts):,} papers"
    return comparison(job, seconds["ours"], PEER, seconds[PEER], unit="s")


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
