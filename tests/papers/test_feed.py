"""The feed by day, week and month; what is trending; what is for me, with weights that the reader sets."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
from made_papers import FIRST_DAY, make_papers

from sememe.errors import InputError
from sememe.papers import Interest, PaperStore
from sememe.papers.editing import Edit, edit_interest
from sememe.papers.feed import bounds, feed
from sememe.papers.for_me import PINNED, drivers, learn_interest
from sememe.papers.learning import atom_weights, edited, learn
from sememe.papers.trending import trend

NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
ROBOTS = [f"arxiv:2601.{number:05d}" for number in (2, 6, 10, 14, 18)]
OTHERS = [f"arxiv:2601.{number:05d}" for number in (0, 1, 3)]


def mark(store, liked=ROBOTS, disliked=OTHERS):
    for id in liked:
        store.mark(id, "liked")
    for id in disliked:
        store.mark(id, "disliked")


def ids(found):
    return [entry.paper.id for entry in found.entries]


@pytest.mark.parametrize(
    ("period", "day", "expected"),
    [
        ("day", "2026-02-11", ("2026-02-11", "2026-02-11")),
        ("week", "2026-02-11", ("2026-02-09", "2026-02-15")),
        ("week", "2026-01-01", ("2025-12-29", "2026-01-04")),
        ("month", "2024-02-11", ("2024-02-01", "2024-02-29")),
        ("month", "2025-12-31", ("2025-12-01", "2025-12-31")),
    ],
)
def test_bounds_of_periods(period, day, expected):
    assert bounds(period, datetime.date.fromisoformat(day)) == tuple(map(datetime.date.fromisoformat, expected))


def test_a_feed_has_the_papers_of_its_period_the_newest_first(collection):
    found = feed(collection, period="week", day=FIRST_DAY)
    assert [entry.paper.date for entry in found.entries] == sorted(
        (FIRST_DAY + datetime.timedelta(days=n // 2) for n in range(14)), reverse=True
    )
    assert found.total == 14
    assert ids(feed(collection)) == ["arxiv:2601.00079", "arxiv:2601.00078"]
    pages = [ids(feed(collection, period="all", limit=30, offset=start)) for start in (0, 30, 60)]
    assert [len(page) for page in pages] == [30, 30, 20]
    assert len({id for page in pages for id in page}) == 80


@pytest.mark.parametrize("order", ["newest", "trending", "for-me"])
def test_hidden_and_read_papers(collection, order):
    mark(collection.store)
    everything = ids(feed(collection, period="all", order=order, limit=80))
    hidden, read = everything[0], everything[1]
    collection.store.mark(hidden, "hidden")
    collection.store.mark(read, "read")
    assert hidden not in ids(feed(collection, period="all", order=order, limit=80))
    assert read in ids(feed(collection, period="all", order=order, limit=80))
    assert read not in ids(feed(collection, period="all", order=order, limit=80, unread=True))


def test_an_empty_store_has_an_empty_feed(tmp_path):
    with PaperStore.open(tmp_path, create=True) as store:
        found = feed(store)
    assert (found.entries, found.total, found.since) == ([], 0, None)


@pytest.mark.parametrize(
    "wrong", [{"period": "year"}, {"order": "best"}, {"limit": 0}, {"offset": -1}, {"order": "for-me"}]
)
def test_what_cannot_be_shown_is_refused(folder, wrong):
    with PaperStore.open(folder) as store, pytest.raises(InputError):
        feed(store, **wrong)


def test_votes_halve_in_a_week():
    old, new, unvoted, undated = make_papers(4)
    day = datetime.date(2026, 2, 1)
    old = replace(old, votes=40, date=day - datetime.timedelta(days=14))
    new = replace(new, votes=12, date=day)
    undated = replace(undated, votes=80, date=None)
    found = trend([old, new, replace(unvoted, date=day), undated], {}, day, NOW)
    assert found.scores == [10.0, 12.0, 0.0, 20.0]
    assert found.formula == "votes × 0.5^(age in days / 7)"
    assert [[reason.label for reason in one] for one in found.reasons] == [
        ["40 votes, 14 days old"],
        ["12 votes, 0 days old"],
        [],
        ["80 votes, 14 days old"],
    ]


def test_without_votes_marks_trend_and_say_so():
    papers = make_papers(3)
    week = datetime.timedelta(days=7)
    marks = {papers[0].id: {"read": NOW}, papers[1].id: {"saved": NOW - 2 * week, "liked": NOW - week, "hidden": NOW}}
    found = trend(papers, marks, FIRST_DAY, NOW)
    assert found.scores == [1.0, 2.0, 0.0]
    assert "no votes" in found.formula


def test_trending_in_a_feed_follows_votes(collection):
    wanted = ["arxiv:2601.00011", "arxiv:2601.00008"]
    for id, votes in zip(wanted, (30, 20), strict=True):
        collection.store.add([replace(collection.store.paper(id), votes=votes)])
    found = feed(collection, period="month", day=FIRST_DAY, order="trending")
    assert ids(found)[:2] == wanted
    assert found.entries[0].reasons[0].kind == "votes"
    assert not found.note


def test_too_few_marks_say_so_and_show_the_newest(collection):
    mark(collection.store, ROBOTS, OTHERS[:2])
    found = feed(collection, period="all", order="for-me")
    assert found.note == "5 + and 2 − so far; 5 + and 3 − are needed to learn what you like"
    assert found.formula == "newest first"
    assert ids(found)[:2] == ["arxiv:2601.00079", "arxiv:2601.00078"]


def test_for_me_finds_what_i_like_from_eight_marks(collection):
    mark(collection.store)
    found = feed(collection, period="all", order="for-me", limit=15)
    assert [entry.paper.categories[0] for entry in found.entries] == ["robotics"] * 15
    assert not {*ROBOTS, *OTHERS} & set(ids(found))
    assert all(entry.reasons for entry in found.entries)
    assert [entry.score for entry in found.entries] == sorted((entry.score for entry in found.entries), reverse=True)


def test_a_named_interest_has_its_own_papers_only(collection):
    mark(collection.store)
    assert learn_interest(collection, "sound").score is None
    audio = [f"arxiv:2601.{number:05d}" for number in (3, 7, 11, 15, 19)]
    edit_interest(collection.store, "sound", Edit(like=audio, unlike=ROBOTS[:3]))
    found = feed(collection, period="all", order="for-me", interest="sound", limit=10)
    assert {entry.paper.categories[0] for entry in found.entries} == {"audio"}


def test_pinned_authors_and_keywords(collection):
    mark(collection.store)
    before = {entry.paper.id: entry.score for entry in feed(collection, period="all", order="for-me", limit=80).entries}
    edit_interest(collection.store, "me", Edit(pin=["muller"], forbid=["MUSIC"]))
    found = feed(collection, period="all", order="for-me", limit=80)
    entry = next(entry for entry in found.entries if entry.paper.id == "arxiv:2601.00009")
    assert entry.score == pytest.approx(before[entry.paper.id] + PINNED)
    assert (entry.reasons[0].kind, entry.reasons[0].label) == ("author", "Ada Müller")
    assert not any("music" in f"{one.paper.title} {one.paper.abstract}".split() for one in found.entries)
    edit_interest(collection.store, "me", Edit(require=["grasp"], drop=["MUSIC", "muller"]))
    required = feed(collection, period="all", order="for-me", limit=80)
    assert all("grasp" in f"{one.paper.title} {one.paper.abstract}".split() for one in required.entries)
    assert required.entries[0].reasons[0].kind == "keyword"


def test_a_keyword_is_a_whole_word(collection):
    mark(collection.store)
    edit_interest(collection.store, "me", Edit(require=["rob"]))
    assert feed(collection, period="all", order="for-me").entries == []


def test_an_edit_moves_papers_between_the_lists(collection):
    edit_interest(collection.store, "me", Edit(like=ROBOTS[:2], unlike=OTHERS[:1], weights={3: 0.5, 4: 1.0}))
    new = edit_interest(collection.store, "me", Edit(unlike=ROBOTS[:1], learned=[3], drop=OTHERS[:1]))
    assert new == Interest("me", (ROBOTS[1],), (ROBOTS[0],), atom_weights={4: 1.0})
    assert collection.store.interest("me") == new
    with pytest.raises(InputError, match="does not have"):
        edit_interest(collection.store, "me", Edit(drop=["nobody"]))
    with pytest.raises(InputError, match="both"):
        edit_interest(collection.store, "me", Edit(like=ROBOTS[:1], unlike=ROBOTS[:1]))


def test_weights_of_atoms_need_atoms(collection):
    mark(collection.store)
    edit_interest(collection.store, "me", Edit(weights={0: 1.0}))
    with pytest.raises(InputError, match="there are no atoms"):
        feed(collection, period="all", order="for-me")


def test_the_closed_form_is_the_regularised_discriminant(collection):
    features = collection.features
    score = learn(features, ROBOTS, OTHERS)
    from sememe.papers.learning import AGAINST, RIDGE

    X = features.units.astype(np.float64)
    S = np.cov(X.T, bias=True)
    towards = X[features.rows(ROBOTS)].mean(0) - X.mean(0) - AGAINST * (X[features.rows(OTHERS)].mean(0) - X.mean(0))
    w = np.linalg.inv(S + RIDGE * np.trace(S) / len(S) * np.eye(len(S))) @ towards
    assert np.allclose(score.vector, w / (X @ w).std(), atol=1e-4)
    scores = score.of(features, np.arange(len(features)))
    assert abs(scores.mean()) < 1e-6
    with pytest.raises(InputError, match="no paper that is liked"):
        learn(features, [], OTHERS)
    with pytest.raises(InputError, match="not indexed"):
        learn(features, ["arxiv:2699.99999"])


def test_papers_that_are_all_alike_can_be_learned_from(folder, encoder):
    from sememe.papers.collection import PaperCollection

    class Constant(type(encoder)):
        fingerprint = "constant"

        def _vector(self, text):
            return np.eye(self.dimensions, dtype=np.float32)[0]

    with PaperCollection.open(folder, encoder=Constant(8)) as alike:
        alike.catch_up()
        scores = learn(alike.features, ROBOTS, OTHERS).of(alike.features, np.arange(80))
        assert np.isfinite(scores).all()


@pytest.fixture
def with_atoms(collection):
    pytest.importorskip("torch")
    atoms = collection.index.learn_atoms(n_atoms=32, target_active=4.0, steps=200)
    atoms.save(collection.folder / "atoms")
    return collection


def test_scores_are_the_exact_sum_of_atoms_and_words(with_atoms):
    collection, features = with_atoms, with_atoms.features
    mark(collection.store)
    assert collection.note == ""
    rows = np.arange(20)
    score = learn_interest(collection).score
    explanations = score.explained(features, rows, collection.atoms)
    for row, total, explanation in zip(rows, score.of(features, rows), explanations, strict=True):
        words = sum(part for _, part in score.terms(features, int(row)))
        assert explanation.score + words + score.offset == pytest.approx(total, abs=1e-5)
    hit = collection.similar(ROBOTS[0], 1)[0]
    words = sum(reason.weight for reason in hit.reasons if reason.kind == "term")
    assert hit.explanation.score + words <= hit.score + 1e-5
    assert {reason.kind for reason in hit.reasons} <= {"atom", "term"}
    assert collection.search("robot")[0].explanation is not None


def test_a_weight_that_the_reader_sets_changes_scores_by_exactly_its_share(with_atoms):
    collection, features = with_atoms, with_atoms.features
    mark(collection.store)
    learned = learn_interest(collection)
    atoms, rows = collection.atoms, np.arange(80)
    before = learned.score.of(features, rows)
    driver = drivers(collection, learned)[0]
    assert driver.weight == driver.learned == pytest.approx(atom_weights(learned.score, atoms)[driver.atom])
    changed = edited(learned.score, atoms, {driver.atom: driver.learned - 2.0})
    codes = atoms.pursue(features.vectors)[:, [driver.atom]].toarray().ravel()
    after = changed.of(features, rows, atoms)
    assert np.allclose(after, before - 2.0 * codes / features.lengths, atol=1e-9)
    assert np.abs(after - before).max() > 0.1
    row = int(np.argmax(np.abs(codes)))
    (explanation,) = changed.explained(features, np.asarray([row]), atoms)
    words = sum(part for _, part in changed.terms(features, row))
    assert explanation.score + words + changed.offset == pytest.approx(after[row], abs=1e-5)
    edit_interest(collection.store, "me", Edit(weights={driver.atom: 0.0}))
    shown = {one.atom: one for one in drivers(collection, learn_interest(collection))}
    assert shown[driver.atom].is_edited
    assert shown[driver.atom].weight == 0.0
    edit_interest(collection.store, "me", Edit(weights={99: 1.0}))
    with pytest.raises(InputError, match="no atom 99"):
        feed(collection, order="for-me")


def test_atoms_of_another_width_are_refused(with_atoms, encoder):
    from sememe.errors import ArtifactError
    from sememe.papers.collection import PaperCollection

    (with_atoms.folder / "index").rename(with_atoms.folder / "old")
    (with_atoms.folder / "indexed.json").unlink()
    with PaperCollection.open(with_atoms.folder, encoder=type(encoder)(16)) as other:
        other.catch_up()
        with pytest.raises(ArtifactError, match="another width"):
            other.search("robot")
