"""A map of a dictionary: a place in the plane for every atom, with similar atoms near each other."""

from __future__ import annotations

import numpy as np

from sememe.atoms.repulsion import repulsion

NEIGHBOURS = 12
ROUNDS = 300
_EXAGGERATED = 80  # rounds in which attraction is strengthened, so that clusters form before they settle
_BLOCK = 1024


def lay_out(decoder: np.ndarray, random_state: int = 0) -> np.ndarray:
    """Place atoms in the plane by t-SNE on their nearest neighbours (van der Maaten and Hinton 2008).

    Neighbours are found by cosine and weighted alike. The result is deterministic; 4,096 atoms take a few seconds.

    Args:
        decoder: unit-norm atoms (n_atoms, d).
        random_state: the seed of the jitter that separates atoms that would start at the same place.

    Returns:
        Shape (n_atoms, 2), float32.
    """
    n = len(decoder)
    if n < 3:
        return np.array([[float(number), 0.0] for number in range(n)], np.float32).reshape(n, 2)
    generator = np.random.default_rng(random_state)
    first, second, weight = _edges(decoder)
    places = _principal_plane(decoder) + 1e-4 * generator.standard_normal((n, 2))
    places *= 1e-2 / max(float(places.std()), 1e-12)
    velocity = np.zeros_like(places)
    rate = max(n / 12.0, min(50.0, n / 4.0))  # few points would be thrown far apart by a higher one
    for number in range(ROUNDS):
        factor = 4.0 if number < _EXAGGERATED else 1.0
        gradient = _attraction(places, first, second, factor * weight) - repulsion(places)
        velocity = (0.5 if number < _EXAGGERATED else 0.8) * velocity - rate * gradient
        steps = np.linalg.norm(velocity, axis=1, keepdims=True)
        velocity *= np.minimum(1.0, 5.0 / np.maximum(steps, 1e-12))  # nobody leaps over the map
        places += velocity
    return np.asarray(places - places.mean(axis=0), np.float32)


def _edges(decoder: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of neighbours, and weights that sum to 1 over all pairs in both directions."""
    n = len(decoder)
    k = min(NEIGHBOURS, n - 1)
    near = np.empty((n, k), np.int64)
    for start in range(0, n, _BLOCK):
        cosines = decoder[start : start + _BLOCK] @ decoder.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -np.inf
        near[start : start + _BLOCK] = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    first = np.repeat(np.arange(n), k)
    second = near.reshape(-1)
    return np.r_[first, second], np.r_[second, first], np.full(2 * n * k, 1.0 / (2 * n * k))


def _principal_plane(decoder: np.ndarray) -> np.ndarray:
    centred = decoder - decoder.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    plane = centred @ vectors[:, -2:]
    # Eigenvectors have no sign of their own.
    signs = np.sign(plane[np.abs(plane).argmax(axis=0), np.arange(plane.shape[1])])
    plane = plane * signs
    return plane if plane.shape[1] == 2 else np.column_stack([plane[:, 0], np.zeros(len(plane))])


def _attraction(places: np.ndarray, first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    difference = places[first] - places[second]
    pull = (weight / (1 + np.square(difference).sum(axis=1)))[:, None] * difference
    columns = [np.bincount(first, pull[:, axis], minlength=len(places)) for axis in (0, 1)]
    return 4 * np.column_stack(columns)
