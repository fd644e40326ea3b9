"""The map of atoms and the forces that make it."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.atoms.layout import lay_out
from sememe.atoms.repulsion import repulsion


@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0, 20.0])
def test_repulsion_equals_the_sum_over_all_pairs(spread):
    places = spread * np.random.default_rng(0).standard_normal((300, 2)) + 5
    difference = places[:, None] - places[None]
    closeness = 1 / (1 + np.square(difference).sum(-1))
    np.fill_diagonal(closeness, 0)
    exact = 4 * ((closeness**2)[:, :, None] * difference).sum(1) / closeness.sum()
    error = np.linalg.norm(repulsion(places) - exact, axis=1)
    assert error.max() < 0.05 * np.linalg.norm(exact, axis=1).max()


def test_repulsion_of_three_points_far_apart_is_exact():
    places = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])
    closeness = 1 / (1 + np.array([900.0, 1600.0]))
    total = 2 * (closeness.sum() + 1 / 2501)
    expected = -4 * np.array([closeness[0] ** 2 * 30, closeness[1] ** 2 * 40]) / total
    np.testing.assert_allclose(repulsion(places)[0], expected, rtol=0.02)


def test_repulsion_of_a_wide_map_uses_a_coarser_grid_and_stays_bounded():
    places = np.array([[0.0, 0.0], [5000.0, 0.0], [0.0, 5000.0]])
    assert np.isfinite(repulsion(places)).all()


def test_the_map_keeps_neighbours_better_than_a_projection():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((12, 24))
    points = np.repeat(centres, 15, axis=0) + 0.25 * rng.standard_normal((180, 24))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    group = np.repeat(np.arange(12), 15)

    def purity(places: np.ndarray) -> float:
        distances = np.square(places[:, None] - places[None]).sum(-1)
        near = np.argsort(distances, axis=1)[:, 1:11]
        return float((group[near] == group[:, None]).mean())

    centred = points - points.mean(0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    assert purity(lay_out(points)) > max(0.95, purity(plane) + 0.05)
    np.testing.assert_array_equal(lay_out(points), lay_out(points))


def test_a_map_of_few_atoms_is_finite():
    for n in (0, 1, 2, 3, 5):
        places = lay_out(np.eye(n, 8, dtype=np.float32))
        assert places.shape == (n, 2)
        assert np.isfinite(places).all()
        assert np.abs(places).max(initial=0) < 50
