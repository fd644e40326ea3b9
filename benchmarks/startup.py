"""How long `sememe --help` and `import sememe` take in a fresh process, beside Python alone and a peer's import."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.harness import alternate, comparison, process_seconds

PYTHON, PEER = "python -c pass", "import sentence_transformers"
COMMANDS = {
    "sememe --help": [sys.executable, "-m", "sememe", "--help"],
    "import sememe": [sys.executable, "-c", "import sememe"],
    PYTHON: [sys.executable, "-c", "pass"],
    PEER: [sys.executable, "-c", "import sentence_transformers"],
}


def run() -> dict[str, Any]:
    """Wall milliseconds of each command."""

    def timed(name: str) -> None:
        times[name].append(1000 * process_seconds(COMMANDS[name]))

    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    alternate({name: lambda n=name: timed(n) for name in COMMANDS}, runs=3)  # type: ignore[misc]
    counted = {name: values[1:] for name, values in times.items()}
    floor = min(counted[PYTHON])
    return {
        "comparisons": [
            comparison(job, counted[job], peer, counted[peer], unit="ms", limit=floor, limit_by="starting Python")
            for job in ("sememe --help", "import sememe")
            for peer in (PYTHON, PEER)
        ]
    }
