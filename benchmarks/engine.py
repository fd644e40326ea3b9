"""A million real vectors: every first stage of ours and seven other engines, one query at a time, in fresh processes.

The vectors are MiniLM's token vectors (unit length, 384 numbers of float16) of arXiv abstracts, the queries those of
other abstracts, one each. Every engine gets the same vectors and builds its index with the threads that it is given;
then a process of its own opens what was built and answers all queries at several efforts. Memory is what such a process
cannot give back (anonymous pages); pages of files that the system may drop stand beside it, and so does the disk.

Ours keeps vectors in its bank on disk and reads the candidates from there; so does none of the others by default.
Comparisons are at equal recall: the fastest effort of each that finds at least a share of the true ten best.

The abstracts are read from `SEMEME_SHARED`. The others run with the Python in `SEMEME_ENGINES_PYTHON`, and what its
packages lack is left out. What is built stays in `SEMEME_ENGINES_FOLDER`, where it is given, and is not built again.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_peers import EFFORTS, K, answer_all, folder_bytes, memory_mib
from benchmarks.engine_plot import draw
from benchmarks.harness import comparison, in_fresh_process

N_VECTORS, N_QUERIES = 1_000_000, 200
DATA = "papers-arxiv"
DOCUMENT_TOKENS = 256
TARGETS = (0.9, 0.98)
OURS = ("exact", "binary", "ivf", "hnsw", "pq:48", "prefix:128", "itq")
PER_HIT = (2, 5, 10, 20, 40)
PROBED = (1 / 128, 1 / 64, 1 / 32, 1 / 16)
PLOT = Path(__file__).parents[1] / "docs" / "engine-frontier.svg"


def run(n_vectors: int = N_VECTORS, n_queries: int = N_QUERIES) -> dict[str, Any]:
    """Recall, latency, memory, disk and build time of all; `build` is in seconds of processor time."""
    kept = os.environ.get("SEMEME_ENGINES_FOLDER")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(kept) if kept else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "truth.npy").exists():
            _write(folder, n_vectors, n_queries)
        engines = {f"ours {kind}": _measured(_ours, kind, folder) for kind in OURS}
        python = os.environ.get("SEMEME_ENGINES_PYTHON")
        for name in EFFORTS if python else ():
            engines[name] = _measured(_theirs, name, folder, str(python))
        size = f"{len(np.load(folder / 'vectors.npy', mmap_mode='r')):,} x 384"
    found: dict[str, Any] = {"size": size, "engines": engines}
    if not python:
        found["others"] = "not run: SEMEME_ENGINES_PYTHON is not set"
    draw(PLOT, engines, size)
    return {**found, "comparisons": _compared(engines, size)}


def _measured(measure: Any, *arguments: Any) -> dict[str, Any]:
    print(f"{time.strftime('%H:%M')} {arguments[0]}", flush=True)
    found: dict[str, Any] = measure(*arguments)
    return found


def _compared(engines: dict[str, Any], size: str) -> list[dict[str, Any]]:
    """Each other engine against the fastest of ours at equal recall, and against the smallest."""
    lines = []
    flat = engines.get("faiss Flat")
    for target in TARGETS:
        reached = {name: best for name, engine in engines.items() if (best := fastest(engine, target)) is not None}
        ours = {name: best for name, best in reached.items() if name.startswith("ours ")}
        if not ours:
            continue
        quickest = min(ours, key=lambda name: ours[name]["p50"])
        for name, best in reached.items():
            if name in ours:
                continue
            beside = {"recall10": ours[quickest]["recall"], "recall10_of_peer": best["recall"]}
            job = f"recall@10 of {target}, {size}, {quickest}"
            lines.append(comparison(job, ours[quickest]["runs"], name, best["runs"], unit="ms", **beside))
            memory = (engines[quickest]["memory"], engines[name]["memory"])
            lines.append(comparison(f"{job}, memory", [memory[0]], name, [memory[1]], unit="MiB"))
        if flat is not None:
            for name in ours:
                memory = (engines[name]["memory"], flat["memory"])
                job = f"memory at recall@10 of {target}, {name}"
                lines.append(comparison(job, [memory[0]], "faiss Flat", [memory[1]], unit="MiB"))
    return lines


def fastest(engine: dict[str, Any], recall: float) -> dict[str, Any] | None:
    """The fastest effort of an engine with at least this recall@10."""
    enough = [point for point in engine.get("points", []) if point["recall"] >= recall]
    return min(enough, key=lambda point: point["p50"]) if enough else None


# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(folder: Path, n_vectors: int, n_queries: int) -> None:
    """Vectors, queries and the true ten best as .npy files; the last one says that all are there."""
    from sememe.claims.claim import Setting, shared_folder
    from sememe.claims.running import cache_folder
    from sememe.claims.token_vectors import encode_tokens_once
    from sememe.corpus import read
    from sememe.models.multi_vector import MultiVectorEncoder

    cache = cache_folder(None)
    setting = Setting("full", shared_folder(), cache, cache)
    encoder = MultiVectorEncoder.load("minilm", query_length=32, document_length=DOCUMENT_TOKENS)
    texts = [document.content for document in read(setting.data(DATA) / "papers.jsonl.gz")]
    per_text = 150  # fewer than they have on average, so that there are enough
    asked, held = texts[:n_queries], texts[n_queries : n_queries + n_vectors // per_text + 100]
    with encode_tokens_once(setting, encoder, held, "document") as bank:
        vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (n_vectors, bank.dimensions))
        for start in range(0, n_vectors, 65_536):
            vectors[start : start + 65_536] = bank[start : min(start + 65_536, n_vectors)]
        vectors.flush()
    draw_token = np.random.default_rng(0)
    with encode_tokens_once(setting, encoder, asked, "document") as bank:
        starts = np.flatnonzero(np.diff(bank.documents, prepend=-1))
        ends = np.append(starts[1:], len(bank))
        queries = bank[draw_token.integers(starts, ends)].astype(np.float32)
    np.save(folder / "queries.npy", queries)
    scores = np.concatenate(
        [queries @ vectors[s : s + 65_536].astype(np.float32).T for s in range(0, n_vectors, 65_536)], axis=1
    )
    np.save(folder / "truth.npy", np.argsort(-scores, axis=1, kind="stable")[:, :K])


# ── ours ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _ours(kind: str, folder: Path) -> dict[str, Any]:
    arguments = (kind, str(folder))
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    built = folder / f"ours-{kind.replace(':', '-')}.json"
    if not built.exists():
        seconds, _ = in_fresh_process("benchmarks.engine:build_ours", *arguments, threads=threads)
        built.write_text(json.dumps(seconds))
    found: dict[str, Any] = in_fresh_process("benchmarks.engine:search_ours", *arguments, threads=threads)[0]
    return {**found, "build": json.loads(built.read_text())}


def build_ours(kind: str, folder: str) -> float:
    """Learn the stage and make its codes; the processor seconds that took beside writing the bank."""
    from sememe.search.coarse.kinds import CODES, parse_coarse

    bank = _bank(Path(folder))
    name = parse_coarse(kind)
    started = time.process_time()
    if name.kind in CODES:
        stage = CODES[name.kind].fit(bank, name.parameter)
        stage.extend(bank)
        stage.save(_stage_path(kind, folder))
    return time.process_time() - started


def search_ours(kind: str, folder: str) -> dict[str, Any]:
    """Open the bank and the stage and answer all queries, each followed by the product's own exact second stage."""
    from sememe.search.coarse.inverted import InvertedLists
    from sememe.search.coarse.kinds import CODES, parse_coarse
    from sememe.search.dense import rank_exact, rank_shortlist
    from sememe.search.shortlist import Shortlist

    path = _stage_path(kind, folder)
    bank, allowed = _bank(Path(folder)), None
    allowed = np.ones(len(bank), bool)
    n_bytes = folder_bytes(Path(folder) / "bank")
    name = parse_coarse(kind)
    if name.kind not in CODES:
        import torch  # every process that turns a text into a query has it, and half-precision rows are read faster

        torch.set_num_threads(1)
        starts = np.arange(len(bank))
        points = answer_all(
            folder, {"": lambda query: next(rank_exact(bank, starts, query[None], allowed, K)).rows}, few=True
        )
        return {"points": points, "disk": n_bytes / 2**20, **memory_mib()}
    stage: Any = CODES[name.kind].load(path)

    def searcher(per_hit: int, probed: float | None = None) -> Any:
        shortlist = Shortlist(name, stage, per_hit)

        def search(query: np.ndarray) -> np.ndarray:
            if probed is not None:
                stage.n_probed = max(1, round(probed * len(stage.centroids)))
            return next(rank_shortlist(bank, shortlist, query[None], allowed, K)).rows

        return search

    if isinstance(stage, InvertedLists):
        efforts = {
            f"{per_hit} a hit, 1/{round(1 / probed)} of the cells": searcher(per_hit, probed)
            for probed in PROBED
            for per_hit in PER_HIT[:4]
        }
    else:
        efforts = {f"{per_hit} a hit": searcher(per_hit) for per_hit in PER_HIT}
    points = answer_all(folder, efforts)
    return {"points": points, "disk": (n_bytes + folder_bytes(path)) / 2**20, **memory_mib()}


def _stage_path(kind: str, folder: str) -> Path:
    return Path(folder) / f"ours-{kind.replace(':', '-')}"


def _bank(folder: Path) -> Any:
    """The vectors as a bank of one row a document, written when it is first needed."""
    from sememe.bank import Bank

    if not (folder / "bank").exists():
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        with Bank.create(folder / "bank", vectors.shape[1], dtype="float16", provenance={"model": "minilm"}) as bank:
            for start in range(0, len(vectors), 65_536):
                block = vectors[start : start + 65_536]
                bank.append(block.astype(np.float32), documents=list(range(start, start + len(block))))
                bank.commit()
    return Bank.open(folder / "bank")


# ── others ───────────────────────────────────────────────────────────────────────────────────────────────────


def _theirs(name: str, folder: Path, python: str) -> dict[str, Any]:
    program = str(Path(__file__).with_name("engine_peers.py"))
    done = subprocess.run([python, program, name, str(folder)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
