"""The other engines of `benchmarks.engine`: faiss, hnswlib, usearch and Qdrant Edge, on the same vectors.

Run as a program with the Python that has them, so only the standard library and NumPy are imported at the top:
`python engine_peers.py ENGINE FOLDER` builds what is missing in the folder, answers the queries in a process of its own
and prints one JSON object.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

K, RUNS = 10, 3
FEW_QUERIES = 40  # for engines that need a large part of a second a query
M, BUILD_EFFORT = 16, 100  # of every graph
SEARCH_EFFORTS = (10, 20, 40, 80, 160, 320)
CELLS, PROBES = 4096, (4, 16, 64, 256)
EFFORTS: dict[str, tuple[Any, ...]] = {
    "faiss Flat": (0,),
    "faiss HNSW": SEARCH_EFFORTS,
    "faiss IVF-PQ + refine": PROBES,
    "hnswlib": SEARCH_EFFORTS,
    "usearch": SEARCH_EFFORTS,
    "usearch, from disk": SEARCH_EFFORTS,
    "qdrant-edge binary": (2, 4, 8, 16),
}
Search = Callable[[np.ndarray], np.ndarray]


def answer_all(folder: str, efforts: Mapping[str, Search], *, few: bool = False) -> list[dict[str, Any]]:
    """Ask every query at every effort.

    Args:
        folder: has `queries.npy` and `truth.npy`.
        efforts: what answers, by what to call it.
        few: ask only some of the queries.

    Returns:
        For each effort its name, recall@10, and milliseconds a query: the median over queries of each run, their
        median (`p50`) and the 99th percentile of all.
    """
    queries, truth = np.load(Path(folder) / "queries.npy"), np.load(Path(folder) / "truth.npy")
    queries = queries[:FEW_QUERIES] if few else queries
    points = []
    for name, search in efforts.items():
        found = [set(np.asarray(search(query)).tolist()) for query in queries]
        recall = float(np.mean([len(rows & set(true)) / K for rows, true in zip(found, truth.tolist())]))  # noqa: B905
        runs = []
        for _ in range(RUNS):
            times = []
            for query in queries:
                started = time.perf_counter()
                search(query)
                times.append(1000 * (time.perf_counter() - started))
            runs.append(times)
        medians = [float(np.median(times)) for times in runs]
        p99 = float(np.percentile(np.concatenate(runs), 99))
        points.append({"effort": name, "recall": recall, "runs": medians, "p50": float(np.median(medians)), "p99": p99})
    return points


def memory_mib() -> dict[str, float]:
    """What this process holds: `memory`, which only it can give back, and `file_pages`, which the system may drop."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    read = {name: int(status[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "RssShmem")}
    return {"memory": read["RssAnon"] + read["RssShmem"], "file_pages": read["RssFile"]}


def folder_bytes(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def main() -> None:
    """Build, then search in a fresh process."""
    name, folder = sys.argv[1:3]
    path = Path(folder) / name.replace(" ", "-").replace(",", "")
    if len(sys.argv) > 3:
        print(json.dumps(_searched(name, path, folder)))
        return
    try:
        version = importlib.metadata.version(PACKAGES[name.split()[0].rstrip(",")])
    except importlib.metadata.PackageNotFoundError as error:
        print(json.dumps({"points": [], "not run": str(error)}))
        return
    seconds = path.with_suffix(".json")
    if not seconds.exists():
        started = time.process_time()  # of all threads
        BUILDERS[name](path, np.load(Path(folder) / "vectors.npy", mmap_mode="r"))
        seconds.write_text(json.dumps(time.process_time() - started))
    done = subprocess.run([sys.executable, __file__, name, folder, "search"], check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps({**found, "build": json.loads(seconds.read_text()), "version": version}))


PACKAGES = {"faiss": "faiss-cpu", "hnswlib": "hnswlib", "usearch": "usearch", "qdrant-edge": "qdrant-edge-py"}


def _searched(name: str, path: Path, folder: str) -> dict[str, Any]:
    search = OPENERS[name](path)
    efforts = {str(effort): (lambda query, e=effort: search(query, e)) for effort in EFFORTS[name]}
    points = answer_all(folder, efforts, few=name == "faiss Flat")
    return {"points": points, "disk": folder_bytes(path) / 2**20, **memory_mib()}


# ── faiss ────────────────────────────────────────────────────────────────────────────────────────────────────

FACTORIES = {
    "faiss Flat": "Flat",
    "faiss HNSW": f"HNSW{M}",
    "faiss IVF-PQ + refine": f"IVF{CELLS},PQ48,RFlat",
}


def _build_faiss(name: str) -> Callable[[Path, np.ndarray], None]:
    def build(path: Path, vectors: np.ndarray) -> None:
        import faiss

        index = faiss.index_factory(vectors.shape[1], FACTORIES[name], faiss.METRIC_INNER_PRODUCT)
        if "HNSW" in name:
            index.hnsw.efConstruction = BUILD_EFFORT
        if not index.is_trained:
            sample = np.random.default_rng(0).choice(len(vectors), min(len(vectors), 40 * CELLS), replace=False)
            index.train(vectors[np.sort(sample)].astype(np.float32))
        for start in range(0, len(vectors), 65_536):
            index.add(vectors[start : start + 65_536].astype(np.float32))
        faiss.write_index(index, str(path))

    return build


def _open_faiss(path: Path) -> Any:
    import faiss

    index = faiss.read_index(str(path))

    def search(query: np.ndarray, effort: int) -> np.ndarray:
        if hasattr(index, "hnsw"):
            index.hnsw.efSearch = effort
        elif effort:
            faiss.extract_index_ivf(index).nprobe = effort
            index.k_factor = 16
        return index.search(query[None], K)[1][0]

    return search


# ── graphs ───────────────────────────────────────────────────────────────────────────────────────────────────


def _build_hnswlib(path: Path, vectors: np.ndarray) -> None:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=M, ef_construction=BUILD_EFFORT)
    index.set_num_threads(_threads())
    for start in range(0, len(vectors), 65_536):
        index.add_items(vectors[start : start + 65_536].astype(np.float32))
    index.save_index(str(path))


def _open_hnswlib(path: Path) -> Any:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=384)
    index.load_index(str(path))
    index.set_num_threads(1)

    def search(query: np.ndarray, effort: int) -> np.ndarray:
        index.set_ef(effort)
        return index.knn_query(query[None], k=K)[0][0]

    return search


def _usearch() -> Any:
    from usearch.index import Index

    return Index(ndim=384, metric="ip", dtype="f16", connectivity=M, expansion_add=BUILD_EFFORT)


def _build_usearch(path: Path, vectors: np.ndarray) -> None:
    index = _usearch()
    for start in range(0, len(vectors), 65_536):
        block = np.ascontiguousarray(vectors[start : start + 65_536])
        index.add(np.arange(start, start + len(block)), block, threads=_threads())
    index.save(str(path))


def _build_usearch_view(path: Path, vectors: np.ndarray) -> None:
    del vectors
    path.hardlink_to(path.with_name("usearch"))


def _open_usearch(*, view: bool) -> Any:
    def open_(path: Path) -> Any:
        index = _usearch()
        (index.view if view else index.load)(str(path))

        def search(query: np.ndarray, effort: int) -> np.ndarray:
            index.expansion_search = effort
            return index.search(query.astype(np.float16), K, threads=1).keys

        return search

    return open_


# ── an embedded database ─────────────────────────────────────────────────────────────────────────────────────


def _build_qdrant(path: Path, vectors: np.ndarray) -> None:
    import qdrant_edge as q

    path.mkdir()
    quantization = q.BinaryQuantizationConfig(always_ram=True, encoding=None, query_encoding=None)
    config = q.EdgeConfig(
        vectors=q.EdgeVectorParams(
            size=vectors.shape[1], distance=q.Distance.Dot, on_disk=True, quantization_config=quantization
        )
    )
    shard = q.EdgeShard.create(str(path), config)
    for start in range(0, len(vectors), 2000):
        block = vectors[start : start + 2000].astype(np.float32)
        points = [q.Point(start + row, vector.tolist(), {}) for row, vector in enumerate(block)]
        shard.update(q.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.flush()
    shard.close()


def _open_qdrant(path: Path) -> Any:
    import qdrant_edge as q

    shard = q.EdgeShard.load(str(path))

    def search(query: np.ndarray, effort: int) -> np.ndarray:
        quantized = q.QuantizationSearchParams(ignore=False, rescore=True, oversampling=float(effort))
        request = q.SearchRequest(
            query=q.Query.Nearest(query.tolist(), using=None),
            limit=K,
            params=q.SearchParams(exact=False, quantization=quantized),
        )
        return np.array([point.id for point in shard.search(request)])

    return search


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


BUILDERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    **{name: _build_faiss(name) for name in FACTORIES},
    "hnswlib": _build_hnswlib,
    "usearch": _build_usearch,
    "usearch, from disk": _build_usearch_view,
    "qdrant-edge binary": _build_qdrant,
}
OPENERS: dict[str, Callable[[Path], Any]] = {
    **dict.fromkeys(FACTORIES, _open_faiss),
    "hnswlib": _open_hnswlib,
    "usearch": _open_usearch(view=False),
    "usearch, from disk": _open_usearch(view=True),
    "qdrant-edge binary": _open_qdrant,
}

if __name__ == "__main__":
    main()
