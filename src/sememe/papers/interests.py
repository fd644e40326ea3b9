"""Interests: what a reader wants to see more and less of."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from sememe.errors import InputError
from sememe.papers.paper import one_line
from sememe.papers.rows import numbers_of, read_papers


@dataclass(frozen=True, slots=True)
class Interest:
    """What a *for me* feed is made from.

    Args:
        name: what it is called.
        liked: ids of papers to show more of.
        disliked: ids of papers to show less of.
        authors: people whose papers are always shown first.
        require: keywords of which a paper must have one.
        forbid: keywords that a paper must not have.
        atom_weights: by the number of an atom, the weight that the reader gave it in place of the learned one.

    """

    name: str = "me"
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    atom_weights: Mapping[int, float] = field(default_factory=dict)


def read_interests(connection: sqlite3.Connection) -> list[Interest]:
    """All interests, by name."""
    rows = connection.execute("SELECT name, body FROM interests ORDER BY name")
    return [_from_json(name, body) for name, body in rows]


def read_interest(connection: sqlite3.Connection, name: str) -> Interest | None:
    """One interest, or None."""
    row = connection.execute("SELECT body FROM interests WHERE name=?", (name,)).fetchone()
    return None if row is None else _from_json(name, row[0])


def write_interest(connection: sqlite3.Connection, interest: Interest) -> None:
    """Keep an interest in the place of the one of its name.

    Raises:
        InputError: it has no usable name, a paper is unknown or both liked and disliked, or a weight is not a number.

    """
    name = interest.name
    if not name or name != one_line(name) or len(name) > 100:
        raise InputError(f"is not the name of an interest: {name[:40]!r}", hint="Use one line of 1 to 100 characters")
    if not all(math.isfinite(weight) for weight in interest.atom_weights.values()):
        raise InputError("has a weight that is not a number", where=f"interest {name}")
    fields = {key: value for key, value in asdict(interest).items() if key != "name"}
    for kind in ("liked", "disliked"):
        fields[kind] = _ids(connection, fields[kind], f"interest {name}")
    both = set(fields["liked"]) & set(fields["disliked"])
    if both:
        raise InputError(f"both likes and dislikes {min(both)}", where=f"interest {name}", hint="Take one of them out")
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    connection.execute("INSERT OR REPLACE INTO interests VALUES (?, ?)", (name, body))


def _ids(connection: sqlite3.Connection, ids: tuple[str, ...], where: str) -> list[str]:
    """The ids that the store itself uses, whatever identity each paper was named by."""
    numbers = numbers_of(connection, ids)
    missing = next((identity for identity in ids if identity not in numbers), None)
    if missing is not None:
        raise InputError(f"names a paper that is not in the store: {missing[:80]}", where=where)
    papers = read_papers(connection, numbers.values())
    return list(dict.fromkeys(papers[numbers[identity]].id for identity in ids))


def _from_json(name: str, body: str) -> Interest:
    fields = json.loads(body)
    weights = {int(atom): float(weight) for atom, weight in fields.pop("atom_weights").items()}
    return Interest(name=name, atom_weights=weights, **{key: tuple(value) for key, value in fields.items()})
