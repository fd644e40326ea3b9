"""k-means over vectors, the one that first stages and claims share."""

from __future__ import annotations

from typing import Any

import numpy as np


def kmeans_centroids(X: np.ndarray, n: int, *, iterations: int = 10, random_state: int = 0) -> np.ndarray:
    """The centroids of Lloyd's algorithm, from `n` of the vectors drawn at random; all vectors are used.

    faiss does it; a cluster that loses its vectors takes half of a large one.

    Args:
        X: shape (n_rows, d), at least `n` rows.
        n: how many centroids.
        iterations: how often vectors are assigned.
        random_state: seed; the same one gives the same centroids.

    Returns:
        Shape (n, d), float32.

    """
    import faiss

    X = np.ascontiguousarray(X, np.float32)
    kmeans: Any = faiss.Kmeans(
        X.shape[1],
        n,
        niter=iterations,
        seed=random_state,
        # Left to itself faiss warns below 39 rows a centroid and takes 256 at most; who calls has drawn a sample.
        min_points_per_centroid=1,
        max_points_per_centroid=len(X),
    )
    kmeans.train(X)
    return np.asarray(kmeans.centroids, np.float32).reshape(n, -1)
