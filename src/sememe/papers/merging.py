"""Several records of one paper become one: what each source knows best."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import asdict
from typing import Any

from sememe.papers.identity import known_identities, ranked
from sememe.papers.paper import Paper
from sememe.papers.rows import FIELDS, to_row

INDEXED = ("title", "abstract", "authors", "date", "venue", "categories", "keywords")
"""What a search reads: a change of these must reach the index."""

RECORDED = (*INDEXED, "version")
"""A change of these ends a version of the paper, which its history keeps; votes come and go without one."""


def merge(old: Paper, new: Paper) -> Paper:
    """What is known of a paper after `new`: what it says replaces what was known, what it leaves out stays.

    But an earlier version fills gaps only; the date is the first one, and a mere year (the first of January) gives way
    to a day; the longer list of authors stays.
    """
    later = old if new.version < old.version else new
    earlier = new if later is old else old
    authors = later.authors if len(later.authors) >= len(earlier.authors) else earlier.authors
    return Paper(
        id=old.id,
        title=later.title,
        abstract=later.abstract or earlier.abstract,
        authors=authors,
        n_authors=_count(authors, later.n_authors, earlier.n_authors),
        date=_first_day(old.date, new.date),
        votes=old.votes if new.votes is None else new.votes,
        url=later.url or earlier.url,
        venue=later.venue or earlier.venue,
        categories=later.categories or earlier.categories,
        keywords=later.keywords or earlier.keywords,
        version=later.version,
        source=later.source or earlier.source,
        identities=tuple(ranked({*known_identities(old), *known_identities(new)} - {old.id})),
    )


def differs(one: Paper, other: Paper, fields: tuple[str, ...]) -> bool:
    """Whether two records differ in one of `fields`."""
    return any(getattr(one, name) != getattr(other, name) for name in fields)


def digest(paper: Paper) -> bytes:
    """A hash of what a record says, wherever it was read: 16 bytes of BLAKE2b."""
    said = [value for name, value in zip(FIELDS, to_row(paper), strict=True) if name != "source"]
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def to_json(paper: Paper) -> str:
    """A record as the history keeps it."""
    return json.dumps(asdict(paper), ensure_ascii=False, separators=(",", ":"), default=str)


def from_json(text: str) -> Paper:
    """What `to_json` wrote."""
    fields: dict[str, Any] = json.loads(text)
    day = fields.pop("date")
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Paper(**fields, date=datetime.date.fromisoformat(day) if day else None)


def _count(authors: tuple[str, ...], *said: int | None) -> int | None:
    """How many authors there are, where that says more than the names do."""
    count = next((number for number in said if number is not None), None)
    return count if count is not None and count > len(authors) else None


def _first_day(old: datetime.date | None, new: datetime.date | None) -> datetime.date | None:
    known = [day for day in (old, new) if day is not None]
    days = [day for day in known if (day.month, day.day) != (1, 1)]
    return min(days or known, default=None)
