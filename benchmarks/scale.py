"""The constants that docs/scale.md reckons with: bytes, candidates and times of each first stage, and of the rest.

Bytes and candidates are measured on real vectors (8,000 abstracts, their titles as queries, MiniLM), because made ones
are too easy to find. Times are those of a core, measured on made vectors of two sizes, so that what a query costs
anyway and what it costs for each vector can be told apart. The data set is read from `SEMEME_SHARED`; vectors are kept
where claims keep them.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made import clustered_vectors
from sememe.bank import Bank
from sememe.search.coarse.inverted import InvertedLists
from sememe.search.coarse.kinds import CODES, parse_coarse
from sememe.search.coarse.stage import Coarse

STAGES = ("binary", "pq:48", "ivf", "sign", "prefix:128")
N_TEXTS, N_QUERIES = 8_000, 500
SIZES = (1_000, 2_000, 4_000, 8_000)
TIMED = (50_000, 200_000)
TIMED_QUERIES = 30
K, TARGET = 10, 0.98
MOST_CANDIDATES = 1_536
STEP = 1.2
STORED = ("float32", "float16", "int8")
SCATTERED = 200
Measures = dict[str, Any]


def run(n_texts: int = N_TEXTS, timed: Sequence[int] = TIMED) -> Measures:
    """All constants, by name."""
    texts, documents, queries = _real(n_texts)
    sizes = [n_texts * size // N_TEXTS for size in SIZES]
    with tempfile.TemporaryDirectory() as folder:
        found = _quality(Path(folder), documents, queries, sizes)
        times = _times(Path(folder), timed)
        for stage, values in times.pop("stages").items():
            found[stage] |= values
        return {
            "data": f"{n_texts:,} abstracts of papers-arxiv, {len(queries)} titles, MiniLM, 384 dimensions",
            "target": f"recall@{K} of {TARGET} after exact scores",
            "sizes": sizes,
            "timed": list(timed),
            "stages": found,
            **times,
            "texts": _text_bytes(texts),
            "hnsw": _graph(documents),
        }


# ── bytes and candidates, on real vectors ────────────────────────────────────────────────────────────────────


def _real(n_texts: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    from sememe import Encoder
    from sememe.claims.claim import Setting, shared_folder
    from sememe.claims.running import cache_folder
    from sememe.claims.vectors import encode_once

    cache = cache_folder(None)
    setting = Setting("small", shared_folder(), cache, cache)
    with gzip.open(setting.data("papers-arxiv") / "papers.jsonl.gz", "rt", encoding="utf-8") as stream:
        papers = [json.loads(next(stream)) for _ in range(N_TEXTS)]
    encoder = Encoder.load("minilm")
    # The whole set is encoded and cut after it, so that every size finds what is in the cache.
    titles = [paper["title"] for paper in papers[:1_000]]
    abstracts = [paper["abstract"] for paper in papers]
    queries = encode_once(setting, encoder, titles, as_queries=True)[:N_QUERIES]
    return abstracts[:n_texts], encode_once(setting, encoder, abstracts)[:n_texts], queries


def _quality(folder: Path, documents: np.ndarray, queries: np.ndarray, sizes: Sequence[int]) -> dict[str, Measures]:
    found: dict[str, Measures] = {stage: {"candidates": {}} for stage in STAGES}
    for size in sizes:
        part = documents[:size]
        truth = np.argsort(-(queries @ part.T), axis=1, kind="stable")[:, :K]
        with _bank(folder / f"real-{size}", part) as bank:
            for name in STAGES:
                stage = _fitted(name, bank)
                found[name]["candidates"][str(size)] = _candidates_needed(stage, queries, truth, size)
                found[name]["bytes_per_vector"] = stage.nbytes / size
    return found


def _candidates_needed(stage: Coarse, queries: np.ndarray, truth: np.ndarray, size: int) -> int | None:
    """The least number of candidates, of a series that grows by a fifth, with which recall reaches the target."""
    everything = np.ones(size, bool)
    for n in _series(size):
        proposed = [stage.candidates(query, n, everything) for query in queries]
        recall = np.mean([np.isin(true, rows).mean() for true, rows in zip(truth, proposed, strict=True)])
        if recall >= TARGET:
            return n
    return None


def _series(size: int) -> Iterator[int]:
    n: float = K
    while n <= min(size, MOST_CANDIDATES):
        yield round(n)
        n *= STEP


def _text_bytes(texts: Sequence[str]) -> Measures:
    from sememe.lexical.bm25 import Lexical

    lexical = Lexical.fit(texts, "english")
    words = sum(len(word) for word in lexical.words)
    columns = lexical.starts.nbytes + lexical.items.nbytes + lexical.scores.nbytes
    return {
        "text_bytes": statistics.mean(len(text.encode()) for text in texts),
        "lexical_bytes": (columns + words) / len(texts),
    }


def _graph(documents: np.ndarray) -> Measures:
    """A graph as servers keep it in memory, for its size: faiss's HNSW with M = 16."""
    import faiss

    n, d = documents.shape
    graph: Any = faiss.IndexHNSWFlat(d, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 100
    started = time.perf_counter()
    graph.add(documents)
    seconds = time.perf_counter() - started
    return {"bytes_per_vector": len(faiss.serialize_index(graph)) / n, "build_us_per_vector": 1e6 * seconds / n}


# ── times, on made vectors ───────────────────────────────────────────────────────────────────────────────────


def _times(folder: Path, timed: Sequence[int]) -> Measures:
    small, large = timed
    vectors, queries = clustered_vectors(large, TIMED_QUERIES)
    stages: dict[str, Measures] = {}
    with _bank(folder / "small", vectors[:small]) as bank:
        fitted = {name: _fitted(name, bank) for name in STAGES}
        at_small = {name: _ms(stage, queries, small) for name, stage in fitted.items()}
        exact_small = _exact_ms(bank, queries)
    with _bank(folder / "large", vectors) as bank:
        for name, stage in fitted.items():
            stage.extend(bank)
            ms = _ms(stage, queries, large)
            per_vector = 1e6 * (ms - at_small[name]) / (large - small)
            stages[name] = {"ns_per_vector": per_vector, "ms": {str(small): at_small[name], str(large): ms}}
            if isinstance(stage, InvertedLists):
                stages[name]["share_read"] = stage.n_probed / len(stage.centroids)
        exact_large = _exact_ms(bank, queries)
        exact = {
            "ns_per_vector": 1e6 * (exact_large - exact_small) / (large - small),
            "ms": {str(small): exact_small, str(large): exact_large},
        }
        mask, maps = _mask_ns(bank), _map_bytes(bank)
    rows = {dtype: _reading(folder / dtype, vectors, dtype) for dtype in STORED}
    measured = {"stages": stages, "exact": exact, "rows": rows}
    return {**measured, "filter_mask_ns_per_vector": mask, "map_bytes_per_vector": maps}


def _ms(stage: Coarse, queries: np.ndarray, n: int) -> float:
    everything = np.ones(n, bool)
    return _median_ms([lambda query=query: stage.candidates(query, 100, everything) for query in queries])


def _exact_ms(bank: Bank, queries: np.ndarray) -> float:
    def scan(query: np.ndarray) -> None:
        for _, block in bank.batches(16_384):
            block @ query

    return _median_ms([lambda query=query: scan(query) for query in queries[:10]])


def _mask_ns(bank: Bank) -> float:
    """What a search spends on knowing which rows may be found, before any stage begins."""
    allowed = np.ones(int(bank.documents[-1]) + 1, bool)
    return 1e6 * _median_ms([lambda: allowed[bank.documents]] * 10) / len(bank)


def _map_bytes(bank: Bank) -> int:
    """What a search holds of every row beside its code, with one row a document.

    The row's document, the document's first row, whether the document exists, and whether the row may be found.
    """
    return bank.documents.itemsize + np.dtype(np.int64).itemsize + 2 * np.dtype(bool).itemsize


def _reading(path: Path, vectors: np.ndarray, dtype: str) -> Measures:
    """Exact scores of scattered rows: from the page cache, and after the file was dropped from it."""
    rng = np.random.default_rng(0)
    with _bank(path, vectors, dtype) as bank:
        row_bytes = bank.row_bytes

    def rows() -> np.ndarray:
        return np.sort(rng.choice(len(vectors), SCATTERED, replace=False))

    with Bank.open(path) as bank:
        query = vectors[0]
        warm = _median_ms([lambda: bank[rows()] @ query] * TIMED_QUERIES)
    cold = []
    for _ in range(5):
        _drop(path)
        with Bank.open(path, verify_bytes=0) as bank:
            wanted, started = rows(), time.perf_counter()
            bank[wanted] @ query
            cold.append(1e3 * (time.perf_counter() - started))
    per_row = {"us_per_row": 1e3 * warm / SCATTERED, "us_per_row_cold": 1e3 * statistics.median(cold) / SCATTERED}
    return {"row_bytes": row_bytes, **per_row}


def _drop(folder: Path) -> None:
    for file in folder.glob("*.bin"):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _median_ms(calls: Sequence[Callable[[], object]]) -> float:
    """The median of what calls take of a core's time, in milliseconds: other work on the machine hardly changes it."""
    calls[0]()
    seconds = []
    for call in calls:
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return 1e3 * statistics.median(seconds)


# ── private ──────────────────────────────────────────────────────────────────────────────────────────────────


def _bank(path: Path, vectors: np.ndarray, dtype: str = "float32") -> Bank:
    bank = Bank.create(path, vectors.shape[1], dtype=dtype, provenance={})
    bank.append(vectors)
    bank.commit()
    return bank


def _fitted(name: str, bank: Bank) -> Coarse:
    parsed = parse_coarse(name)
    stage = CODES[parsed.kind].fit(bank, parsed.parameter)
    stage.extend(bank)
    return stage
