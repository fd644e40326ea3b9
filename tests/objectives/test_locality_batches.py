"""Locality-centric sampling: the order of queries on graphs whose answer is known, and what holds on all graphs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import InputError
from sememe.objectives.locality_batches import METHODS, locality_batches

PATH = {query: [document for document in (100 + query - 1, 100 + query) if document >= 100] for query in range(6)}
"""q0 - n0 - q1 - n1 - q2 ...: neighbours on a path share a document."""
STAR = {0: [100], **{query: [100, 100 + query] for query in range(1, 6)}}
"""All queries share q0's only candidate."""


def own(queries):
    return {query: [query] for query in queries}


def batches_from(first, candidates, batch_size, **options):
    """The batches of the first seed whose walk starts at query `first`."""
    for seed in range(500):
        batches = list(locality_batches(candidates, own(candidates), batch_size, random_state=seed, **options))
        if batches[0].queries[0] == first:
            return batches
    raise AssertionError("no seed starts there")


@pytest.mark.parametrize("method", ["random_walk", "snowball"])
def test_a_path_is_walked_along(method):
    (batch,) = batches_from(0, PATH, 6, method=method)
    assert batch.queries.tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.positives.tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.negatives.tolist()[:5] == [100, 101, 102, 103, 104]


def test_on_a_star_the_walk_takes_the_last_that_was_queued_and_the_snowball_the_first():
    assert batches_from(0, STAR, 2, method="random_walk")[0].queries.tolist() == [0, 5]
    assert batches_from(0, STAR, 2, method="snowball")[0].queries.tolist() == [0, 1]
    assert batches_from(0, STAR, 6, method="random_walk")[0].queries.tolist() == [0, 5, 4, 3, 2, 1]
    assert batches_from(0, STAR, 6, method="snowball")[0].queries.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("method", ["random_walk", "snowball"])
@pytest.mark.parametrize("batch_size", [3, 5, 10])
def test_a_batch_stays_in_one_community_until_it_is_exhausted(method, batch_size):
    rng = np.random.default_rng(0)
    candidates = {
        query: (1000 + 100 * (query // 10) + rng.permutation(30)).tolist() for query in range(20)
    }  # queries 0-9 share one pool of documents, 10-19 another
    for seed in range(10):
        batches = locality_batches(candidates, own(candidates), batch_size, method=method, random_state=seed)
        left = Counter({0: 10, 1: 10})
        for batch in batches:
            communities = (batch.queries // 10).tolist()
            changes = [place for place in range(1, len(communities)) if communities[place] != communities[place - 1]]
            for place in changes:
                assert left[communities[place - 1]] == communities[:place].count(communities[place - 1])
            left -= Counter(communities)


def test_random_batches_mix_the_communities():
    candidates = {query: [1000 + 100 * (query // 10) + i for i in range(30)] for query in range(20)}
    mixed = [
        len(set((batch.queries // 10).tolist()))
        for seed in range(10)
        for batch in locality_batches(candidates, own(candidates), 10, method="random", random_state=seed)
    ]
    assert np.mean(mixed) > 1.9


def test_without_edges_back_batches_are_random():
    """The same draws as method `random`, hence the same distribution; and every pair meets as often as chance says."""
    candidates = {query: [100 + query] for query in range(8)}
    for method in ("random_walk", "snowball"):
        for seed in range(20):
            options = {"random_state": seed, "reverse": (5, 6)}
            walked = list(locality_batches(candidates, own(candidates), 4, method=method, **options))
            drawn = list(locality_batches(candidates, own(candidates), 4, method="random", **options))
            for a, b in zip(walked, drawn, strict=True):
                np.testing.assert_array_equal(a.queries, b.queries)
                np.testing.assert_array_equal(a.negatives, b.negatives)
    together = np.zeros((8, 8))
    for seed in range(400):
        for batch in locality_batches(candidates, own(candidates), 4, reverse=(5, 6), random_state=seed):
            together[np.ix_(batch.queries, batch.queries)] += 1
    pairs = together[~np.eye(8, dtype=bool)] / 400
    assert pairs.mean() == pytest.approx(3 / 7)
    assert np.abs(pairs - 3 / 7).max() < 0.12


def test_the_two_bands_of_ranks():
    """Negatives come from the first band; what leads on is the band of the reverse edges."""
    ranked = {query: [1000 + query, 2000 + query, 1000 + (query - 1) % 6] for query in range(6)}
    for seed in range(20):
        options = {"forward": (0, 1), "reverse": (2, 3), "random_state": seed}
        (batch,) = locality_batches(ranked, own(ranked), 6, **options)
        np.testing.assert_array_equal(batch.negatives, 1000 + batch.queries)
        np.testing.assert_array_equal(np.diff(batch.queries) % 6, 1)  # the query that has n at rank 2 is the next one


def test_patches_start_anew():
    starts = set()
    for seed in range(60):
        (batch,) = locality_batches(PATH, own(PATH), 6, patches=2, random_state=seed)
        starts.add(batch.queries[3] - batch.queries[2])
    assert len(starts) > 3  # the fourth query is random, not a neighbour of the third


@given(
    st.data(),
    st.sampled_from(METHODS),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_every_query_once_and_no_negative_twice(data, method, batch_size, n_negatives, seed):
    n = data.draw(st.integers(batch_size, 15))
    documents = st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True)
    candidates = {query: data.draw(documents) for query in range(n)}
    positives = {query: data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=3)) for query in range(n)}
    candidates[0] = list(range(61))  # enough documents to fill up with
    options = {"method": method, "n_negatives": n_negatives, "random_state": seed}
    batches = list(locality_batches(candidates, positives, batch_size, **options))
    assert sorted(query for batch in batches for query in batch.queries.tolist()) == list(range(n))
    assert [len(batch.queries) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for batch in batches:
        assert len(set(batch.negatives.tolist())) == len(batch.negatives) == n_negatives * len(batch.queries)
        for query, positive in zip(batch.queries.tolist(), batch.positives.tolist(), strict=True):
            assert positive in positives[query]
        for query, negative in zip(np.repeat(batch.queries, n_negatives).tolist(), batch.negatives, strict=True):
            assert negative not in positives[query]
    again = list(locality_batches(candidates, positives, batch_size, **options))
    assert all(np.array_equal(a.negatives, b.negatives) for a, b in zip(batches, again, strict=True))


def test_another_graph_changes_the_company_and_not_the_source_of_negatives():
    candidates = {query: [1000 + 100 * (query // 10) + i for i in range(30)] for query in range(20)}
    swapped = {query: candidates[(query * 7) % 20] for query in candidates}
    mixed = []
    for seed in range(10):
        for batch in locality_batches(candidates, own(candidates), 10, graph=swapped, random_state=seed):
            np.testing.assert_array_equal((batch.negatives - 1000) // 100, batch.queries // 10)
            mixed.append(len(set((batch.queries // 10).tolist())))
    assert np.mean(mixed) > 1.5


def test_what_does_not_fit_is_refused():
    for arguments, problem in [
        (({0: [5], 7: []}, {0: [1], 7: [1]}, 1), "query 7: has an empty list of candidates"),
        (({0: [5], 7: [5]}, {0: [1]}, 1), "query 7: has no positives"),
        ((PATH, own(PATH), 7), "batch_size must be from 1 to the number of queries, 6, not 7"),
    ]:
        with pytest.raises(InputError, match=problem):
            locality_batches(*arguments)
    with pytest.raises(InputError, match="method must be one of random_walk, snowball, random, not 'bfs'"):
        locality_batches(PATH, own(PATH), 2, method="bfs")
    with pytest.raises(InputError, match="ranks"):
        locality_batches(PATH, own(PATH), 2, reverse=(5, 5))
    with pytest.raises(InputError, match="a batch needs more documents than the 2 there are"):
        list(locality_batches({0: [0], 1: [0], 2: [0]}, {0: [1], 1: [1], 2: [1]}, 3))
