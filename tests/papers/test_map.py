"""The map of the field: papers of one field lie together, and a large map is laid out in parts."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.papers.map import field_map, lay_out_papers


def purity(places, fields):
    """The share of papers whose nearest neighbour is of the same field."""
    distances = np.square(places[:, None] - places[None]).sum(axis=-1)
    np.fill_diagonal(distances, np.inf)
    return np.mean(fields[distances.argmin(axis=1)] == fields)


@pytest.mark.parametrize("laid_out", [2000, 30])
def test_papers_of_one_field_lie_together(collection, laid_out):
    collection.store.mark("arxiv:2601.00005", "hidden")
    found = field_map(collection, laid_out=laid_out)
    assert len(found.ids) == len(found.titles) == len(found.years) == 79
    assert "arxiv:2601.00005" not in found.ids
    assert set(found.years) == {2026}
    assert found.places.min() == 0
    assert found.places.max() == 1
    fields = np.asarray([paper.categories[0] for paper in collection.store.papers(found.ids)])
    assert purity(found.places, fields) > 0.8
    assert np.array_equal(found.places, field_map(collection, laid_out=laid_out).places)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
def test_small_collections(n):
    units = np.eye(8, dtype=np.float32)[:n]
    places = lay_out_papers(units)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_papers_that_are_all_alike():
    assert np.isfinite(lay_out_papers(np.ones((9, 4), np.float32) / 2)).all()
