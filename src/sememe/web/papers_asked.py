"""What an address of the feed asks for, and the addresses of what is near it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sememe.errors import InputError
from sememe.papers.feed import FEED_ORDERS, PERIODS, Order, Period
from sememe.papers.for_me import DEFAULT
from sememe.web.listing import page_number

PER_PAGE = 30
SEARCH_MODES = ("hybrid", "dense", "lexical")
WHERE = {"": "everything", "saved": "saved", "liked": "liked", "read": "read"}
MAX_QUERY = 2000


@dataclass(frozen=True)
class FeedAsked:
    """A page of the feed.

    Attributes:
        period: what was asked for; empty for the shortest period that has something to read.
        day: a day of it; None for that of the newest paper.
    """

    period: Period | None = None
    day: datetime.date | None = None
    order: Order = "newest"
    interest: str = DEFAULT
    unread: bool = False
    page: int = 1

    @classmethod
    def read(cls, given: Mapping[str, str]) -> FeedAsked:
        """From the parameters of an address.

        Raises:
            InputError: one of them means nothing.
        """
        period, order = given.get("period") or None, given.get("order") or "newest"
        if period not in (None, *PERIODS):
            raise InputError(f"there is no period {period!r}", where="period", hint=f"Use {', '.join(PERIODS)}")
        if order not in FEED_ORDERS:
            raise InputError(f"there is no order {order!r}", where="order", hint=f"Use {', '.join(FEED_ORDERS)}")
        return cls(
            period,
            read_day(given.get("day", ""), "day"),
            order,
            given.get("interest") or DEFAULT,
            bool(given.get("unread")),
            page_number(given.get("page", "")),
        )

    def url(self, path: str = "/", **changes: Any) -> str:
        """The address of this page of the feed, or of one that differs; a change begins with the first page."""
        asked = dataclasses.replace(self, **{"page": 1, **changes} if changes else {})
        given = {
            "period": asked.period,
            "day": asked.day.isoformat() if asked.day else None,
            "order": asked.order if asked.order != "newest" else None,
            "interest": asked.interest if asked.order == "for-me" and asked.interest != DEFAULT else None,
            "unread": "1" if asked.unread else None,
            "page": str(asked.page) if asked.page > 1 else None,
        }
        return address(path, given)


@dataclass(frozen=True)
class SearchAsked:
    """A search: a query, or papers to find others like."""

    query: str = ""
    mode: str = "hybrid"
    mark: str = ""
    since: datetime.date | None = None
    until: datetime.date | None = None
    tag: str = ""
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    page: int = 1

    @classmethod
    def read(cls, parameters: list[tuple[str, str]]) -> SearchAsked:
        """From the parameters of an address.

        Raises:
            InputError: one of them means nothing.
        """
        given = dict(parameters)
        query, mode, mark = given.get("q", "").strip(), given.get("mode") or "hybrid", given.get("mark", "")
        if len(query) > MAX_QUERY:
            raise InputError(f"a query may have {MAX_QUERY} characters", where="q", hint="Shorten it")
        if mode not in SEARCH_MODES:
            raise InputError(f"there is no mode {mode!r}", where="mode", hint=f"Use {', '.join(SEARCH_MODES)}")
        if mark not in WHERE:
            raise InputError(f"there is no mark {mark!r}", where="mark", hint=f"Use {', '.join(filter(None, WHERE))}")
        return cls(
            query,
            mode,
            mark,
            read_day(given.get("since", ""), "since"),
            read_day(given.get("until", ""), "until"),
            given.get("tag", "").strip(),
            tuple(value for name, value in parameters if name == "like"),
            tuple(value for name, value in parameters if name == "unlike"),
            page_number(given.get("page", "")),
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for yet."""
        return not (self.query or self.mark or self.tag or self.like or self.since or self.until)

    @property
    def is_listing(self) -> bool:
        """Whether papers are only chosen, by marks, tags and days, and not searched for."""
        return not self.query and not self.like

    def url(self, path: str = "/search", **changes: Any) -> str:
        """The address of this search, or of one that differs."""
        asked = dataclasses.replace(self, **{"page": 1, **changes} if changes else {})
        given = {
            "q": asked.query,
            "mode": asked.mode if asked.mode != "hybrid" else None,
            "mark": asked.mark,
            "since": asked.since.isoformat() if asked.since else None,
            "until": asked.until.isoformat() if asked.until else None,
            "tag": asked.tag,
            "like": asked.like,
            "unlike": asked.unlike,
            "page": str(asked.page) if asked.page > 1 else None,
        }
        return address(path, given)

    def toggled(self, kind: str, id: str) -> SearchAsked:
        """The same search with a paper marked as `like` or `unlike`, or no longer so."""
        other = "unlike" if kind == "like" else "like"
        chosen: tuple[str, ...] = getattr(self, kind)
        changed = tuple(one for one in chosen if one != id) if id in chosen else (*chosen, id)
        others = tuple(one for one in getattr(self, other) if one != id)
        liked, unliked = (changed, others) if kind == "like" else (others, changed)
        return dataclasses.replace(self, page=1, like=liked, unlike=unliked)


def address(path: str, given: Mapping[str, Any]) -> str:
    """A path with those parameters that have a value."""
    kept = {name: value for name, value in given.items() if value}
    return path + (f"?{urlencode(kept, doseq=True)}" if kept else "")


def paper_url(id: str, **parameters: Any) -> str:
    """The address of a paper's page; every character of the id is kept, slashes too."""
    return address(f"/paper/{quote(id, safe='')}", parameters)


def interest_url(name: str) -> str:
    """The address of an interest's page."""
    return f"/interest/{quote(name, safe='')}"


def read_day(text: str, where: str) -> datetime.date | None:
    """A day as ISO 8601 writes it; None for an empty text.

    Raises:
        InputError: it is none.
    """
    if not text.strip():
        return None
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{text!r} is no day", where=where, hint="Write it like 2026-11-26") from None
