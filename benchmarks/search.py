"""Search latency, one query at a time: dense (exact, binary codes with rerank) and lexical, against their peers.

Ours is the product's own `Index.search`, which also reads the documents of the hits from disk and returns them;
the peers return row numbers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.harness import RUNS, alternate, comparison, in_fresh_process, machine_limits
from benchmarks.made import TableEncoder, clustered_vectors, documents, zipf_texts
from sememe.search import Index

SIZES = (10_000, 100_000)
N_QUERIES = 200
K = 10
FAISS, SENTENCE_TRANSFORMERS, BM25S = "faiss IndexFlatIP", "sentence-transformers semantic_search", "bm25s"
Search = Callable[[Any], Any]


def run(sizes: Sequence[int] = SIZES, n_queries: int = N_QUERIES) -> dict[str, Any]:
    """All comparisons at all sizes."""
    lines = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            lines += _dense(Path(folder), n, n_queries)
        with tempfile.TemporaryDirectory() as folder:
            lines += _lexical(Path(folder), n, n_queries)
    return {"comparisons": lines}


def memory_of(contestant: str, folder: str) -> int:
    """Open what `_dense` left in a folder and search it; called in a process whose peak memory is measured."""
    queries = np.load(Path(folder) / "queries.npy")[:20]
    search = _contestant(contestant, Path(folder))
    for query in queries:
        search(query)
    return len(queries)


def _dense(folder: Path, n: int, n_queries: int) -> list[dict[str, Any]]:
    vectors, queries = clustered_vectors(n, n_queries)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    texts = [f"n{row}" for row in range(n)]
    for coarse in ("exact", "binary"):
        encoder = cast("Any", TableEncoder(texts, vectors))
        Index.build(documents(texts), encoder, folder / f"{coarse}.index", coarse=coarse).close()
    names = ["exact", "binary", FAISS, SENTENCE_TRANSFORMERS]
    contestants = {name: _contestant(name, folder) for name in names}
    times = _latencies(contestants, list(queries))
    memory = {name: in_fresh_process("benchmarks.search:memory_of", name, str(folder))[1] for name in names}
    truth = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :K]
    nanoseconds = vectors.nbytes / machine_limits()["read_gb_s"]
    lines = []
    for ours, limit in (("exact", nanoseconds * 1e-6), ("binary", None)):
        found = [[hit.row for hit in contestants[ours](query)] for query in queries]
        recall = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth.tolist(), strict=True)]))
        for peer in (FAISS, SENTENCE_TRANSFORMERS):
            job = f"dense {ours}, {n:,} x {vectors.shape[1]}"
            lines += _percentiles(job, times, ours, peer, limit=limit, recall=recall)
            lines.append(comparison(f"{job}, peak memory", [memory[ours]], peer, [memory[peer]], unit="MiB"))
    return lines


def _contestant(name: str, folder: Path) -> Search:
    if name in ("exact", "binary"):
        index = Index.open(folder / f"{name}.index")
        return lambda query: index.search(query, K)
    vectors = np.load(folder / "vectors.npy")
    if name == FAISS:
        import faiss

        flat: Any = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        return lambda query: flat.search(query[None], K)
    import torch
    from sentence_transformers import util

    corpus = torch.from_numpy(vectors)
    return lambda query: util.semantic_search(
        torch.from_numpy(query[None]), corpus, top_k=K, score_function=util.dot_score
    )


def _lexical(folder: Path, n: int, n_queries: int) -> list[dict[str, Any]]:
    import bm25s

    from sememe.lexical.words import tokenizer

    texts, queries = zipf_texts(n), zipf_texts(n_queries, 6, random_state=1)
    encoder = cast("Any", TableEncoder(texts, np.ones((n, 2), np.float32)))
    tokenize = tokenizer("english")
    rival = bm25s.BM25()
    rival.index([tokenize(text) for text in texts], show_progress=False)
    with Index.build(documents(texts), encoder, folder / "words.index") as index:
        contestants: dict[str, Search] = {
            "ours": lambda query: index.search(query, K, mode="lexical"),
            BM25S: lambda query: rival.retrieve([tokenize(query)], k=K, show_progress=False),
        }
        times = _latencies(contestants, queries)
        differences = [_difference(contestants["ours"](query), contestants[BM25S](query)) for query in queries]
    return _percentiles(f"lexical, {n:,} texts", times, "ours", BM25S, largest_score_difference=max(differences))


def _difference(hits: Any, theirs: Any) -> float:
    scores = np.zeros(K)
    scores[: len(hits)] = [hit.score for hit in hits]
    return float(np.abs(scores - theirs.scores[0]).max())


def _latencies(contestants: Mapping[str, Search], queries: Sequence[Any]) -> dict[str, list[list[float]]]:
    """Milliseconds of every query in every counted run, by contestant."""
    runs: dict[str, list[list[float]]] = {name: [] for name in contestants}

    def all_queries(name: str, search: Search) -> None:
        times = []
        for query in queries:
            started = time.perf_counter()
            search(query)
            times.append(1000 * (time.perf_counter() - started))
        runs[name].append(times)

    alternate({name: lambda n=name, s=search: all_queries(n, s) for name, search in contestants.items()})  # type: ignore[misc]
    return {name: times[-RUNS:] for name, times in runs.items()}


def _percentiles(
    job: str,
    times: Mapping[str, Sequence[Sequence[float]]],
    ours: str,
    peer: str,
    *,
    limit: float | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    return [
        comparison(
            f"{job}, p{q}",
            [float(np.percentile(run, q)) for run in times[ours]],
            peer,
            [float(np.percentile(run, q)) for run in times[peer]],
            unit="ms",
            limit=limit if q == 50 else None,
            limit_by="memory bandwidth",
            **more,
        )
        for q in (50, 99)
    ]
