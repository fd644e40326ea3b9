"""Tuning measures what brute force measures, and chooses the cheapest stage that surely reaches the target."""

from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search.tuning import Point, cheapest, prefix_stages, tune

D, N = 32, 1500


def make_bank(path, X, documents=None):
    bank = Bank.create(path, X.shape[1], provenance={})
    bank.append(X, documents=documents)
    bank.commit()
    return bank


@pytest.fixture(scope="module")
def vectors():
    """Most of the variance in the first dimensions, as after Matryoshka training."""
    X = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32) * 0.8 ** np.arange(D, dtype=np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def bank(vectors, tmp_path_factory):
    with make_bank(tmp_path_factory.mktemp("bank") / "bank", vectors) as bank:
        yield bank


class Cut:
    """A float prefix, its size invented."""

    def __init__(self, X, m, *, nbytes=None, delay=0.0):
        self.cut, self.m, self.nbytes, self.delay = X[:, :m], m, X[:, :m].nbytes if nbytes is None else nbytes, delay
        self.asked = []

    def candidates(self, query, n, allowed):
        time.sleep(self.delay)
        self.asked.append((query, n, allowed))
        rows = np.flatnonzero(allowed)
        return rows[np.argsort(-(self.cut[rows] @ query[: self.m]), kind="stable")][:n]


def test_the_curve_is_what_brute_force_measures(bank, vectors):
    queries = np.random.default_rng(1).standard_normal((40, D)).astype(np.float32)
    tuned = tune(bank, [("cut", Cut(vectors, 6))], queries=queries, random_state=3)
    choosing = queries[np.random.default_rng(3).permutation(40)][:20]
    for point in tuned.curve:
        shares = []
        for query in choosing:
            true = set(np.argsort(-(vectors @ query))[:10])
            proposed = set(np.argsort(-(vectors[:, :6] @ query[:6]))[: point.candidates])
            shares.append(len(true & proposed) / 10)
        assert point.recall == pytest.approx(np.mean(shares))
        assert point.sure == pytest.approx(np.mean(shares) - 1.645 * np.std(shares) / np.sqrt(20))
    recalls = [point.recall for point in tuned.curve]
    assert recalls == sorted(recalls)
    assert [point.candidates for point in tuned.curve][:4] == [10, 20, 40, 80]
    assert tuned.n_queries == (20, 20)


def test_the_choice_is_confirmed_on_queries_it_was_not_made_with(bank, vectors):
    stage = Cut(vectors, 8)
    tuned = tune(bank, [("cut", stage)], recall=0.9)
    assert tuned.choice is not None
    assert tuned.choice.sure >= 0.9
    smaller = [point for point in tuned.curve if point.candidates < tuned.choice.candidates]
    assert all(point.sure < 0.9 for point in smaller)
    n_choosing, n_confirming = tuned.n_queries
    assert 390 < n_choosing + n_confirming <= 400
    chose = {query.tobytes() for query, _, _ in stage.asked[:n_choosing]}
    confirmed = {query.tobytes() for query, _, _ in stage.asked[-n_confirming:]}
    assert (len(chose), len(confirmed)) == tuned.n_queries
    assert not chose & confirmed
    assert {n for _, n, _ in stage.asked[-n_confirming:]} == {tuned.choice.candidates}
    assert tuned.holds
    assert tuned.confirmed == pytest.approx(tuned.choice.recall, abs=0.05)


def test_what_a_query_was_made_from_is_never_found_by_it(vectors, tmp_path):
    documents = np.repeat(np.arange(N // 3), 3)
    with make_bank(tmp_path / "bank", vectors, documents) as bank:
        stage = Cut(vectors, D)
        tune(bank, [("cut", stage)])
    for query, _, allowed in stage.asked:
        own = np.flatnonzero(~allowed)
        assert len(own) in (3, 6)  # one document or two, whole
        assert len(set(documents[own])) == len(own) // 3
        sums = vectors[own][:, None] + vectors[own]
        assert np.abs(sums - query).max(axis=2).min() == 0


def test_a_stage_that_only_finds_what_the_query_was_made_from_fails(bank, vectors):
    class Itself:
        nbytes = 1

        def candidates(self, query, n, allowed):
            return np.flatnonzero(~allowed)

    tuned = tune(bank, [("itself", Itself())], recall=0.05)
    assert tuned.choice is None
    assert tuned.confirmed is None
    assert not tuned.holds
    assert {point.recall for point in tuned.curve} == {0.0}


def test_the_fastest_stage_within_the_memory_is_chosen(bank, vectors):
    fast, slow = Cut(vectors, D, nbytes=999), Cut(vectors, D, nbytes=5, delay=0.02)
    queries = vectors[:20] + 0.01
    for stages in ([("fast", fast), ("slow", slow)], [("slow", slow), ("fast", fast)]):
        assert tune(bank, stages, queries=queries).choice.stage == "fast"
        assert tune(bank, stages, queries=queries, memory=100).choice.stage == "slow"
        assert tune(bank, stages, queries=queries, memory=1).choice is None


def test_of_equally_fast_stages_the_smallest_is_chosen():
    def point(stage, ms, nbytes, candidates=10):
        return Point(stage, candidates, 1.0, 1.0, ms, nbytes)

    fast, near, small, slow = point("a", 1.0, 9), point("b", 1.09, 8), point("c", 1.18, 7), point("d", 5.0, 1)
    for points in itertools.permutations([fast, near, small, slow]):
        assert cheapest(points) == near  # within a tenth of the fastest, not of the next
    assert cheapest([fast, point("e", 1.05, 9, 5)]).stage == "e"


def test_rows_that_tie_with_the_true_ones_count_as_found(tmp_path):
    X = np.tile(np.eye(D, dtype=np.float32), (20, 1))  # every vector 20 times: which ten are true is arbitrary

    class Last:
        nbytes = 1

        def candidates(self, query, n, allowed):
            rows = np.flatnonzero(allowed)
            return rows[np.lexsort((-rows, -(X[rows] @ query)))][:n]

    with make_bank(tmp_path / "bank", X) as bank:
        assert tune(bank, [("last", Last())], recall=1.0).choice.recall == 1.0


def test_prefixes_by_default(bank, vectors):
    tuned = tune(bank, recall=0.95)
    assert {point.stage for point in tuned.curve} == {"prefix:16", "prefix:32"}
    assert {point.nbytes for point in tuned.curve} == {16 * N, 32 * N}
    assert tuned.choice.stage in ("prefix:16", "prefix:32")
    assert tuned.exact_ms > 0
    assert [name for name, _ in prefix_stages(bank, [4, 8])] == ["prefix:4", "prefix:8"]


def test_deleted_rows_are_neither_asked_nor_found(bank, vectors):
    allowed = np.arange(N) % 2 == 0
    stage = Cut(vectors, D)
    tuned = tune(bank, [("cut", stage)], allowed=allowed)
    assert tuned.choice.recall == 1.0
    halves = vectors[allowed]
    for query, _, asked_allowed in stage.asked[:20]:
        rests = query - halves  # of two rows that may be found
        assert min(np.abs(halves - rest).max(axis=1).min() for rest in rests) < 1e-6
        assert not asked_allowed[1::2].any()


def test_the_same_seed_chooses_the_same_queries(bank, vectors):
    first, second = (tune(bank, [("cut", Cut(vectors, 8))], random_state=5) for _ in range(2))
    assert [(p.candidates, p.recall) for p in first.curve] == [(p.candidates, p.recall) for p in second.curve]
    assert first.confirmed == second.confirmed


def test_it_goes_into_a_card(bank, vectors):
    tuned = tune(bank, [("cut", Cut(vectors, D))])
    stored = json.loads(json.dumps(tuned.as_dict()))
    assert Point(**stored["choice"]) == tuned.choice
    assert tuple(stored["n_queries"]) == tuned.n_queries


def test_what_cannot_be_used_is_refused(bank, vectors, tmp_path):
    for options, message in (
        ({"recall": 0.0}, "the target is 0"),
        ({"recall": 1.1}, "the target is 1.1"),
        ({"k": N}, "cannot measure the top"),
        ({"allowed": np.ones(3, bool)}, "`allowed` has shape"),
        ({"queries": vectors[:19]}, "19 queries are too few"),
        ({"queries": vectors[:, :4]}, "do not fit 32 dimensions"),
        ({"queries": np.full((20, D), np.nan)}, "do not fit"),
    ):
        with pytest.raises(InputError, match=message):
            tune(bank, [], **options)
    with make_bank(tmp_path / "few", vectors[:15]) as few, pytest.raises(InputError, match="15 queries are too few"):
        tune(few, [], k=3)
