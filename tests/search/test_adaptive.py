"""Nested search is what brute force over prefixes says; its limits are those of exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search import adaptive
from sememe.search.adaptive import (
    Stage,
    adaptive_search,
    exhaustive_search,
    format_funnel,
    funnel_cost,
    funnel_search,
    nearest_rows,
    parse_funnel,
    truncate,
)
from sememe.search.coarse.prefix import Prefix

D, N = 32, 300


@pytest.fixture(scope="module")
def vectors():
    X = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def queries():
    Q = np.random.default_rng(1).standard_normal((7, D)).astype(np.float32)
    return Q / np.linalg.norm(Q, axis=1, keepdims=True)


@pytest.fixture
def bank(vectors, tmp_path):
    with Bank.create(tmp_path / "bank", D, provenance={}) as bank:
        bank.append(vectors)
        bank.commit()
        yield bank


def brute(query, X, m, rows):
    """Rows ordered by the cosine of the first m dimensions, in float64."""
    cut, q = X[:, :m].astype(np.float64), query[:m].astype(np.float64)
    cosine = cut @ q / np.linalg.norm(cut, axis=1) / np.linalg.norm(q)
    return sorted(rows, key=lambda row: (-cosine[row], row))


def brute_funnel(query, X, stages):
    rows = range(len(X))
    for m, keep in stages:
        rows = brute(query, X, m, rows)[:keep]
    return rows


def same(found, expected):
    assert [rows.tolist() for rows in found.rows] == [list(map(int, rows)) for rows in expected]


@pytest.mark.parametrize("text", ["4:60,8:30,16:20,32:5", "8:40,32:10", "8:300,32:300", "16:10"])
def test_a_funnel_is_what_brute_force_gives(vectors, queries, bank, text):
    expected = [brute_funnel(query, vectors, parse_funnel(text)) for query in queries]
    found = funnel_search(queries, vectors, text)
    same(found, expected)
    assert found.survivors == tuple(stage.keep for stage in parse_funnel(text))
    assert [rows.dtype for rows in found.rows] == [np.int64] * len(queries)
    last = parse_funnel(text)[-1].dimensions
    for query, rows, scores in zip(queries, found.rows, found.scores, strict=True):
        np.testing.assert_allclose(scores, truncate(vectors[rows], last) @ truncate(query, last), atol=1e-6)
    same(funnel_search(queries, bank, text), expected)


def test_results_do_not_depend_on_blocks(vectors, queries, bank, monkeypatch):
    expected = funnel_search(queries, vectors, "8:50,32:10")
    monkeypatch.setattr(adaptive, "BLOCK_ROWS", 17)
    monkeypatch.setattr(adaptive, "_QUERIES_AT_ONCE", 2)
    for database in (vectors, bank):
        same(funnel_search(queries, database, "8:50,32:10"), expected.rows)


def test_a_shortlist_of_all_rows_is_exhaustive_search(vectors, queries):
    adaptive = adaptive_search(queries, vectors, 10, 4, D, shortlist=N)
    exhaustive = exhaustive_search(queries, vectors, 10, D)
    same(adaptive, exhaustive.rows)
    assert adaptive.agreement(exhaustive) == 1.0
    same(exhaustive, [brute(query, vectors, D, range(N))[:10] for query in queries])


def test_equal_dimensions_keep_the_order_of_the_shortlist(vectors, queries):
    same(adaptive_search(queries, vectors, 20, 8, 8, shortlist=20), exhaustive_search(queries, vectors, 20, 8).rows)


def test_the_result_is_a_subset_of_the_shortlist(vectors, queries):
    shortlist = exhaustive_search(queries, vectors, 30, 8).rows
    for found, of_query in zip(adaptive_search(queries, vectors, 10, 8, D, shortlist=30).rows, shortlist, strict=True):
        assert set(found) <= set(of_query)


def test_a_funnel_of_two_stages_is_adaptive_search(vectors, queries):
    same(
        funnel_search(queries, vectors, [(8, 40), (D, 10)]),
        adaptive_search(queries, vectors, 10, 8, D, shortlist=40).rows,
    )


def test_permuting_the_rows_permutes_the_results(vectors, queries):
    order = np.random.default_rng(2).permutation(N)
    permuted = funnel_search(queries, vectors[order], "4:60,16:20,32:5")
    same(funnel_search(queries, vectors, "4:60,16:20,32:5"), [order[rows] for rows in permuted.rows])


def test_equal_scores_are_ordered_by_row(queries):
    X = np.ones((50, D), np.float32)
    same(funnel_search(queries, X, "4:20,32:5"), [range(5)] * len(queries))


def test_only_allowed_rows_are_found(vectors, queries):
    allowed = np.zeros(N, bool)
    allowed[[3, 50, 200]] = True
    found = funnel_search(queries, vectors, "4:60,32:10", allowed=allowed)
    same(found, [brute(query, vectors, D, [3, 50, 200]) for query in queries])
    assert found.survivors == (3, 3)
    assert funnel_search(queries, vectors, "4:60,32:10", allowed=~np.ones(N, bool)).rows[0].size == 0


def test_own_rows_are_not_found(vectors):
    own = np.array([[0, 5], [10, 10], [299, 300]])
    rows, scores = nearest_rows(vectors[[2, 10, 299]], vectors, D, 3, allowed=np.ones(N, bool), own=own)
    for query, of_query, values, (low, high) in zip([2, 10, 299], rows, scores, own, strict=True):
        others = [row for row in range(N) if not low <= row < high]
        assert of_query.tolist() == brute(vectors[query], vectors, D, others)[:3]
        assert np.all(np.diff(values) <= 0)
    assert rows[1][0] == 10


def test_lengths_count_when_asked_to(queries):
    X = np.random.default_rng(3).standard_normal((N, D)).astype(np.float32) * np.arange(1, N + 1)[:, None]
    found = funnel_search(queries, X, "8:40,32:5", normalize=False)
    for query, rows in zip(queries, found.rows, strict=True):
        shortlist = np.argsort(-(X[:, :8] @ query[:8]), kind="stable")[:40]
        assert rows.tolist() == shortlist[np.argsort(-(X[shortlist] @ query), kind="stable")][:5].tolist()


def test_a_stage_in_memory_can_make_the_shortlist(vectors, queries, bank):
    stage = Prefix.fit(bank, 8)
    stage.extend(bank)
    found = funnel_search(queries, bank, [(8, 60), (D, 10)], coarse=stage)
    exact = funnel_search(queries, bank, [(8, 60), (D, 10)])
    assert found.agreement(exact) > 0.95
    same(funnel_search(queries, bank, [(8, N), (D, 10)], coarse=stage), exhaustive_search(queries, bank, 10, D).rows)


def test_rows_of_a_bank_are_read_in_order(bank, queries, monkeypatch):
    asked = []
    read = Bank.__getitem__
    monkeypatch.setattr(Bank, "__getitem__", lambda self, rows: asked.append(np.asarray(rows)) or read(self, rows))
    funnel_search(queries, bank, "4:60,16:20,32:5")
    assert len(asked) == len(queries)
    assert all(np.all(np.diff(rows) > 0) and len(rows) == 60 for rows in asked)


def test_the_cost_is_the_papers():
    n = 1_281_167
    assert funnel_cost([Stage(2048, 10)], n) == pytest.approx(2623.8e6, rel=1e-4)
    cost = funnel_cost([Stage(16, 200), Stage(2048, 10)], n)
    assert cost == 16 * n + 200 * 2048 == pytest.approx(20.9e6, rel=1e-3)
    assert 2048 * n / cost == pytest.approx(125.5, abs=0.05)
    # the paper's funnel: D_s = 8, then zip([16, 32, 64, 128, 2048], [200, 100, 50, 25, 10])
    stages = parse_funnel("8:200,16:100,32:50,64:25,128:10,2048:10")
    assert funnel_cost(stages, n) == 8 * n + 200 * 16 + 100 * 32 + 50 * 64 + 25 * 128 + 10 * 2048


def test_the_reported_cost(vectors, queries):
    found = funnel_search(queries, vectors, "4:60,16:20,32:5")
    assert (found.cost, found.exhaustive_cost) == (4 * N + 60 * 16 + 20 * 32, N * 32)


def test_agreement_is_the_share_of_the_others_rows(vectors, queries):
    all_rows = exhaustive_search(queries, vectors, 10, D)
    half = exhaustive_search(queries, vectors, 5, D)
    assert half.agreement(all_rows) == 0.5
    assert all_rows.agreement(half) == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("32", "is not a stage: '32'"),
        ("", "is not a stage"),
        ("32:200,", "is not a stage: ''"),
        ("32:x", "is not a stage"),
        ("-1:5", "is not a stage"),
        ("²:5", "is not a stage"),
        ("0:5", "needs 1 or more"),
        ("32:200,16:50", "dimensions decrease from 32 to 16"),
        ("16:50,32:200", "rows kept increase from 50 to 200"),
    ],
)
def test_a_funnel_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_funnel(text)


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(1, 999)), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_funnel_reads_as_it_was_written(stages):
    sizes = sorted(m for m, _ in stages)
    kept = sorted((k for _, k in stages), reverse=True)
    nested = tuple(Stage(m, k) for m, k in zip(sizes, kept, strict=True))
    assert parse_funnel(format_funnel(nested)) == nested
    assert parse_funnel(format_funnel(nested).replace(",", " , ").replace(":", " : ")) == nested


def test_what_does_not_fit_the_database_is_refused(vectors, queries):
    with pytest.raises(InputError, match="keeps 301 of 300 rows"):
        adaptive_search(queries, vectors, 10, 8, D, shortlist=301)
    with pytest.raises(InputError, match="rows kept increase from 5 to 10"):
        adaptive_search(queries, vectors, 10, 8, D, shortlist=5)
    with pytest.raises(InputError, match="the vectors have 32 dimensions, not 64"):
        funnel_search(queries, vectors, "8:10,64:5")
    with pytest.raises(InputError, match="the vectors are 32 wide"):
        funnel_search(queries[:, :8], vectors, "8:10")
    with pytest.raises(InputError, match="NaN"):
        funnel_search(np.full(D, np.nan), vectors, "8:10")
    with pytest.raises(InputError, match="`allowed` has shape"):
        funnel_search(queries, vectors, "8:10", allowed=np.ones(5, bool))


def test_one_query_and_none(vectors, queries):
    same(funnel_search(queries[0], vectors, "8:40,32:5"), funnel_search(queries[:1], vectors, "8:40,32:5").rows)
    none = funnel_search(queries[:0], vectors, "8:40,32:5")
    assert none.rows == []
    assert none.agreement(none) == 1.0


def test_truncation_is_idempotent_and_free_of_order():
    X = np.random.default_rng(4).standard_normal((20, 128))
    np.testing.assert_allclose(truncate(truncate(X, 64), 32), truncate(X, 32), atol=1e-12)
    np.testing.assert_array_equal(truncate(X, 3, normalize=False), X[:, :3])
    assert not truncate(np.zeros((2, 4)), 2).any()
    with pytest.raises(InputError, match="cannot keep 129 of 128"):
        truncate(X, 129)


def test_cosines_of_prefixes():
    a, c = np.array([3.0, 4, 0, 12]), np.array([4.0, 3, 12, 0])
    cosines = [truncate(a, m) @ truncate(c, m) for m in (1, 2, 3, 4)]
    np.testing.assert_allclose(cosines, [1, 0.96, 0.369231, 0.142012], atol=1e-6)
