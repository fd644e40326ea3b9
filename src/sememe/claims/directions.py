"""Rivals of learned atoms: other unit directions d_j, and other ways to code x = b + sum_j a_j d_j + r with them."""

from __future__ import annotations

import numpy as np


def principal_directions(X: np.ndarray) -> np.ndarray:
    """The principal components of vectors (n, d) around their mean, the largest variance first; (d, d), orthonormal."""
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(directions.T[::-1])


def random_directions(n: int, dimensions: int, random_state: int = 0) -> np.ndarray:
    """Directions drawn uniformly; (n, dimensions), unit norm."""
    return _unit(np.random.default_rng([random_state, 2]).standard_normal((n, dimensions)))


def kmeans_directions(X: np.ndarray, n: int, random_state: int = 0) -> np.ndarray:
    """From the mean of vectors (n_rows, d) towards their k-means centroids; (n, d), unit norm."""
    from sememe.search.centroids import kmeans_centroids

    return _unit(kmeans_centroids(X - X.mean(axis=0), n, iterations=25, random_state=random_state).astype(np.float64))


def keep_largest(codes: np.ndarray, k: int) -> np.ndarray:
    """Codes (n, m) with all but the `k` largest absolute values of each row set to 0."""
    kept = np.zeros_like(codes)
    largest = np.argpartition(-np.abs(codes), k - 1, axis=1)[:, :k]
    np.put_along_axis(kept, largest, np.take_along_axis(codes, largest, axis=1), axis=1)
    return kept


def _unit(directions: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    scaled: np.ndarray = directions / np.maximum(lengths, 1e-12)
    return scaled
