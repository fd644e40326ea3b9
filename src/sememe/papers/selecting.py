"""Which papers a list shows, and in which order."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from sememe.errors import InputError
from sememe.papers.database import folded
from sememe.papers.marking import require_mark

ORDERS = {
    "date": "papers.date DESC, papers.number DESC",  # SQLite sorts papers without a date last here
    "added": "papers.number DESC",
    "votes": "papers.votes DESC, papers.date DESC, papers.number DESC",
    "title": "papers.title COLLATE NOCASE, papers.number",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The conditions of a list; all that are given must hold.

    Args:
        since: the first day, included; a paper without a date is then left out.
        until: the last day, included.
        mark: a mark that the papers have.
        unmarked: a mark that they do not have.
        tag: a tag that they have.
        author: a part of an author's name, without regard to case and accents.
        venue: a part of the venue's name, in the same way.
        category: one of their categories.

    """

    since: datetime.date | None = None
    until: datetime.date | None = None
    mark: str | None = None
    unmarked: str | None = None
    tag: str | None = None
    author: str | None = None
    venue: str | None = None
    category: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """An SQL condition and its values.

        Raises:
            InputError: there is no such mark.

        """
        parts: list[tuple[str, Any]] = []
        if self.since is not None:
            parts.append(("papers.date >= ?", self.since.isoformat()))
        if self.until is not None:
            parts.append(("papers.date <= ?", self.until.isoformat()))
        has_mark = "EXISTS (SELECT 1 FROM marks WHERE marks.paper = papers.number AND marks.kind = ?)"
        if self.mark is not None:
            parts.append((has_mark, require_mark(self.mark)))
        if self.unmarked is not None:
            parts.append((f"NOT {has_mark}", require_mark(self.unmarked)))
        if self.tag is not None:
            parts.append(("EXISTS (SELECT 1 FROM tags WHERE tags.paper = papers.number AND tags.tag = ?)", self.tag))
        if self.author is not None:
            # Compared with each name, not with the list as it is stored: a name may hold what JSON writes otherwise.
            names = "EXISTS (SELECT 1 FROM json_each(papers.authors) WHERE instr(folded(value), ?))"
            parts.append((names, folded(self.author)))
        if self.venue is not None:
            parts.append(("instr(folded(papers.venue), ?)", folded(self.venue)))
        if self.category is not None:
            category = "EXISTS (SELECT 1 FROM json_each(papers.categories) WHERE value = ?)"
            parts.append((category, self.category))
        return " AND ".join(sql for sql, _ in parts) or "1", [value for _, value in parts]


def order_sql(order: str) -> str:
    """The SQL of an order.

    Raises:
        InputError: there is no such order.

    """
    if order not in ORDERS:
        raise InputError(f"cannot be ordered by {order!r}", hint=f"Use one of {', '.join(ORDERS)}")
    return ORDERS[order]
