"""What goes into a digest: papers of its days, in the order that was subscribed to, each with its reasons."""

from __future__ import annotations

import datetime

import pytest
from made_papers import make_papers

from sememe.errors import InputError
from sememe.papers import Interest, Subscription
from sememe.papers.digest import choose, in_words
from sememe.papers.mail import Outbox
from sememe.papers.reasons import Reason
from sememe.papers.sending import send_digest

ME, DAY = "me@example.org", datetime.date(2026, 1, 20)
SENDER = {"sender": "papers@example.org", "base_url": "http://127.0.0.1:8765"}
PAPERS = {paper.id: paper for paper in make_papers(80)}


def ids(digest):
    return [entry.paper.id for entry in digest.entries]


@pytest.mark.parametrize(("every", "days"), [("daily", 3), ("weekly", 9)])
def test_a_digest_has_the_papers_of_its_days(collection, every, days):
    digest = choose(collection, Subscription(ME, every=every, at_most=500), day=DAY)
    first = DAY - datetime.timedelta(days=days - 1)
    assert sorted(ids(digest)) == sorted(id for id, paper in PAPERS.items() if first <= paper.date <= DAY)
    assert len(digest.entries) == 2 * days
    assert "20 January 2026" in digest.title


def test_it_has_at_most_so_many_and_from_a_day_on(collection):
    assert len(choose(collection, Subscription(ME, at_most=2), day=DAY).entries) == 2
    digest = choose(collection, Subscription(ME, at_most=500), day=DAY, since=datetime.date(2026, 1, 5))
    assert len(digest.entries) == 32
    assert digest.title == "Papers from 5 January 2026 to 20 January 2026"


def test_what_was_sent_or_hidden_is_left_out(collection, tmp_path):
    subscription = Subscription(ME, at_most=500)
    before = ids(choose(collection, subscription, day=DAY))
    collection.store.mark(before[0], "hidden")
    send_digest(collection.store, choose(collection, Subscription(ME, at_most=2), day=DAY), Outbox(tmp_path), **SENDER)
    after = ids(choose(collection, subscription, day=DAY))
    assert len(after) == len(before) - 3
    assert before[0] not in after


def test_trending_papers_come_first_and_say_why(collection):
    papers = [id for id, paper in PAPERS.items() if paper.date == DAY]
    collection.store.mark(papers[1], "liked")
    digest = choose(collection, Subscription(ME), day=DAY)
    assert ids(digest)[0] == papers[1]
    assert digest.entries[0].reasons == ["marked liked"]
    assert digest.order.startswith("Trending: no votes, so marks")


def test_a_digest_for_an_interest_is_ordered_by_it_and_says_why(collection):
    vision = [id for id, paper in PAPERS.items() if paper.categories == ("vision",)]
    audio = [id for id, paper in PAPERS.items() if paper.categories == ("audio",)]
    collection.store.save_interest(Interest("sight", liked=tuple(vision[:5]), disliked=tuple(audio[:3])))
    digest = choose(collection, Subscription(ME, interest="sight", every="weekly"), day=DAY)
    best = [PAPERS[id].categories[0] for id in ids(digest)][:4]
    assert best.count("vision") >= 3
    assert all(entry.reasons for entry in digest.entries[:3])
    assert digest.order == "The best for “sight” first: learned from 5 + and 3 −."


def test_with_too_few_marks_the_newest_come_first(collection):
    digest = choose(collection, Subscription(ME, interest="me"), day=DAY)
    assert digest.order.startswith("The newest first: 0 + and 0 − so far")
    dates = [entry.paper.date for entry in digest.entries]
    assert dates == sorted(dates, reverse=True)


def test_weights_of_atoms_that_are_not_there_are_named(collection):
    vision = tuple(id for id, paper in PAPERS.items() if paper.categories == ("vision",))
    interest = Interest("sight", liked=vision[:5], disliked=tuple(PAPERS)[1:4], atom_weights={3: 1.0})
    collection.store.save_interest(interest)
    with pytest.raises(InputError, match="no atoms"):
        choose(collection, Subscription(ME, interest="sight"), day=DAY)


def test_an_interest_that_is_not_there_is_named(collection):
    with pytest.raises(InputError, match="no interest 'sihgt'"):
        choose(collection, Subscription(ME, interest="sihgt"), day=DAY)


def test_reasons_in_words():
    reasons = [
        Reason("atom", "speech, voice", 0.5, 3),
        Reason("term", "pitch", 0.2),
        Reason("author", "Ada Müller", 3.0),
        Reason("keyword", "noise", 0.0),
        Reason("votes", "5 votes, 2 days old", 4.0),
    ]
    assert in_words(reasons) == ["about speech, voice", "the word “pitch”", "by Ada Müller", "has “noise”"]
    assert in_words(reasons[4:]) == ["5 votes, 2 days old"]
