"""Linear probes: the classifier against scikit-learn, control tasks on what can and cannot be learned by heart."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.probes.linear import LinearClassifier, linear_probe, text_types, wilson

RNG = np.random.default_rng(0)
FIT, TEST = np.arange(200), np.arange(200, 400)


def test_the_classifier_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = RNG.standard_normal((120, 4)), RNG.integers(0, 3, 120)
    X[:, 0] += y
    ours = LinearClassifier.fit(X, y, 0.1)
    Z = (X - X.mean(0)) / X.std(0)
    rival = linear_model.LogisticRegression(C=1 / (0.1 * len(X)), tol=1e-8, max_iter=500).fit(Z, y)
    np.testing.assert_allclose(ours.W, rival.coef_.T, atol=2e-4)
    assert (ours.predict(X) == rival.predict(Z)).all()


def test_the_gradient_stops_at_a_minimum():
    X, y = RNG.standard_normal((60, 3)), RNG.integers(0, 2, 60)
    found = LinearClassifier.fit(X, y, 0.1)

    def loss(W):
        scores = (X - found.mean) / found.scale @ W + found.b
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return -log_p[np.arange(60), y].mean() + 0.05 * np.square(W).sum()

    for _ in range(20):
        assert loss(found.W + 1e-2 * RNG.standard_normal(found.W.shape)) > loss(found.W) - 1e-7


def test_a_label_in_the_representation_is_decoded_and_selective():
    y = RNG.integers(0, 2, 400)
    X = np.column_stack([y + 0.1 * RNG.standard_normal(400), RNG.standard_normal((400, 5))])
    probe = linear_probe(X, y, [str(row % 40) for row in range(400)], FIT, TEST)
    assert probe.accuracy > 0.98
    assert probe.interval[0] < probe.accuracy <= probe.interval[1]
    assert probe.selectivity == pytest.approx(probe.accuracy - probe.control)
    assert probe.selectivity_interval[0] > 0.3
    assert probe.known_types == 1


def test_a_wide_probe_of_types_is_not_selective():
    # The representation says only which type an input is: any labels of types are learned by heart.
    types = RNG.integers(0, 20, 400)
    y = (types * 7 % 5 > 1).astype(int)
    X = np.eye(20)[types]
    probe = linear_probe(X, y, types.tolist(), FIT, TEST)
    assert probe.accuracy > 0.98
    assert probe.control > 0.95
    assert abs(probe.selectivity) < 0.06


def test_nothing_is_decoded_from_noise():
    y = np.array(["no", "yes"])[RNG.integers(0, 2, 400)]
    probe = linear_probe(RNG.standard_normal((400, 10)), y, [str(row) for row in range(400)], FIT, TEST)
    assert probe.interval[0] < 0.55
    assert probe.known_types == 0


def test_types_are_words_that_texts_share():
    texts = ["a cat sat", "a cat ran", "a dog sat", "a dog ran", *(f"a word{n} alone" for n in range(26))]
    types = text_types(texts)
    assert types[:2] in (["cat", "cat"], ["sat", "ran"])
    assert types[4] != types[5]
    assert "a" not in types


def test_wilson_against_a_published_case():
    low, high = wilson(10, 20)
    assert (round(low, 4), round(high, 4)) == (0.2993, 0.7007)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)


def test_bad_probes_are_refused():
    X, y, types = np.zeros((400, 2)), np.zeros(400, int), [""] * 400
    with pytest.raises(InputError, match="always '0'"):
        linear_probe(X, y, types, FIT, TEST)
    with pytest.raises(InputError, match="fitted on and measured on"):
        linear_probe(X, y, types, FIT, FIT)
    with pytest.raises(InputError, match="5 and 200 inputs"):
        linear_probe(X, y, types, FIT[:5], TEST)
