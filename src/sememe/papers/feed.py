"""The feed: the papers of a day, a week or a month; the newest first, or what is trending, or what is for me."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from sememe.errors import InputError
from sememe.papers.collection import PaperCollection
from sememe.papers.for_me import DEFAULT, PINNED, learn_interest, rank, reasons_of
from sememe.papers.selecting import Selection
from sememe.papers.store import PaperStore
from sememe.papers.trending import MARK_WEIGHTS, trend

if TYPE_CHECKING:
    from sememe.papers.paper import Paper
    from sememe.papers.reasons import Reason

Period = Literal["day", "week", "month", "all"]
Order = Literal["newest", "trending", "for-me"]
PERIODS: tuple[Period, ...] = ("day", "week", "month", "all")
FEED_ORDERS: tuple[Order, ...] = ("newest", "trending", "for-me")
NEWEST = "newest first"
FOR_ME = (
    "standard deviations above an average paper, in meaning and in words, towards what you like and away from what you "
    f"do not; a pinned author adds {PINNED:g}"
)


class Bounds(NamedTuple):
    """The first and the last day of a period; None and None for all."""

    since: datetime.date | None
    until: datetime.date | None


@dataclass(frozen=True)
class Entry:
    """A paper in a feed.

    Attributes:
        paper: the paper.
        score: what the feed is ordered by; 0 when it is the date.
        reasons: why it stands where it stands.
        marks: its marks, and when each was set.

    """

    paper: Paper
    score: float
    reasons: Sequence[Reason]
    marks: Mapping[str, datetime.datetime]


@dataclass(frozen=True)
class Feed:
    """A page of a feed.

    Attributes:
        entries: the papers of the page.
        since: the first day of the period; None for all.
        until: its last day; None for all.
        order: what was asked for.
        formula: how the entries are ordered, in words.
        total: how many papers the whole feed has.
        note: what a reader should know, such as that there are too few marks yet; may be empty.

    """

    entries: Sequence[Entry]
    since: datetime.date | None
    until: datetime.date | None
    order: Order
    formula: str
    total: int
    note: str = ""


def feed(
    source: PaperCollection | PaperStore,
    *,
    period: Period = "day",
    day: datetime.date | None = None,
    order: Order = "newest",
    interest: str = DEFAULT,
    unread: bool = False,
    limit: int = 50,
    offset: int = 0,
    now: datetime.datetime | None = None,
) -> Feed:
    """A page of the feed. Hidden papers are never in it.

    Args:
        source: a feed folder; its store alone will do for `newest` and `trending`.
        period: the `day`, the week from Monday to Sunday, or the calendar month; `all` also has papers without a date.
        day: a day of the period; by default that of the newest paper.
        order: `newest`, `trending` or `for-me`.
        interest: whose interest `for-me` means.
        unread: leave out what is marked read.
        limit: entries on a page.
        offset: entries before it.
        now: the moment from which the age of marks is counted; by default this one.

    Raises:
        InputError: an argument cannot be used.

    """
    _check(period, order, limit, offset)
    store = source if isinstance(source, PaperStore) else source.store
    day = day or _newest_day(store)
    within = bounds(period, day)
    ids = _ids(store, within, unread)
    page = slice(offset, offset + limit)
    if order == "for-me":
        if not isinstance(source, PaperCollection):
            raise InputError("for-me needs the index of the papers", hint="Give a PaperCollection, not its store")
        return _for_me(source, ids, interest, page, within)
    if order == "trending":
        return _trending(store, ids, page, within, now or datetime.datetime.now(datetime.UTC))
    return Feed(_entries(store, ids[page]), *within, order, NEWEST, len(ids))


def bounds(period: Period, day: datetime.date | None) -> Bounds:
    """The first and the last day of the period that a day lies in; None and None for `all`, or without a day."""
    if period == "all" or day is None:
        return Bounds(None, None)
    if period == "day":
        return Bounds(day, day)
    if period == "week":
        monday = day - datetime.timedelta(days=day.weekday())
        return Bounds(monday, monday + datetime.timedelta(days=6))
    first = day.replace(day=1)
    next_month = (first + datetime.timedelta(days=31)).replace(day=1)
    return Bounds(first, next_month - datetime.timedelta(days=1))


def _check(period: str, order: str, limit: int, offset: int) -> None:
    problems = []
    if period not in PERIODS:
        problems.append(f"there is no period {period!r}, only {', '.join(PERIODS)}")
    if order not in FEED_ORDERS:
        problems.append(f"there is no order {order!r}, only {', '.join(FEED_ORDERS)}")
    if limit < 1 or offset < 0:
        problems.append(f"cannot show {limit} papers from number {offset}")
    if problems:
        raise InputError("; ".join(problems))


def _newest_day(store: PaperStore) -> datetime.date | None:
    newest = store.select(limit=1)
    return newest[0].date if newest else None


def _ids(store: PaperStore, within: Bounds, unread: bool) -> list[str]:
    ids = store.ids(Selection(*within, unmarked="hidden"))
    read = set(store.marked("read")) if unread else set()
    return [id for id in ids if id not in read]


def _entries(store: PaperStore, ids: Sequence[str]) -> list[Entry]:
    marks = store.marks(ids)
    return [Entry(paper, 0.0, (), marks[paper.id]) for paper in store.papers(ids)]


def _trending(
    store: PaperStore,
    ids: Sequence[str],
    page: slice,
    within: Bounds,
    now: datetime.datetime,
) -> Feed:
    papers = store.papers(ids)
    marked = {id for kind in MARK_WEIGHTS for id in store.marked(kind)}
    trends = trend(papers, store.marks([id for id in ids if id in marked]), _last_day(papers, within.until), now)
    order = np.argsort(-np.asarray(trends.scores), kind="stable")[page]
    marks = store.marks([papers[place].id for place in order])
    entries = [
        Entry(papers[place], trends.scores[place], trends.reasons[place], marks[papers[place].id]) for place in order
    ]
    note = "" if any(trends.scores) else "nothing was voted for or marked: the newest come first"
    return Feed(entries, *within, "trending", trends.formula, len(ids), note)


def _last_day(papers: Sequence[Paper], until: datetime.date | None) -> datetime.date:
    """The day from which ages are counted: that of the newest paper, which is not after the period's end."""
    return max((paper.date for paper in papers if paper.date), default=until or datetime.date.min)


def _for_me(
    collection: PaperCollection,
    ids: Sequence[str],
    interest: str,
    page: slice,
    within: Bounds,
) -> Feed:
    learned = learn_interest(collection, interest)
    ranked, scores = rank(collection, ids, learned)
    shown = ranked[page]
    note = learned.note if learned.score is None or not collection.note else f"{learned.note}. {collection.note}"
    reasons = reasons_of(collection, shown, learned)
    entries = [
        replace(entry, score=float(score), reasons=why)
        for entry, score, why in zip(_entries(collection.store, shown), scores[page], reasons, strict=True)
    ]
    formula = NEWEST if learned.score is None else FOR_ME
    return Feed(entries, *within, "for-me", formula, len(ranked), note)
