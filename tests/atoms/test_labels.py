"""Labels, neighbours and the map of atoms."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from sememe.atoms.labels import label_atoms
from sememe.atoms.layout import lay_out

TOPICS = {
    0: ["the zebra runs over the savanna", "a zebra and a lion", "zebras drink water on the savanna"],
    1: ["the engine of the car", "cars need engine oil", "an engine roars in the car"],
    2: ["the bread in the oven", "baking bread with yeast", "an oven bakes bread"],
    3: ["the violin plays a sonata", "a violin in the orchestra", "sonatas for violin"],
}


def texts_and_codes() -> tuple[list[str], csr_matrix]:
    texts = [text for topic in TOPICS.values() for text in topic] * 5
    codes = np.zeros((len(texts), 5), np.float32)
    for number in range(len(texts)):
        codes[number, number % 12 // 3] = 1.0
    return texts, csr_matrix(codes)


def test_labels_hold_the_words_that_set_an_atom_apart():
    texts, codes = texts_and_codes()
    labels = label_atoms(codes, texts)
    assert "zebra" in labels[0]
    assert "engine" in labels[1]
    assert labels[4] == ""
    words = [word for label in labels for word in label.split(", ") if word]
    assert not {"the", "a", "an", "of"} & set(words)


def test_labels_do_not_repeat_a_stem():
    texts, codes = texts_and_codes()
    words = label_atoms(codes, texts)[0].split(", ")
    assert len([word for word in words if word.startswith("zebra")]) == 1


def test_labels_are_the_same_every_time():
    texts, codes = texts_and_codes()
    assert label_atoms(codes, texts) == label_atoms(codes, iter(texts))


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
