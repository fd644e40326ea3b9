"""Importing the three collections of papers: ours, and a script of a few lines that only parses and inserts.

The peer is what one writes by hand: `json.loads` and `sqlite3`'s `executemany`, with the same durability (WAL,
`synchronous=FULL`, 500 rows a transaction), keyed by the id that the record brings. It recognises no paper under
another name, keeps no versions and checks nothing. The limit is `executemany` alone, on rows that lie ready in memory.
Rates are over processor time, which a busy machine changes little; those over wall time stand beside.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

RUNS = 3
BATCH = 500
SHARED = Path(os.environ.get("SEMEME_SHARED", Path(__file__).parents[2] / "shared"))
COLLECTIONS = tuple(SHARED / "data" / name / "papers.jsonl.gz" for name in ("papers-ml", "papers-arxiv", "papers-acl"))
COLUMNS = ("id", "title", "abstract", "authors", "date", "venue", "categories", "keywords", "source")
Row = tuple[str, ...]


def run(runs: int = RUNS) -> dict[str, Any]:
    """Records a second, in turn."""
    from benchmarks.harness import alternate, comparison

    if not all(path.is_file() for path in COLLECTIONS):
        return {"not run": "SEMEME_SHARED does not name the folder with data/papers-ml, -arxiv and -acl"}
    rows = list(_rows())
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", "again", "peer", "limit")}

    def timed(name: str, work: Callable[[], Any]) -> None:
        started, processor = time.perf_counter(), time.process_time()
        work()
        spent[name].append((time.process_time() - processor, time.perf_counter() - started))

    def turn() -> None:
        with tempfile.TemporaryDirectory() as folder:
            timed("ours", lambda: _ours(Path(folder)))
            timed("again", lambda: _ours(Path(folder)))
        with tempfile.TemporaryDirectory() as folder:
            timed("peer", lambda: _insert(Path(folder), _rows()))
        with tempfile.TemporaryDirectory() as folder:
            timed("limit", lambda: _insert(Path(folder), iter(rows)))

    alternate({"turn": turn}, runs=runs, warm_up=0)
    rates = {name: [len(rows) / processor for processor, _ in times] for name, times in spent.items()}
    walls = {name: round(sorted(len(rows) / wall for _, wall in times)[runs // 2]) for name, times in spent.items()}
    peer = "json.loads + sqlite3 executemany, no identities"
    limit = {"limit": max(rates["limit"]), "limit_by": "executemany of ready rows"}
    lines = [
        comparison(
            f"{job} {len(rows):,} records", rates[name], peer, rates["peer"], unit="records/s of processor time",
            higher_is_better=True, **limit,
        )
        for name, job in (("ours", "import"), ("again", "import again"))
    ]  # fmt: skip
    return {"comparisons": lines, "records/s of wall time": walls}


def _ours(folder: Path) -> None:
    from sememe.papers import PaperStore
    from sememe.papers.importing import PaperSource

    with PaperStore.open(folder / "feed", create=True) as store:
        for path in COLLECTIONS:
            store.add(PaperSource(str(path)))


def _rows() -> Iterator[Row]:
    for path in COLLECTIONS:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for line in stream:
                record = json.loads(line)
                values = (record.get(name, "") for name in COLUMNS)
                yield tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _insert(folder: Path, rows: Iterator[Row]) -> None:
    with closing(sqlite3.connect(folder / "papers.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"CREATE TABLE papers ({', '.join(COLUMNS)}, PRIMARY KEY (id))")
        connection.execute("CREATE INDEX papers_by_date ON papers (date)")
        holes = ",".join("?" * len(COLUMNS))
        for batch in _batches(rows):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT OR REPLACE INTO papers VALUES ({holes})", batch)
            connection.execute("COMMIT")


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH)):
        yield batch
