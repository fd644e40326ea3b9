"""Between a row of the table `papers` and a `Paper`."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from sememe.errors import InputError
from sememe.papers.identity import meant_identity
from sememe.papers.paper import Paper

FIELDS = (
    "id",
    "title",
    "abstract",
    "authors",
    "n_authors",
    "date",
    "votes",
    "url",
    "venue",
    "categories",
    "keywords",
    "version",
    "source",
    "identities",
)
COLUMNS = ", ".join(f"papers.{name}" for name in FIELDS)
_LISTS = ("authors", "categories", "keywords", "identities")
_AT_ONCE = 500
"""How many values one statement is given; SQLite's own limit was 999 for long."""


def to_row(paper: Paper) -> tuple[Any, ...]:
    """The values of `FIELDS`."""
    return tuple(_stored(name, getattr(paper, name)) for name in FIELDS)


def to_paper(row: tuple[Any, ...]) -> Paper:
    """A paper from the values of `FIELDS`."""
    values = dict(zip(FIELDS, row, strict=True))
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name])) if values[name] != "[]" else ()
    if values["date"] is not None:
        values["date"] = datetime.date.fromisoformat(values["date"])
    return Paper(**values)


def now() -> str:
    """The present moment, as the store writes it: UTC, ISO 8601, microseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def moment(text: str) -> datetime.datetime:
    """What `now` wrote."""
    return datetime.datetime.fromisoformat(text)


def numbers_of(connection: sqlite3.Connection, identities: Iterable[str]) -> dict[str, int]:
    """The papers that are known by ids, with their numbers in the database; an id that is unknown is left out.

    Where several papers have a title, its id is the one that bears it, else the first that had it.
    """
    asked = list(dict.fromkeys(identities))
    found: dict[str, int] = {}
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        holes = ",".join("?" * len(part))
        known = connection.execute(
            f"SELECT identity, paper FROM identities WHERE identity IN ({holes}) ORDER BY paper DESC",  # noqa: S608
            part,
        )
        found.update(known.fetchall())
        found.update(connection.execute(f"SELECT id, number FROM papers WHERE id IN ({holes})", part))  # noqa: S608
    return found


def number_of(connection: sqlite3.Connection, id: str) -> int:
    """The number of a paper in the database.

    Raises:
        InputError: it is unknown.

    """
    return require_numbers(connection, [id])[id]


def require_numbers(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    """The number of each paper, by what it was asked for, in that order.

    Raises:
        InputError: one is unknown.

    """
    asked = list(dict.fromkeys(ids))
    numbers = numbers_of(connection, asked)
    for name in asked:
        if name not in numbers:
            identity = meant_identity(name)
            found = numbers_of(connection, [identity])
            if identity not in found:
                hint = "Look it up with: sememe papers list"
                raise InputError(f"there is no such paper: {name[:80]}", hint=hint)
            numbers[name] = found[identity]
    return {name: numbers[name] for name in asked}


def read_papers(connection: sqlite3.Connection, numbers: Iterable[int]) -> dict[int, Paper]:
    """Papers by their numbers."""
    asked = list(dict.fromkeys(numbers))
    found: dict[int, Paper] = {}
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        holes = ",".join("?" * len(part))
        sql = f"SELECT papers.number, {COLUMNS} FROM papers WHERE number IN ({holes})"  # noqa: S608
        found.update((row[0], to_paper(row[1:])) for row in connection.execute(sql, part))
    return found


def _stored(name: str, value: Any) -> Any:
    if name in _LISTS:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else "[]"
    return value.isoformat() if name == "date" and value is not None else value
