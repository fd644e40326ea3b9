"""The rivals of atoms are as strong as their reference implementations."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from sememe.claims.directions import (
    keep_largest,
    kmeans_directions,
    principal_directions,
    random_directions,
)


def test_principal_directions_are_those_of_scikit_learn():
    X = np.random.default_rng(0).normal(size=(200, 6)) * [9, 5, 3, 2, 1, 0.5] + 4
    ours, theirs = principal_directions(X.astype(np.float32)), PCA().fit(X).components_
    np.testing.assert_allclose(np.abs((ours * theirs).sum(axis=1)), 1, atol=1e-5)


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
