"""What `MilvusIndex` needs for a query and for sending rows, with a server at `SEMEME_MILVUS_URI`; not run without one.

Beside it `Index.search` of the same vectors on disk. Both return documents; the server scans all vectors (FLAT).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from benchmarks.harness import RUNS, alternate, comparison
from benchmarks.made import TableEncoder, clustered_vectors, documents
from sememe.search import Index
from sememe.search.milvus import MilvusIndex

SIZES = (10_000, 40_000)
N_QUERIES, K = 30, 10


def run(sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Milliseconds a query, one by one and in a batch, and rows sent a second, at several sizes."""
    uri = os.environ.get("SEMEME_MILVUS_URI")
    if not uri:
        return {"milvus": "not run: SEMEME_MILVUS_URI is not set", "comparisons": []}
    found: dict[str, Any] = {"comparisons": []}
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            lines, sent, server = _measured(uri, Path(folder), n)
        found["comparisons"] += lines
        found |= {f"rows sent a second, of {n:,}": sent, "server": server}
    return found


def _measured(uri: str, folder: Path, n: int) -> tuple[list[dict[str, Any]], float, str]:
    vectors, queries = clustered_vectors(n, N_QUERIES)
    texts = [f"n{row}" for row in range(n)]
    encoder = cast("Any", TableEncoder(texts, vectors))
    with Index.build(documents(texts), encoder, folder / "local.index", coarse="exact") as index:
        started = time.perf_counter()
        with MilvusIndex.build(index, uri=uri, collection=f"benchmark_{n}") as remote:
            sent = n / (time.perf_counter() - started)
            one = alternate(
                {
                    name: lambda one=one: [one.search(query, K) for query in queries]
                    for name, one in _both(index, remote)
                }  # type: ignore[misc]
            )
            batch = alternate(
                {name: lambda one=one: one.search_batch(queries, K) for name, one in _both(index, remote)}  # type: ignore[misc]
            )
            same = statistics.mean(_agree(index, remote, query) for query in queries)
            server = str(remote.info()["server"])
            remote.drop()
    lines = [
        comparison(
            f"Milvus {server} FLAT, {n:,} x {vectors.shape[1]}, {how}",
            [1e3 * seconds / N_QUERIES for seconds in times["remote"][-RUNS:]],
            "Index on disk, exact",
            [1e3 * seconds / N_QUERIES for seconds in times["local"][-RUNS:]],
            unit="ms a query",
            same_hits=same,
        )
        for how, times in (("one by one", one), (f"{N_QUERIES} in a batch", batch))
    ]
    return lines, sent, server


def _both(index: Index, remote: MilvusIndex) -> list[tuple[str, Any]]:
    return [("local", index), ("remote", remote)]


def _agree(index: Index, remote: MilvusIndex, query: Any) -> float:
    ours, theirs = ([(hit.document.id, hit.score) for hit in one.search(query, K)] for one in (index, remote))
    return float(ours == theirs)
