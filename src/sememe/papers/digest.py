"""Choosing what goes into a subscriber's digest: papers of its period and interest that were not sent there before."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sememe.papers.for_me import learn_interest, rank, reasons_of
from sememe.papers.message import DigestEntry
from sememe.papers.selecting import Selection
from sememe.papers.sending import Digest, require_interest
from sememe.papers.trending import trend

if TYPE_CHECKING:
    from sememe.papers.collection import PaperCollection
    from sememe.papers.reasons import Reason
    from sememe.papers.subscriptions import Every, Subscription

# Sources are late, over a weekend above all, so a digest looks back further than its own days: what was sent is left
# out anyway.
LOOK_BACK: dict[Every, int] = {"daily": 3, "weekly": 9}
SHOWN_REASONS = 4


def choose(
    collection: PaperCollection,
    subscription: Subscription,
    *,
    day: datetime.date,
    since: datetime.date | None = None,
) -> Digest:
    """The best papers for a subscriber, at most as many as the subscription says; there may be none.

    Args:
        collection: the papers, indexed.
        subscription: for whom, and by which interest; without one they are ordered by what is trending.
        day: the last day of the period.
        since: its first day; by default three days for a daily digest and nine for a weekly one.

    Raises:
        InputError: the interest is not there (any more), or has weights of atoms that are not.
    """
    store = collection.store
    require_interest(store, subscription.interest)
    since = since or day - datetime.timedelta(days=LOOK_BACK[subscription.every] - 1)
    promised = {paper for sent in store.sent(subscription.address) for paper in sent.papers}
    found = [id for id in store.ids(Selection(since, day, unmarked="hidden")) if id not in promised]
    order, entries = (
        _trending(collection, found, subscription.at_most)
        if subscription.interest is None
        else _for_me(collection, found, subscription.interest, subscription.at_most)
    )
    return Digest(subscription, entries, _title(subscription.every, since, day), order, day)


def in_words(reasons: Sequence[Reason]) -> list[str]:
    """The strongest reasons as a reader understands them without a page around them."""
    return [_WORDS[reason.kind].format(reason.label) for reason in reasons[:SHOWN_REASONS]]


_WORDS = {"atom": "about {}", "term": "the word “{}”", "author": "by {}", "keyword": "has “{}”", "votes": "{}"}


def _trending(collection: PaperCollection, ids: Sequence[str], at_most: int) -> tuple[str, list[DigestEntry]]:
    papers, marks = collection.store.papers(ids), collection.store.marks(ids)
    today = max((paper.date for paper in papers if paper.date), default=datetime.date.min)
    trends = trend(papers, marks, today, datetime.datetime.now(datetime.UTC))
    best = np.argsort(-np.asarray(trends.scores, np.float64), kind="stable")[:at_most]
    if not any(trends.scores):
        return "The newest first.", [DigestEntry(papers[place]) for place in best]
    formula = f"Trending: {trends.formula}."
    return formula, [DigestEntry(papers[place], in_words(trends.reasons[place])) for place in best]


def _for_me(
    collection: PaperCollection, ids: Sequence[str], interest: str, at_most: int
) -> tuple[str, list[DigestEntry]]:
    learned = learn_interest(collection, interest)
    shown = rank(collection, ids, learned)[0][:at_most]
    reasons = reasons_of(collection, shown, learned)
    entries = [
        DigestEntry(paper, in_words(why)) for paper, why in zip(collection.store.papers(shown), reasons, strict=True)
    ]
    how = "The newest first" if learned.score is None else f"The best for “{interest}” first"
    return f"{how}: {learned.note}.", entries


def _title(every: Every, since: datetime.date, day: datetime.date) -> str:
    if every == "daily" and since >= day - datetime.timedelta(days=LOOK_BACK["daily"] - 1):
        return f"Papers for {_date(day)}"
    return f"Papers from {_date(since)} to {_date(day)}"


def _date(day: datetime.date) -> str:
    return f"{day.day} {day:%B %Y}"
