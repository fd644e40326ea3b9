"""k-means against scikit-learn and against what its centroids must be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from sememe.search.centroids import kmeans_centroids


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((12, 16))[rng.integers(12, size=2000)] + 0.3 * rng.standard_normal((2000, 16))).astype(
        np.float32
    )


def inertia(X, centroids):
    return float(np.square(X[:, None] - centroids).sum(2).min(1).sum())


def test_scikit_learn_finds_nothing_better_from_there(vectors):
    for seed in range(5):
        centroids = kmeans_centroids(vectors, 12, iterations=60, random_state=seed)
        theirs = KMeans(12, n_init=1, init=centroids).fit(vectors)
        assert inertia(vectors, centroids) == pytest.approx(theirs.inertia_, rel=1e-3)


def test_after_enough_iterations_each_centroid_is_the_mean_of_its_vectors(vectors):
    centroids = kmeans_centroids(vectors, 8, iterations=100)
    assigned = np.square(vectors[:, None] - centroids).sum(2).argmin(1)
    means = np.stack([vectors[assigned == c].mean(0) for c in range(8)])
    np.testing.assert_allclose(centroids, means, atol=1e-4)


def test_the_seed_decides_and_few_vectors_do(vectors):
    first, again, other = (kmeans_centroids(vectors, 5, random_state=s) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    few = kmeans_centroids(vectors[:3], 3)
    assert sorted(map(tuple, few.tolist())) == sorted(map(tuple, vectors[:3].tolist()))
    assert inertia(vectors, kmeans_centroids(vectors, 30)) < inertia(vectors, kmeans_centroids(vectors, 10))
