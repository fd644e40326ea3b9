"""The arithmetic of docs/scale.md, from benchmarks/results/scale.json and nothing else.

python -m benchmarks.scale_table                         write the tables into docs/scale.md
python -m benchmarks.scale_table --vectors 5e6 5e7 --memory-gib 64 --cores 8      print them for your own
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
SIZES = (10**7, 10**9, 10**11)
STAGES = ("binary", "pq:48", "ivf")
CELLS_BY_ROOT = 4
"""`ivf` makes this times sqrt(n) cells and looks into the square root of their number."""
FOR_MORE_CELLS = 100
"""It looks into more when more candidates than this are asked for, in proportion."""
Measures = Mapping[str, Any]


@dataclass(frozen=True)
class Machine:
    """What is assumed of one machine, and what is asked of all together."""

    memory_gib: float = 256.0
    usable: float = 0.8
    disk_tb: float = 15.0
    cores: int = 32
    queries_per_second: float = 100.0


class Cost(NamedTuple):
    """What a first stage costs for a number of vectors."""

    memory: float
    disk: float
    candidates: float | None
    core_seconds: float | None
    machines: int


def growth(candidates: Mapping[str, int | None]) -> tuple[int, float, float] | None:
    """The largest measured size, its candidates, and g of ``candidates ~ size^g`` by least squares of logarithms."""
    points = [(int(size), needed) for size, needed in candidates.items() if needed is not None]
    if len(points) < 2 or candidates[str(max(map(int, candidates)))] is None:
        return None
    sizes, needed = np.log([size for size, _ in points]), np.log([n for _, n in points])
    largest = max(points)
    return largest[0], float(largest[1]), max(0.0, float(np.polyfit(sizes, needed, 1)[0]))


def cost(measures: Measures, stage: str, n: float, machine: Machine) -> Cost | None:
    """What `n` vectors cost with a first stage: a measured one, `exact` or `graph`; None if recall is not reached."""
    per_document = measures["texts"]["text_bytes"] + measures["texts"]["lexical_bytes"]
    row = measures["rows"]["float32"]
    disk = n * (row["row_bytes"] + per_document)
    candidates: float | None = 0.0
    if stage == "graph":
        memory, seconds, candidates = n * measures["hnsw"]["bytes_per_vector"], None, None
    elif stage == "exact":
        memory = n * measures["map_bytes_per_vector"]
        seconds = 1e-9 * n * (measures["exact"]["ns_per_vector"] + measures["filter_mask_ns_per_vector"])
    else:
        measured = measures["stages"][stage]
        grown = growth(measured["candidates"])
        if grown is None:
            return None
        size, needed, power = grown
        candidates = needed * max(1.0, n / size) ** power
        memory = n * (measured["bytes_per_vector"] + measures["map_bytes_per_vector"])
        scanned = n * measured["ns_per_vector"]
        if stage == "ivf":
            scanned = _scanned_in_cells(measures, n, candidates)
        scanned += n * measures["filter_mask_ns_per_vector"]
        seconds = 1e-9 * scanned + 1e-6 * candidates * row["us_per_row"]
    needed_machines = [
        memory / (machine.usable * machine.memory_gib * 2**30),
        disk / (machine.disk_tb * 1e12),
        0.0 if seconds is None else machine.queries_per_second * seconds / machine.cores,
    ]
    return Cost(memory, disk, candidates, seconds, max(1, math.ceil(max(needed_machines))))


def _scanned_in_cells(measures: Measures, n: float, candidates: float) -> float:
    """Nanoseconds to find the nearest cells and to read the codes in them."""
    measured, n_cells = measures["stages"]["ivf"], CELLS_BY_ROOT * math.sqrt(n)
    share = min(1.0, max(1.0, candidates / FOR_MORE_CELLS) / math.sqrt(n_cells))
    ns_of_code = measured["ns_per_vector"] / measured["share_read"]
    return float(n * share * ns_of_code + n_cells * measures["exact"]["ns_per_vector"])


def measured_table(measures: Measures) -> str:
    """The constants."""
    last = str(max(measures["sizes"]))
    lines = [
        f"| first stage | bytes a vector | candidates for {measures['target']}, at "
        f"{' / '.join(f'{size:,}' for size in measures['sizes'])} | grows as | ns a vector | ms at "
        f"{measures['timed'][-1]:,} |",
        "| --- | ---: | --- | --- | ---: | ---: |",
    ]
    for name, stage in measures["stages"].items():
        needed = " / ".join("–" if n is None else str(n) for n in stage["candidates"].values())
        grown = growth(stage["candidates"])
        power = "–" if grown is None else f"N^{grown[2]:.2f}"
        lines.append(
            f"| `{name}` | {stage['bytes_per_vector']:.0f} | {needed} | {power} | {stage['ns_per_vector']:.2f} | "
            f"{stage['ms'][str(measures['timed'][-1])]:.2f} |"
        )
    exact, rows = measures["exact"], measures["rows"]
    lines.append(
        f"| `exact` | 0 | – | – | {exact['ns_per_vector']:.2f} | {exact['ms'][str(measures['timed'][-1])]:.2f} |"
    )
    lines += [
        "",
        "| beside it | measured |",
        "| --- | --- |",
        *[
            f"| a row of the bank, {dtype} | {row['row_bytes']:,} bytes; {row['us_per_row']:.1f} µs to read and score, "
            f"{row['us_per_row_cold']:.0f} µs if it must come from the disk |"
            for dtype, row in rows.items()
        ],
        f"| which document a row belongs to, and whether it may be found | {measures['map_bytes_per_vector']:.0f} "
        f"bytes a vector; {measures['filter_mask_ns_per_vector']:.2f} ns a vector and query |",
        f"| text of a document, and its part of the lexical index | {measures['texts']['text_bytes']:,.0f} and "
        f"{measures['texts']['lexical_bytes']:,.0f} bytes |",
        f"| graph with vectors in memory (HNSW, M = 16) | {measures['hnsw']['bytes_per_vector']:,.0f} bytes a vector |",
    ]
    assert last in next(iter(measures["stages"].values()))["candidates"]
    return "\n".join(lines)


def sizes_table(measures: Measures, sizes: Sequence[float], machine: Machine) -> str:
    """What numbers of vectors cost."""
    lines = [
        "| vectors | first stage | memory | disk | candidates | read a query | core time a query | machines |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for n in sizes:
        for stage in ("exact", *STAGES, "graph"):
            found = cost(measures, stage, n, machine)
            if found is not None:
                lines.append(f"| {_count(n)} | {_name(stage)} | {_row(measures, stage, n, found)} |")
    return "\n".join(lines)


def _row(measures: Measures, stage: str, n: float, found: Cost) -> str:
    row_bytes = measures["rows"]["float32"]["row_bytes"]
    read = n * row_bytes if stage == "exact" else None if found.candidates is None else found.candidates * row_bytes
    cells = [
        _bytes(found.memory),
        _bytes(found.disk),
        "–" if not found.candidates else f"{found.candidates:,.0f}",
        "–" if read is None else _bytes(read),
        "–" if found.core_seconds is None else _seconds(found.core_seconds),
        f"{found.machines:,}",
    ]
    return " | ".join(cells)


def _name(stage: str) -> str:
    return "graph on servers" if stage == "graph" else f"`{stage}`"


def _count(n: float) -> str:
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if n >= unit:
            return f"{n / unit:g} {name}"
    return f"{n:,.0f}"


def _bytes(n: float) -> str:
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n >= unit:
            return f"{n / unit:.3g} {name}"
    return f"{n:.0f} B"


def _seconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:,.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"


def render(page: str, measures: Measures) -> str:
    """A page with its tables made anew."""
    tables = {"measured": measured_table(measures), "sizes": sizes_table(measures, SIZES, Machine())}
    for name, table in tables.items():
        before, opening, rest = page.partition(f"<!-- scale: {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /scale: {name} -->")
        if not opening or not closing:
            raise ValueError(f"docs/scale.md has no place for the table {name!r}")
        page = f"{before}{opening}{table}\n{closing}{after}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_table", description=__doc__)
    parser.add_argument("--vectors", type=float, nargs="+", help="print the table for these numbers instead")
    parser.add_argument("--memory-gib", type=float, default=Machine.memory_gib)
    parser.add_argument("--disk-tb", type=float, default=Machine.disk_tb)
    parser.add_argument("--cores", type=int, default=Machine.cores)
    parser.add_argument("--queries-per-second", type=float, default=Machine.queries_per_second)
    options = parser.parse_args()
    measures = json.loads((RESULTS / "scale.json").read_text())
    if options.vectors is None:
        PAGE.write_text(render(PAGE.read_text(), measures))
        return
    machine = Machine(
        memory_gib=options.memory_gib,
        disk_tb=options.disk_tb,
        cores=options.cores,
        queries_per_second=options.queries_per_second,
    )
    print(sizes_table(measures, options.vectors, machine))


if __name__ == "__main__":
    main()
