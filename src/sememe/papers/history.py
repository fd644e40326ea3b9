"""What was known of a paper, and when."""

from __future__ import annotations

import datetime
import sqlite3
from dataclasses import dataclass

from sememe.papers.merging import from_json
from sememe.papers.paper import Paper
from sememe.papers.rows import moment, read_papers


@dataclass(frozen=True, slots=True)
class PaperVersion:
    """A paper as it was known from a moment on."""

    paper: Paper
    added: datetime.datetime


def read_versions(connection: sqlite3.Connection, number: int) -> list[PaperVersion]:
    """The versions of a paper, the earliest first; the last one is what is known now."""
    rows = connection.execute("SELECT body, added FROM history WHERE paper=?", (number,)).fetchall()
    past = [PaperVersion(from_json(body), moment(added)) for body, added in rows]
    past.sort(key=lambda version: (version.paper.version, version.added))
    (changed,) = connection.execute("SELECT changed FROM papers WHERE number=?", (number,)).fetchone()
    return [*past, PaperVersion(read_papers(connection, [number])[number], moment(changed))]
