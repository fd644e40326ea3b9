"""The rivals of atoms are as strong as their reference implementations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import orthogonal_mp

from sememe.claims.directions import (
    keep_largest,
    kmeans_directions,
    matching_pursuit,
    principal_directions,
    random_directions,
)


def test_principal_directions_are_those_of_scikit_learn():
    X = np.random.default_rng(0).normal(size=(200, 6)) * [9, 5, 3, 2, 1, 0.5] + 4
    ours, theirs = principal_directions(X.astype(np.float32)), PCA().fit(X).components_
    np.testing.assert_allclose(np.abs((ours * theirs).sum(axis=1)), 1, atol=1e-5)


def test_matching_pursuit_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    directions, X = random_directions(40, 12, 3), rng.normal(size=(300, 12))
    theirs = orthogonal_mp(directions.T, X.T, n_nonzero_coefs=5).T
    np.testing.assert_allclose(matching_pursuit(directions, X, 5), theirs, atol=1e-8)


def test_matching_pursuit_finds_a_planted_code_and_survives_doubled_directions():
    directions = np.repeat(random_directions(8, 32, 0), 2, axis=0)
    X = directions[[2, 9]] * 2.0 + directions[[4, 14]]
    codes = matching_pursuit(directions, X, 6)
    np.testing.assert_allclose(codes @ directions, X, atol=1e-8)
    assert np.isfinite(codes).all()
    assert matching_pursuit(directions, X[:0], 3).shape == (0, 16)


def test_kmeans_directions_point_to_the_clusters():
    rng = np.random.default_rng(2)
    centres = 10 * np.eye(5, 8)
    X = (centres[rng.integers(5, size=500)] + rng.normal(size=(500, 8))).astype(np.float32)
    found = kmeans_directions(X, 5)
    expected = centres - X.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (found @ expected.T).max(axis=0) == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(found, kmeans_directions(X, 5))


def test_keep_largest_keeps_the_largest():
    codes = np.array([[1.0, -5.0, 2.0], [0.5, 0.1, -0.2]])
    np.testing.assert_array_equal(keep_largest(codes, 2), [[0, -5, 2], [0.5, 0, -0.2]])
    np.testing.assert_array_equal(keep_largest(codes, 3), codes)


def test_random_directions_are_seeded_unit_vectors():
    found = random_directions(50, 7, 1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    np.testing.assert_array_equal(found, random_directions(50, 7, 1))
    assert not np.array_equal(found, random_directions(50, 7, 2))
