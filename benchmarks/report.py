"""Showing results: a table for the terminal, and docs/benchmarks.md from the result files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
COLUMNS = ("job", "unit", "ours", "peer", "theirs", "ratio", "beside")

_HEAD = """# Benchmarks

Made by `make bench` from `benchmarks/results/*.json` and from nothing else. Contestants run in turn (A, B, A, B ...)
after one warm-up, in fresh processes with the same number of threads; figures are medians over runs with the least
and the largest in brackets. *Ratio* is how many times better Sememe is than the peer: above 1 it is better, below 1
it is worse. *Beside* gives quality and the distance from what this machine allows at best.
"""


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The comparisons of a result as rows of text, one cell for each of `COLUMNS`."""
    return [
        [
            line["job"],
            line["unit"],
            _spread(line["ours"]),
            line["peer"],
            _spread(line["theirs"]),
            f"{line['ratio']:.2f}",
            _beside(line),
        ]
        for line in result.get("comparisons", [])
    ]


def print_result(name: str, result: Mapping[str, Any]) -> None:
    """Print a result as an aligned table."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title=f"{name} ({_conditions(result)})", title_justify="left", box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in ("ours", "theirs", "ratio") else "left")
    for row in rows(result):
        table.add_row(*row)
    console.print(table)
    for key, value in _others(result):
        console.print(f"{key}: {value}")
    console.print()


def write_page(path: Path = PAGE, results: Path = RESULTS) -> None:
    """Render all result files into one page."""
    from sememe import disk

    blocks = [_HEAD]
    for file in sorted(results.glob("*.json")):
        blocks += _section(file.stem, json.loads(file.read_text()))
    disk.make_folder(path.parent)
    disk.write_file(path, "\n".join(blocks).encode())


def _section(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{_conditions(result)}.\n"
    if result["loaded"]:
        yield "**The machine was busy with something else: do not trust these figures.**\n"
    lines: Sequence[Sequence[str]] = rows(result)
    if lines:
        yield f"| {' | '.join(COLUMNS)} |"
        yield "| --- | --- | ---: | --- | ---: | ---: | --- |"
    for line in lines:
        yield f"| {' | '.join(line)} |"
    yield ""
    for key, value in _others(result):
        yield f"- {key}: {value}"
    yield ""


def _conditions(result: Mapping[str, Any]) -> str:
    machine, limits = result["machine"], result["limits"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, threads: {result['threads']}; reads "
        f"{limits['read_gb_s']:.1f} GB/s, copies {limits['copy_gb_s']:.1f} GB/s, {limits['gemm_gflops']:.0f} GFLOP/s; "
        f"load before {result['load_before']:.2f}; peak memory {result['peak_memory_mib']:,.0f} MiB"
    )


def _others(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """What a benchmark returned beside comparisons, flat."""
    known = {
        "comparisons",
        "machine",
        "limits",
        "versions",
        "threads",
        "load_before",
        "busy_before",
        "busy_after",
        "loaded",
    }
    for key, value in result.items():
        if not prefix and key in known | {"peak_memory_mib"}:
            continue
        if isinstance(value, list):
            continue  # measurements one by one: they are in the result file
        if isinstance(value, Mapping):
            yield from _others(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _number(value) if isinstance(value, int | float) else str(value)


def _spread(values: Mapping[str, float]) -> str:
    if values["runs"] == 1:
        return _number(values["median"])
    return f"{_number(values['median'])} ({_number(values['min'])}-{_number(values['max'])})"


def _beside(line: Mapping[str, Any]) -> str:
    shown = {"job", "unit", "ours", "peer", "theirs", "ratio", "limit"}
    notes = [
        f"{key.replace('_', ' ')} {_number(value) if isinstance(value, int | float) else value}"
        for key, value in line.items()
        if key not in shown and value is not None
    ]
    if "limit" in line:
        notes.append(f"{line['limit']['times_above']:.1f} x the limit ({line['limit']['by']})")
    return ", ".join(notes)


def _number(value: float) -> str:
    if value == 0 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
