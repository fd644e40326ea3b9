"""What a reader keeps with a paper: marks, a note, tags."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterable, Mapping

from sememe.errors import InputError
from sememe.papers.paper import one_line
from sememe.papers.rows import moment, now

MARKS = ("read", "saved", "liked", "disliked", "hidden")
_OPPOSITE = {"liked": "disliked", "disliked": "liked"}
MAX_NOTE = 1 << 20
MAX_TAG = 100


def require_mark(kind: str) -> str:
    """`kind`, if there is such a mark.

    Raises:
        InputError: there is not.

    """
    if kind not in MARKS:
        raise InputError(f"there is no mark {kind!r}", hint=f"Use one of {', '.join(MARKS)}")
    return kind


def set_mark(connection: sqlite3.Connection, number: int, kind: str, on: bool) -> None:
    """Set a mark or take it away; liked and disliked exclude each other. Setting it twice keeps the first moment."""
    require_mark(kind)
    if not on:
        connection.execute("DELETE FROM marks WHERE paper=? AND kind=?", (number, kind))
        return
    if kind in _OPPOSITE:
        connection.execute("DELETE FROM marks WHERE paper=? AND kind=?", (number, _OPPOSITE[kind]))
    connection.execute("INSERT OR IGNORE INTO marks VALUES (?, ?, ?)", (number, kind, now()))


def read_marks(connection: sqlite3.Connection, numbers: Mapping[str, int]) -> dict[str, dict[str, datetime.datetime]]:
    """The marks of papers, by what they were asked for."""
    found: dict[str, dict[str, datetime.datetime]] = {}
    for name, number in numbers.items():
        rows = connection.execute("SELECT kind, at FROM marks WHERE paper=? ORDER BY at", (number,))
        found[name] = {kind: moment(at) for kind, at in rows}
    return found


def read_marked(connection: sqlite3.Connection, kind: str) -> list[str]:
    """The ids of the papers with a mark, the last marked one first.

    Raises:
        InputError: there is no such mark.

    """
    sql = "SELECT id FROM papers JOIN marks ON paper=number WHERE kind=? ORDER BY at DESC, number DESC"
    return [identity for (identity,) in connection.execute(sql, (require_mark(kind),))]


def read_note(connection: sqlite3.Connection, number: int) -> str:
    """The note on a paper, or an empty text."""
    row = connection.execute("SELECT text FROM notes WHERE paper=?", (number,)).fetchone()
    return "" if row is None else str(row[0])


def read_tags(connection: sqlite3.Connection, number: int) -> tuple[str, ...]:
    """The tags of a paper, sorted."""
    return tuple(tag for (tag,) in connection.execute("SELECT tag FROM tags WHERE paper=? ORDER BY tag", (number,)))


def set_note(connection: sqlite3.Connection, number: int, text: str) -> None:
    """Keep a note; an empty one takes it away.

    Raises:
        InputError: it is longer than a million characters, or not valid Unicode.

    """
    if len(text) > MAX_NOTE:
        raise InputError(f"is a note of {len(text):,} characters; {MAX_NOTE:,} are allowed")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError("is a note with half of a surrogate pair, which is not a character")
    if text.strip():
        connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (number, text, now()))
    else:
        connection.execute("DELETE FROM notes WHERE paper=?", (number,))


def set_tags(connection: sqlite3.Connection, number: int, tags: Iterable[str]) -> None:
    """Replace the tags of a paper.

    Raises:
        InputError: one is empty, too long, or holds a comma, which separates tags.

    """
    names = sorted({one_line(tag) for tag in tags})
    bad = next((name for name in names if not name or len(name) > MAX_TAG or "," in name), None)
    if bad is not None:
        raise InputError(f"is not a tag: {bad[:40]!r}", hint=f"A tag has 1 to {MAX_TAG} characters and no comma")
    connection.execute("DELETE FROM tags WHERE paper=?", (number,))
    connection.executemany("INSERT INTO tags VALUES (?, ?)", [(number, name) for name in names])
