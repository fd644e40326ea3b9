"""Taking records in: which paper each one is, and what it adds to what is known."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from sememe.papers.identity import (
    KINDS,
    best_identity,
    conflict,
    kind_of,
    known_identities,
    require_identity,
    said_identities,
    same_by_title,
    similar_titles,
    title_identity,
)
from sememe.papers.merging import INDEXED, RECORDED, differs, digest, merge, to_json
from sememe.papers.paper import Paper
from sememe.papers.rows import FIELDS, now, read_papers, to_row

Outcome = Literal["imported", "updated", "skipped"]

_INSERT = (
    f"INSERT INTO papers ({', '.join(FIELDS)}, added, changed, revision) VALUES ({','.join('?' * (len(FIELDS) + 3))})"  # noqa: S608
)
_UPDATE = f"UPDATE papers SET {', '.join(f'{name}=?' for name in FIELDS)}, changed=?, revision=? WHERE number=?"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a number of records.

    Args:
        imported: papers that were new.
        updated: papers about which something new became known.
        skipped: records that brought nothing new.

    """

    imported: int = 0
    updated: int = 0
    skipped: int = 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(self.imported + other.imported, self.updated + other.updated, self.skipped + other.skipped)


def next_batch(records: Iterator[Paper], size: int) -> tuple[list[Paper], Exception | None]:
    """At most `size` records, and what went wrong behind them."""
    batch: list[Paper] = []
    try:
        batch.extend(islice(records, size))
    except Exception as error:  # the caller raises it again, once what came before it is on disk
        return batch, error
    return batch, None


def add_papers(connection: sqlite3.Connection, papers: Sequence[Paper]) -> Imported:
    """Take records in, within the caller's transaction.

    Raises:
        InputError: a record's id is of no known kind.

    """
    adding = _Adding(connection)
    counts: dict[Outcome, int] = {"imported": 0, "updated": 0, "skipped": 0}
    for paper in papers:
        counts[adding.add(paper)] += 1
    adding.finish()
    return Imported(**counts)


class _Adding:
    """One transaction's records. All changed papers get the transaction's revision."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._do = connection.execute
        self._connection = connection
        self._last = int(self._do("SELECT value FROM counters WHERE name='revision'").fetchone()[0])
        self._revision = self._last
        self._now = now()

    def add(self, paper: Paper) -> Outcome:
        record = digest(paper)
        own = require_identity(paper.id)
        if not self._do("INSERT OR IGNORE INTO records VALUES (?)", (record,)).rowcount:
            return "skipped"
        paper = replace(paper, id=own, identities=tuple(said_identities(paper)))
        numbers, paper = self._find(paper)
        if not numbers:
            self._insert(paper, record)
            return "imported"
        number = min(numbers)
        for other in sorted(numbers - {number}):
            self._unite(number, other)
        return "updated" if self._update(number, paper) or len(numbers) > 1 else "skipped"

    def finish(self) -> None:
        """Keep the revision."""
        if self._revision != self._last:
            self._do("UPDATE counters SET value=? WHERE name='revision'", (self._revision,))

    def _find(self, paper: Paper) -> tuple[set[int], Paper]:
        """The papers that a record is about, and the record without identities that are another paper's."""
        found: dict[int, Paper] = {}
        for identity, number, known in self._candidates(paper):
            is_title = kind_of(identity) == "title"
            if number in found:
                continue
            is_same = same_by_title(paper, known) if is_title else _is_same(identity, paper, known)
            if is_same and not any(conflict(known_identities(known), known_identities(one)) for one in found.values()):
                found[number] = known
            elif not is_title:
                paper = _without(paper, identity)
        return set(found), paper

    def _candidates(self, paper: Paper) -> Iterator[tuple[str, int, Paper]]:
        titles = {title_identity(paper.title), *([paper.id] if kind_of(paper.id) == "title" else [])}
        for identity in (*paper.identities, *sorted(titles)):
            numbers = self._do("SELECT paper FROM identities WHERE identity=? ORDER BY paper", (identity,)).fetchall()
            for number, known in read_papers(self._connection, [number for (number,) in numbers]).items():
                yield identity, number, known

    def _insert(self, paper: Paper, record: bytes) -> None:
        self._revision = self._last + 1
        own = self._free_id(paper, record)
        paper = replace(paper, id=own, identities=tuple(name for name in paper.identities if name != own))
        cursor = self._do(_INSERT, (*to_row(paper), self._now, self._now, self._revision))
        self._name(int(cursor.lastrowid or 0), paper)

    def _free_id(self, paper: Paper, record: bytes) -> str:
        if paper.id in paper.identities:
            return paper.id  # strong, and `_find` found no other paper that has it
        if paper.identities:
            return best_identity(paper.identities, paper.title)
        # Papers without an id of their own and with one title, such as two prefaces, are told apart by authors.
        titles = (
            paper.id,
            title_identity(paper.title),
            title_identity(paper.title, paper.authors),
            f"title:{record.hex()[:16]}",
        )
        return next(name for name in titles if not self._is_taken(name))

    def _is_taken(self, identity: str) -> bool:
        return self._do("SELECT 1 FROM identities WHERE identity=?", (identity,)).fetchone() is not None

    def _name(self, number: int, paper: Paper) -> None:
        names = {paper.id, title_identity(paper.title), *paper.identities}
        for name in sorted(names):
            self._do("INSERT OR IGNORE INTO identities VALUES (?, ?)", (name, number))

    def _update(self, number: int, paper: Paper) -> bool:
        known = read_papers(self._connection, [number])[number]
        merged = merge(known, paper)
        self._name(number, replace(paper, id=known.id))
        if not differs(replace(merged, source=known.source), known, FIELDS):
            return paper.version < known.version and self._remember(number, paper, self._now)
        if paper.version < known.version:
            self._remember(number, paper, self._now)
        elif differs(merged, known, RECORDED):
            (changed,) = self._do("SELECT changed FROM papers WHERE number=?", (number,)).fetchone()
            self._remember(number, known, changed)
        self._store(number, merged, is_indexed=differs(merged, known, INDEXED))
        return True

    def _remember(self, number: int, paper: Paper, when: str) -> bool:
        self._do("INSERT INTO history (paper, body, added) VALUES (?, ?, ?)", (number, to_json(paper), when))
        return True

    def _store(self, number: int, paper: Paper, *, is_indexed: bool) -> None:
        (revision,) = self._do("SELECT revision FROM papers WHERE number=?", (number,)).fetchone()
        if is_indexed:
            revision = self._revision = self._last + 1
        self._do(_UPDATE, (*to_row(paper), self._now, revision, number))

    def _unite(self, number: int, other: int) -> None:
        """Two papers turn out to be one: the first keeps its id and gets all that was kept with the second."""
        both = read_papers(self._connection, [number, other])
        self._revision = self._last + 1
        self._remember(number, both[other], self._now)
        self._do("UPDATE history SET paper=? WHERE paper=?", (number, other))
        # Liked here and disliked there: what was said of the first stays.
        self._do(
            "DELETE FROM marks WHERE paper=?1 AND kind IN ('liked', 'disliked') AND EXISTS "
            "(SELECT 1 FROM marks WHERE paper=?2 AND kind IN ('liked', 'disliked'))",
            (other, number),
        )
        for table in ("identities", "marks", "tags", "outbox"):
            self._do(f"UPDATE OR IGNORE {table} SET paper=? WHERE paper=?", (number, other))  # noqa: S608
            self._do(f"DELETE FROM {table} WHERE paper=?", (other,))  # noqa: S608
        self._join_notes(number, other)
        self._rename_in_interests(both[other].id, both[number].id)
        self._do("DELETE FROM papers WHERE number=?", (other,))
        self._do("UPDATE merged SET into_id=? WHERE into_id=?", (both[number].id, both[other].id))
        self._do("INSERT OR REPLACE INTO merged VALUES (?, ?, ?)", (both[other].id, both[number].id, self._revision))
        self._store(number, merge(both[number], both[other]), is_indexed=True)

    def _join_notes(self, number: int, other: int) -> None:
        notes = self._do("SELECT text FROM notes WHERE paper IN (?, ?) ORDER BY paper", (number, other)).fetchall()
        if notes:
            text = "\n\n".join(text for (text,) in notes)
            self._do("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (number, text, self._now))
            self._do("DELETE FROM notes WHERE paper=?", (other,))

    def _rename_in_interests(self, old: str, new: str) -> None:
        for name, body in self._do("SELECT name, body FROM interests").fetchall():
            fields = json.loads(body)
            for kind in ("liked", "disliked"):
                fields[kind] = list(dict.fromkeys(new if paper == old else paper for paper in fields[kind]))
            fields["disliked"] = [paper for paper in fields["disliked"] if paper not in fields["liked"]]
            self._do("UPDATE interests SET body=? WHERE name=?", (json.dumps(fields), name))


def _without(paper: Paper, identity: str) -> Paper:
    """A record that no longer says to be `identity`, because another paper is."""
    own = title_identity(paper.title) if paper.id == identity else paper.id
    return replace(paper, id=own, identities=tuple(name for name in paper.identities if name != identity))


def _is_same(identity: str, paper: Paper, known: Paper) -> bool:
    """Whether a paper that has one of a record's identities is what the record is about."""
    kind = kind_of(identity)
    if conflict(known_identities(paper), known_identities(known), KINDS[: KINDS.index(kind)]):
        return False
    return kind != "doi" or similar_titles(paper.title, known.title)
