"""How benchmarks measure: in turn, several runs, against a named peer, with the machine's limits beside.

- Contestants run A, B, A, B ... after one warm-up each; medians with least and largest are reported.
- Every benchmark runs in a fresh process with a fixed number of threads; peak memory is that process's own.
- The machine's limits (memory bandwidth, arithmetic) are measured in the same run, with the same threads.
- A machine that is busy with something else before a benchmark starts or after it ended marks its result as `loaded`.

A benchmark is a module with `run() -> dict`. What it returns is stored as it is; `comparisons`, a list of what
`comparison` gives, is what tables show.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
RUNS = 5
MAX_LOAD = 0.5
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def alternate(
    contestants: Mapping[str, Callable[[], Any]], runs: int = RUNS, warm_up: int = 1
) -> dict[str, list[float]]:
    """Run contestants in turn, A, B, A, B ...

    Args:
        contestants: what to run, by name.
        runs: how often each counts.
        warm_up: how often each runs before, uncounted.

    Returns:
        Wall seconds of each counted run, by name.

    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + runs):
        for name, contestant in contestants.items():
            started = time.perf_counter()
            contestant()
            elapsed = time.perf_counter() - started
            if turn >= warm_up:
                seconds[name].append(elapsed)
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and largest of several runs."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def comparison(
    job: str,
    ours: Sequence[float],
    peer: str,
    theirs: Sequence[float],
    *,
    unit: str,
    higher_is_better: bool = False,
    limit: float | None = None,
    limit_by: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One line of a result: what we and a peer needed for the same job.

    Args:
        job: what was done, with its size.
        ours: our value in each run.
        peer: what we are compared with.
        theirs: its values, from the same turns.
        unit: such as `ms`, `texts/s`, `MiB`.
        higher_is_better: for rates.
        limit: the best value that this machine allows, in the same unit, where there is such a limit.
        limit_by: what sets it, such as "memory bandwidth".
        **more: anything else worth keeping, such as `recall`.

    Returns:
        All of this with medians and spreads, and `ratio`: how many times better we are (above 1: better).

    """
    a, b = spread(ours), spread(theirs)
    ratio = a["median"] / b["median"] if higher_is_better else b["median"] / a["median"]
    line = {"job": job, "unit": unit, "ours": a, "peer": peer, "theirs": b, "ratio": ratio, **more}
    if limit is not None:
        distance = limit / a["median"] if higher_is_better else a["median"] / limit
        line["limit"] = {"value": limit, "by": limit_by, "times_above": distance}
    return line


def in_fresh_process(function: str, *arguments: Any, threads: int | None = None) -> tuple[Any, float]:
    """Call `module:function` in a process of its own.

    Args:
        function: such as `benchmarks.search:memory_of`.
        *arguments: JSON values.
        threads: for BLAS and OpenMP; those of this process when left out.

    Returns:
        What it returned (a JSON value), and the peak memory of that process in MiB.

    """
    environment = dict(os.environ)
    if threads is not None:
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.child", function, json.dumps(arguments), str(answer)],
            check=True,
            env=environment,
            cwd=Path(__file__).parents[1],
        )
        value, peak = json.loads(answer.read_text())
    return value, peak


def process_seconds(command: Sequence[str]) -> float:
    """Wall seconds of a command in a process of its own."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def machine_limits() -> dict[str, float]:
    """What this machine can do with the threads of this process, best of several tries.

    Returns:
        `read_gb_s`: summing an array of 256 MiB; `copy_gb_s`: copying it, reads and writes counted (both with one
        thread); `gemm_gflops`: multiplying float32 matrices of 1024 x 1024.

    """
    import numpy as np

    array = np.ones(64 << 20, np.float32)
    target = np.empty_like(array)
    left = np.random.default_rng(0).random((1024, 1024), np.float32)
    best = {
        name: min(seconds)
        for name, seconds in alternate(
            {"read": array.sum, "copy": lambda: np.copyto(target, array), "gemm": lambda: left @ left}
        ).items()
    }
    return {
        "read_gb_s": array.nbytes / best["read"] / 1e9,
        "copy_gb_s": 2 * array.nbytes / best["copy"] / 1e9,
        "gemm_gflops": 2 * 1024**3 / best["gemm"] / 1e9,
    }


def busy_cores(seconds: float = 2.0) -> float:
    """How many cores other processes keep busy while we wait."""
    before = _busy_ticks()
    time.sleep(seconds)
    ticks_a_second: int = os.sysconf("SC_CLK_TCK")
    return (_busy_ticks() - before) / ticks_a_second / seconds


def _busy_ticks() -> int:
    user, nice, system, _, _, interrupts, soft, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return user + nice + system + interrupts + soft
