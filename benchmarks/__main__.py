"""`python -m benchmarks [NAME ...]`: run benchmarks, write benchmarks/results/NAME.json and docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
from typing import Any

from benchmarks.harness import MAX_LOAD, RESULTS, busy_cores, in_fresh_process
from benchmarks.report import print_result, write_page

NAMES = (
    "startup",
    "search",
    "encode",
    "harvest",
    "circuits",
    "atoms_training",
    "multi_vector",
    "paragraph_vectors",
    "engine",
    "scale",
    "milvus",
    "training",
    "papers_import",
    "papers",
)
PACKAGES = (
    "numpy",
    "torch",
    "faiss-cpu",
    "bm25s",
    "sentence-transformers",
    "transformers",
    "sae-lens",
    "eai-sparsify",
    "dictionary-learning",
    "fast-plaid",
    "gensim",
    "pymilvus",
    "scikit-learn",
)


def main() -> None:
    """Parse the command and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS and OpenMP (default 1)")
    parser.add_argument("--report", action="store_true", help="only render docs/benchmarks.md again")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    if not options.report:
        # Our own benchmarks raise the load average, so it says something about others only before the first.
        load = os.getloadavg()[0]
        for name in options.names or NAMES:
            print_result(name, measure(name, options.threads, load))
    write_page()


def measure(name: str, threads: int, load: float) -> dict[str, Any]:
    """Run one benchmark in a process of its own and write its result file."""
    from sememe import artifact, disk
    from sememe.claims.machine import describe_machine, versions

    busy_before = busy_cores()
    found, peak = in_fresh_process(f"benchmarks.{name}:run", threads=threads)
    limits, _ = in_fresh_process("benchmarks.harness:machine_limits", threads=threads)
    busy_after = busy_cores()
    result = {
        **found,
        "threads": threads,
        "load_before": load,
        "busy_before": busy_before,
        "busy_after": busy_after,
        # Not the load average: it remembers what ended minutes ago, and forgets what has just begun.
        "loaded": max(busy_before, busy_after) > MAX_LOAD,
        "limits": limits,
        "peak_memory_mib": peak,
        "machine": describe_machine(),
        "versions": versions(PACKAGES),
    }
    disk.make_folder(RESULTS)
    disk.write_file(RESULTS / f"{name}.json", artifact.dump_json(result))
    return result


if __name__ == "__main__":
    main()
