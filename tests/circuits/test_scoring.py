"""Scores of codes against worked cases, invariants, brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from sememe.circuits.agreement import agreement
from sememe.circuits.scoring import (
    edge_level_scores,
    edge_scores,
    mean_difference,
    node_scores,
    permutation_null,
    random_projection_codes,
    softmax,
)
from sememe.errors import InputError


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 12, (60, 9)).astype(np.int32)
    drawn[:30, 4] += 20
    return drawn


def test_a_worked_case():
    codes = np.array([[0], [1], [2], [3], [4], [5], *[[0]] * 6])
    counts = node_scores(codes, 6)
    assert (counts.positive[0], counts.negative[0], counts.total[0]) == (5, 0, 6)
    assert counts.normalised[0] == pytest.approx(0.8333, abs=1e-4)
    same = node_scores(np.array([[3], [1], [1], [1], [3], [1]]), 3)
    assert (same.positive[0], same.negative[0]) == (0, 0)


def test_what_changes_scores_and_what_does_not(codes):
    counts = node_scores(codes, 30)
    swapped = node_scores(np.concatenate([codes[30:], codes[:30]]), 30)
    np.testing.assert_array_equal(swapped.positive, counts.negative)
    np.testing.assert_array_equal(swapped.negative, counts.positive)
    rng = np.random.default_rng(1)
    relabelled = np.stack([rng.permutation(60)[codes[:, head]] for head in range(9)], axis=1)
    np.testing.assert_array_equal(node_scores(relabelled, 30).positive, counts.positive)
    doubled = np.concatenate([codes[:1], codes])
    np.testing.assert_array_equal(node_scores(doubled, 31).positive, counts.positive)
    for _ in range(5):
        more = np.concatenate([codes, rng.integers(0, 17, (1, 9))])
        assert (node_scores(more, 30).positive <= counts.positive).all()


def test_edges_are_what_a_dense_count_says(codes):
    edges = edge_scores(codes, 30)
    shares = edge_scores(codes, 30, normalise=True)
    for a in range(9):
        assert edges[a, a] == 0
        for b in range(9):
            if a != b:
                positive = set(zip(codes[:30, a].tolist(), codes[:30, b].tolist(), strict=True))
                negative = set(zip(codes[30:, a].tolist(), codes[30:, b].tolist(), strict=True))
                assert edges[a, b] == len(positive - negative)
                assert shares[a, b] == pytest.approx(len(positive - negative) / (len(positive) + len(negative)))
    np.testing.assert_array_equal(edges, edges.T)
    unique = node_scores(codes, 30).positive
    apart = ~np.eye(9, dtype=bool)
    assert (edges >= np.maximum(unique[:, None], unique[None, :]))[apart].all()


def test_the_papers_edge_level_counts_heads_of_the_best_pairs():
    edges = np.zeros((4, 4), np.int64)
    edges[0, 1] = edges[1, 0] = 9
    edges[1, 2] = edges[2, 1] = 5
    # Ordered pairs 01, 10, 12, 21, ... : the first 8 entries of the list of their heads.
    np.testing.assert_array_equal(edge_level_scores(edges), [2, 4, 2, 0])


def test_softmax_is_for_display_and_keeps_the_order():
    shares = softmax(np.array([5, 2, 1, 1, 1, 0]))
    np.testing.assert_allclose(shares, [0.899708, 0.044794, 0.016479, 0.016479, 0.016479, 0.006062], atol=1e-6)
    truth = np.array([1, 0, 1, 0, 0, 0], bool)
    assert agreement(shares, truth).auc == agreement(np.array([5, 2, 1, 1, 1, 0]), truth).auc


def test_agreement_is_scikit_learns():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, truth = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.3
        found = agreement(scores, truth)
        assert found.auc == pytest.approx(roc_auc_score(truth, scores))
        assert found.average_precision == pytest.approx(average_precision_score(truth, scores))
        # Section 7.5: with one set of heads, AUC comes in steps of half a pair.
        steps = found.auc * found.size * (40 - found.size) * 2
        assert steps == pytest.approx(round(steps))
    assert agreement(np.array([3.0, 2, 1, 0]), np.array([1, 0, 1, 0], bool)).precision_at_size == 0.5
    assert agreement(np.zeros(4), np.array([1, 0, 0, 0], bool)).precision_at_size == 0.25
    with pytest.raises(InputError, match="0 of 3 heads"):
        agreement(np.zeros(3), np.zeros(3, bool))
    with pytest.raises(InputError, match="finite"):
        agreement(np.array([np.nan, 1]), np.array([1, 0], bool))


def test_the_null_knows_diverse_heads_from_informed_ones(codes):
    counts, null = node_scores(codes, 30), permutation_null(codes, 30, 50)
    z = null.z(counts.normalised)
    assert z.argmax() == 4
    assert z[4] > 3
    assert np.abs(np.delete(z, 4)).max() < 3
    assert counts.normalised[4] > null.bound[4]
    np.testing.assert_array_equal(null.mean, permutation_null(codes, 30, 50).mean)


def test_the_controls():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((20, 3, 8)).astype(np.float32)
    outputs[:10, 1] += 2
    assert mean_difference(outputs, 10).argmax() == 1
    codes = random_projection_codes(outputs, 30, 1)
    assert codes.shape == (20, 3)
    directions = np.random.default_rng(1).standard_normal((8, 30)).astype(np.float32)
    assert codes[3, 2] == (outputs[3, 2] @ directions).argmax()


@pytest.mark.parametrize(
    ("codes", "n", "message"),
    [
        (np.zeros((4, 2)), 2, "expected codes"),
        (np.full((4, 2), -1), 2, "expected codes"),
        (np.zeros((4, 2), int), 4, "4 of 4"),
        (np.zeros((4, 2), int), 0, "0 of 4"),
        (np.zeros(4, int), 2, "expected codes"),
    ],
)
def test_codes_that_are_none_are_refused(codes, n, message):
    for score in (node_scores, edge_scores):
        with pytest.raises(InputError, match=message):
            score(codes, n)
    with pytest.raises(InputError, match="too few"):
        permutation_null(np.zeros((4, 2), int), 2, 1)
