"""CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from sememe.papers.exporting.kept import Kept

COLUMNS = (
    "id",
    "title",
    "authors",
    "n_authors",
    "date",
    "votes",
    "url",
    "venue",
    "categories",
    "keywords",
    "version",
    "identities",
    "marks",
    "tags",
    "note",
    "abstract",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(papers: Iterable[Kept]) -> Iterator[str]:
    """A header and a row a paper. A cell that a spreadsheet would take for a formula begins with a single quote."""
    yield _row(COLUMNS)
    for kept in papers:
        yield _row(neutral(cell) for cell in _cells(kept))


def neutral(cell: str) -> str:
    """`cell` so that no spreadsheet calculates it; whatever stands before the sign does not count."""
    return f"'{cell}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA) else cell


def _cells(kept: Kept) -> Iterator[str]:
    paper = kept.paper
    yield paper.id
    yield paper.title
    yield "; ".join(paper.authors)
    yield "" if paper.author_count is None else str(paper.author_count)
    yield "" if paper.date is None else paper.date.isoformat()
    yield "" if paper.votes is None else str(paper.votes)
    yield paper.url
    yield paper.venue
    yield " ".join(paper.categories)
    yield "; ".join(paper.keywords)
    yield str(paper.version)
    yield " ".join(paper.identities)
    yield " ".join(kept.marks)
    yield ", ".join(kept.tags)
    yield kept.note
    yield paper.abstract


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
