"""JSON lines and tables: a paper a line, with fields of usual names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sememe.corpus import ReadConfig
from sememe.corpus.entries import BadRecordError, Fields, Problem
from sememe.corpus.json_lines import json_records
from sememe.corpus.tables import csv_records
from sememe.papers.importing.fields import paper_from_row
from sememe.papers.importing.json_papers import paper_from_object
from sememe.papers.paper import Paper


def json_lines_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The papers of a JSON-lines file, with the numbers of their lines."""
    return _papers(json_records(path, label, encoding), paper_from_object, label)


def csv_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The papers of a comma-separated table with a header line, with the numbers of their lines."""
    return _papers(csv_records(path, label, ReadConfig(encoding=encoding), ","), paper_from_row, label)


def tsv_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The papers of a tab-separated table with a header line, with the numbers of their lines."""
    return _papers(csv_records(path, label, ReadConfig(encoding=encoding), "\t"), paper_from_row, label)


def _papers(
    records: Iterable[tuple[int, Fields] | Problem], make: Callable[[dict[str, Any]], Paper], label: str
) -> Iterator[tuple[int, Paper] | Problem]:
    for record in records:
        if isinstance(record, Problem):
            yield record
            continue
        number, fields = record
        try:
            yield number, make(fields)
        except BadRecordError as bad:
            yield Problem.at(f"{label}:{number}", bad)
