"""The process that a benchmark runs in: `python -m benchmarks.child MODULE:FUNCTION JSON-ARGUMENTS ANSWER-FILE`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    function, arguments, answer = sys.argv[1:]
    module, name = function.split(":")
    value = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    Path(answer).write_text(json.dumps([value, _peak_mib()], default=_plain))


def _peak_mib() -> float:
    # Not getrusage: its peak begins with the memory of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _plain(value: object) -> object:
    return value.item() if hasattr(value, "item") else str(value)


if __name__ == "__main__":
    main()
