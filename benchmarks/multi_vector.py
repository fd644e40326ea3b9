"""Late interaction: `MultiVectorIndex` and fast-plaid on the same token vectors of SciFact, at equal nDCG@10.

Token vectors of MiniLM (unit length, 128 document and 32 query tokens) of all 5,183 documents; queries are given as
vectors, one at a time. fast-plaid stores residuals of 4 bits, we store float16 and read from disk. Both score in full
as few documents as give 0.995 of fast-plaid's best nDCG@10 (ours of 25 to 400, or 400; fast-plaid's of 100 to 4,096,
which is its default); both figures stand beside times.
With C8x32 it is another, smaller index. Building counts from token vectors, without encoding.

fast-plaid pins a torch of its own, so it runs with the Python in `SEMEME_PLAID_PYTHON` and is left out without. The
data set is read from `SEMEME_SHARED`, token vectors are kept where claims keep them.

This file is also the program that the other Python runs, so it imports nothing but the standard library at the top.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

K, RUNS = 10, 3
CANDIDATES = (25, 50, 100, 200, 400)
FULL_SCORES = (100, 200, 400, 1000, 4096)
AS_GOOD = 0.995
DATA = "retrieval-scifact"
NBITS, PROBES = 4, 8


def run(n_documents: int | None = None, n_queries: int = 100) -> dict[str, Any]:
    """Latency, memory, disk and build time of both.

    Args:
        n_documents: use only the first; a judged document that is left out counts as not found by either.
        n_queries: how many queries.

    """
    with tempfile.TemporaryDirectory() as folder:
        size = _write(Path(folder), n_documents, n_queries)
        ours = {pruning: _ours(folder, pruning) for pruning in ("mv", "C8x32")}
        python = os.environ.get("SEMEME_PLAID_PYTHON")
        theirs = _theirs(python, folder) if python else None
        found: dict[str, Any] = {"size": size}
        if theirs is None:
            found["fast-plaid"] = "not run: SEMEME_PLAID_PYTHON is not set"
            found |= {f"{pruning}.{name}": value for pruning, made in ours.items() for name, value in made.items()}
            return {**found, "comparisons": []}
        found |= {f"fast-plaid, {n} full scores, nDCG@10": value for n, value in theirs["ndcg"].items()}
        lines: list[dict[str, Any]] = []
        for pruning, made in ours.items():
            found |= {f"{pruning}, {n} candidates, nDCG@10": value for n, value in made["ndcg"].items()}
            lines += _compared(pruning, made, theirs, size)
        return {**found, "comparisons": lines}


def _compared(pruning: str, made: dict[str, Any], theirs: dict[str, Any], size: str) -> list[dict[str, Any]]:
    from benchmarks.harness import comparison

    least = AS_GOOD * max(theirs["ndcg"].values())
    n = next((n for n in CANDIDATES if made["ndcg"][n] >= least), CANDIDATES[-1])
    of_peer = next(n for n in FULL_SCORES if theirs["ndcg"][n] >= least)
    name = f"fast-plaid {theirs['version']}"
    job = f"{pruning}, {n} candidates against {of_peer}, {size}"
    quality = {"ndcg10": made["ndcg"][n], "ndcg10_of_peer": theirs["ndcg"][of_peer]}
    lines = [
        comparison(
            f"{job}, p{q}", made["times"][n][str(q)], name, theirs["times"][of_peer][str(q)], unit="ms", **quality
        )
        for q in (50, 99)
    ]
    for what, unit in (("memory", "MiB"), ("disk", "MiB"), ("build", "s")):
        lines.append(comparison(f"{pruning}, {what}", [made[what]], name, [theirs[what]], unit=unit))
    return lines


# ── ours ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(folder: Path, n_documents: int | None, n_queries: int) -> str:
    """Leave token vectors, where each text starts, and judgements in a folder."""
    import numpy as np

    from sememe.claims.claim import Setting, shared_folder
    from sememe.claims.p25_crisp import DOCUMENT_TOKENS, QUERY_TOKENS
    from sememe.claims.running import cache_folder
    from sememe.claims.token_vectors import encode_tokens_once
    from sememe.corpus import read
    from sememe.evaluation.collection import read_collection
    from sememe.models.multi_vector import MultiVectorEncoder

    cache = cache_folder(None)
    setting = Setting("small", shared_folder(), cache, cache)
    encoder = MultiVectorEncoder.load("minilm", query_length=QUERY_TOKENS, document_length=DOCUMENT_TOKENS)
    documents = list(read(setting.data(DATA)))
    queries, qrels = read_collection(setting.data(DATA))
    texts = {"documents": [document.content for document in documents], "queries": list(queries.values())}
    kept = {"documents": n_documents or len(documents), "queries": min(n_queries, len(queries))}
    for name in ("documents", "queries"):
        kind: Any = "document" if name == "documents" else "query"
        # The whole set is encoded and cut after it, so that every size finds what is in the cache.
        with encode_tokens_once(setting, encoder, texts[name], kind) as bank:
            n_rows = int(np.searchsorted(bank.documents, kept[name]))
            np.save(folder / f"{name}.npy", bank[:n_rows])
            np.save(folder / f"{name}-starts.npy", np.flatnonzero(np.diff(bank.documents[:n_rows], prepend=-1)))
    asked = list(queries)[: kept["queries"]]
    ids = [document.id for document in documents[: kept["documents"]]]
    judged = {"ids": ids, "qrels": {query: qrels[query] for query in asked}}
    (folder / "judged.json").write_text(json.dumps(judged))
    return f"{kept['documents']:,} documents, {kept['queries']} queries"


def _ours(folder: str, pruning: str) -> dict[str, Any]:
    from benchmarks.harness import in_fresh_process

    build, _ = in_fresh_process("benchmarks.multi_vector:build_ours", folder, pruning, threads=1)
    found, memory = in_fresh_process("benchmarks.multi_vector:search_ours", folder, pruning, threads=1)
    by_n = {int(n): value for n, value in found["ndcg"].items()}
    times = {int(n): value for n, value in found["times"].items()}
    return {"ndcg": by_n, "times": times, "memory": memory, "disk": found["disk"], "build": build}


def build_ours(folder: str, pruning: str) -> float:
    """Build the index and return the seconds it took."""
    import numpy as np

    from sememe import Document
    from sememe.models.multi_vector import TokenVectors
    from sememe.search.multi_vector import MultiVectorIndex

    texts = _split(folder, "documents")

    class Table:
        name = fingerprint = "table"
        dimensions = texts[0].shape[1]
        query_length, document_length, pruning = 32, 128, None

        def encode(self, names: Any, kind: str) -> list[Any]:
            del kind
            rows = [texts[int(name)] for name in names]
            return [TokenVectors(np.asarray(row), np.zeros((len(row), 2), np.int32)) for row in rows]

    documents = (Document(str(number), str(number)) for number in range(len(texts)))
    table: Any = Table()
    started = time.perf_counter()
    MultiVectorIndex.build(documents, table, Path(folder) / f"{pruning}.index", pruning=pruning, coarse="lists").close()
    return time.perf_counter() - started


def search_ours(folder: str, pruning: str) -> dict[str, Any]:
    """Milliseconds of every number of candidates, and nDCG@10."""
    import numpy as np
    import torch

    from sememe.multi_vector.pruning import prune
    from sememe.search.multi_vector import MultiVectorIndex

    path = Path(folder) / f"{pruning}.index"
    queries = []
    for text in _split(folder, "queries"):
        states = torch.from_numpy(np.array(text))[None]
        vectors, mask = prune(states, torch.ones(states.shape[:2], dtype=torch.bool), pruning, "query")
        queries.append(vectors[mask].numpy())
    times: dict[int, dict[str, list[float]]] = {}
    ndcg = {}
    with MultiVectorIndex.open(path) as index:
        for n in CANDIDATES:
            rankings = [
                {int(hit.document.id): hit.score for hit in index.search(query, K, candidates=n)} for query in queries
            ]
            ndcg[n] = _ndcg(folder, rankings)
            times[n] = _percentiles(lambda query, n=n: index.search(query, K, candidates=n), queries)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {"times": times, "ndcg": ndcg, "disk": size / 2**20}


def _ndcg(folder: str, rankings: Any) -> float:
    from sememe.evaluation.metrics import evaluate_run

    judged = json.loads((Path(folder) / "judged.json").read_text())
    ids, qrels = judged["ids"], judged["qrels"]
    run = {
        query: {ids[int(number)]: score for number, score in ranking.items()}
        for query, ranking in zip(qrels, rankings, strict=True)
    }
    return evaluate_run(run, qrels, ["ndcg@10"])["ndcg@10"]


# ── theirs ───────────────────────────────────────────────────────────────────────────────────────────────────


def _theirs(python: str, folder: str) -> dict[str, Any]:
    built = _in(python, "build", folder)
    found = _in(python, "search", folder)
    rankings = {int(n): [dict(pairs) for pairs in ranked] for n, ranked in found.pop("rankings").items()}
    times = {int(n): of_effort for n, of_effort in found.pop("times").items()}
    size = sum(file.stat().st_size for file in (Path(folder) / "plaid").rglob("*") if file.is_file())
    ndcg = {n: _ndcg(folder, ranked) for n, ranked in rankings.items()}
    return {**found, "times": times, "build": built["seconds"], "disk": size / 2**20, "ndcg": ndcg}


def _in(python: str, job: str, folder: str) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, __file__, job, folder], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Build or search with fast-plaid and print what was measured as JSON."""
    import importlib.metadata

    import torch
    from fast_plaid.search import FastPlaid

    torch.set_num_threads(1)
    job, folder = sys.argv[1], sys.argv[2]
    index = FastPlaid(index=str(Path(folder) / "plaid"), device="cpu")
    if job == "build":
        texts = [torch.from_numpy(text.copy()) for text in _split(folder, "documents")]
        started = time.perf_counter()
        index.create(documents_embeddings=texts, nbits=NBITS)
        print(json.dumps({"seconds": time.perf_counter() - started}))
        return
    queries = [torch.from_numpy(text.copy())[None] for text in _split(folder, "queries")]
    rankings, times = {}, {}
    for n in FULL_SCORES:
        options: dict[str, Any] = {"top_k": K, "n_full_scores": n, "n_ivf_probe": PROBES, "show_progress": False}
        search = lambda query, options=options: index.search(query, **options)[0]  # noqa: E731
        rankings[n] = [search(query) for query in queries]
        times[n] = _percentiles(search, queries)
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    version = importlib.metadata.version("fast-plaid")
    print(json.dumps({"rankings": rankings, "times": times, "memory": peak, "version": version}))


def _split(folder: str, name: str) -> list[Any]:
    """The vectors of each text."""
    import numpy as np

    vectors = np.load(Path(folder) / f"{name}.npy")
    return np.split(vectors, np.load(Path(folder) / f"{name}-starts.npy")[1:])


def _percentiles(search: Any, queries: list[Any]) -> dict[str, list[float]]:
    """The median and the 99th percentile of each run, after one that does not count."""
    found: dict[str, list[float]] = {"50": [], "99": []}
    for turn in range(1 + RUNS):
        times = []
        for query in queries:
            started = time.perf_counter()
            search(query)
            times.append(1000 * (time.perf_counter() - started))
        times.sort()
        for q, of_runs in found.items():
            if turn:
                of_runs.append(times[min(len(times) - 1, int(len(times) * int(q) / 100))])
    return found


if __name__ == "__main__":
    main()
