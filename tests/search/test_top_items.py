"""The best items of a list, against sorting all of it; and the scan that finds them, against a matrix product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.bank import Bank
from sememe.search.dense import is_ascending, rank_exact
from sememe.search.top_items import top_items


def brute_force(scores, allowed, k, at_least):
    usable = [i for i in range(len(scores)) if allowed[i] and scores[i] > at_least]
    return sorted(usable, key=lambda i: (-scores[i], i))[:k]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 400),
    st.integers(1, 60),
    st.integers(1, 9),
    st.sampled_from([-np.inf, 0.0, 2.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 999),
)
def test_the_best_are_those_of_a_sort_ties_by_item(n, k, n_values, at_least, share, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-2, n_values, n).astype(np.float32)  # many ties
    scores[rng.random(n) < 0.1] = -np.inf
    allowed = rng.random(n) < share
    assert top_items(scores, allowed, k, at_least).tolist() == brute_force(scores, allowed, k, at_least)


@pytest.mark.parametrize("k", [1, 10, 300, 9_000, 20_000])
def test_many_different_scores(k):
    rng = np.random.default_rng(k)
    scores, allowed = rng.standard_normal(10_007).astype(np.float32), rng.random(10_007) < 0.8
    expected = np.lexsort((np.arange(10_007), -np.where(allowed, scores, -np.inf)))[: min(k, allowed.sum())]
    assert top_items(scores, allowed, k).tolist() == expected.tolist()


def test_nan_is_never_among_the_best():
    scores = np.arange(1000, dtype=np.float32)
    scores[::7] = np.nan
    assert not np.isnan(scores[top_items(scores, np.ones(1000, bool), 50)]).any()
    assert top_items(scores, np.ones(1000, bool), 1).tolist() == [999]


@pytest.mark.parametrize("n_queries", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_few_and_many_queries_rank_as_the_full_product(tmp_path, n_queries, dtype):
    rng = np.random.default_rng(0)
    with Bank.create(tmp_path / "b", 24, dtype=dtype, provenance={}) as bank:
        bank.append(rng.standard_normal((3000, 24)).astype(np.float32))
        bank.commit()
        queries = rng.standard_normal((n_queries, 24)).astype(np.float32)
        scores = bank[:].astype(np.float64) @ queries.astype(np.float64).T
        found = rank_exact(bank, np.arange(3000), queries, np.ones(3000, bool), 10)
        for ranking, expected in zip(found, scores.T, strict=True):
            order = np.argsort(-expected, kind="stable")[:10]
            assert ranking.ordinals.tolist() == order.tolist()
            np.testing.assert_allclose(ranking.scores, expected[order], rtol=1e-6)


def test_rows_are_read_alike_in_any_order(tmp_path):
    rng = np.random.default_rng(1)
    with Bank.create(tmp_path / "b", 4, provenance={}) as bank:
        bank.append(rng.standard_normal((50, 4)).astype(np.float32))
        bank.commit()
        whole = bank[:]
        for rows in ([3, 4, 9], [9, 3, 4], [4, 4, 4, 1], [7], [-1, 0], []):
            np.testing.assert_array_equal(bank[np.asarray(rows, np.int64)], whole[rows])
    assert is_ascending(np.array([1, 2, 5]))
    assert is_ascending(np.zeros(0, int))
    assert not is_ascending(np.array([1, 1]))
