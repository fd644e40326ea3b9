"""The cascade on hand-made probabilities, against its definition written as loops."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import InputError, NotFittedError
from sememe.objectives.cascade import Cascade

DIMS = (2, 8, 32)


def make(n=400, seed=0, n_classes=5):
    """Three classifiers, each more often right than the one before, and surer when right."""
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n)
    logits = rng.standard_normal((len(DIMS), n, n_classes))
    for number, strength in enumerate((0.8, 1.6, 2.6)):
        logits[number, np.arange(n), y] += strength
    e = np.exp(logits)
    return e / e.sum(axis=2, keepdims=True), y


def with_thresholds(*thresholds):
    cascade = Cascade(DIMS)
    cascade.thresholds_ = np.array(thresholds)
    return cascade


def test_fit_is_the_definition():
    p, y = make()
    cascade = Cascade(DIMS).fit(p, y)
    for g in range(2):
        accuracy = {}
        for t in np.linspace(0.1, 1, 100):
            right = [
                p[g, i].argmax() == y[i] if p[g, i].max() > t else p[g + 1, i].argmax() == y[i] for i in range(400)
            ]
            accuracy[t] = np.mean(right)
        assert cascade.thresholds_[g] == min(t for t in accuracy if accuracy[t] == max(accuracy.values()))


def test_predict_is_the_definition():
    p, y = make()
    cascade = Cascade(DIMS).fit(p, y)
    new, _ = make(seed=1)
    for cap in (None, *DIMS):
        found = cascade.predict(new, cap)
        last = 2 if cap is None else DIMS.index(cap)
        for i in range(400):
            g = next((g for g in range(last) if new[g, i].max() > cascade.thresholds_[g]), last)
            assert (found.labels[i], found.dimensions[i]) == (new[g, i].argmax(), DIMS[g])
        assert found.expected_dimension == found.dimensions.mean()


def test_a_threshold_of_one_is_the_largest_size_and_of_zero_the_smallest():
    p, _ = make()
    p[0, 0] = [1, 0, 0, 0, 0]  # a confidence of exactly 1 is not above 1
    largest, smallest = with_thresholds(1, 1).predict(p), with_thresholds(0, 0).predict(p)
    np.testing.assert_array_equal(largest.labels, p[2].argmax(axis=1))
    assert set(largest.dimensions) == {32}
    np.testing.assert_array_equal(smallest.labels, p[0].argmax(axis=1))
    assert set(smallest.dimensions) == {2}


@pytest.mark.parametrize("seed", range(5))
def test_two_sizes_are_never_worse_than_either_on_the_fitting_data(seed):
    p, y = make(seed=seed)
    p = p[:2]
    accuracy = (Cascade(DIMS[:2]).fit(p, y).predict(p).labels == y).mean()
    assert accuracy >= (p[1].argmax(axis=1) == y).mean()
    assert p[0].max(axis=1).min() > 0.1
    assert accuracy >= (p[0].argmax(axis=1) == y).mean()


def test_permuting_the_items_permutes_the_answers():
    p, y = make()
    order = np.random.default_rng(3).permutation(len(y))
    found, permuted = Cascade(DIMS).fit(p, y), Cascade(DIMS).fit(p[:, order], y[order])
    np.testing.assert_array_equal(found.thresholds_, permuted.thresholds_)
    np.testing.assert_array_equal(found.predict(p).labels[order], permuted.predict(p[:, order]).labels)


def test_one_size_is_that_size():
    p, y = make()
    cascade = Cascade([8]).fit(p[:1], y)
    assert len(cascade.thresholds_) == 0
    np.testing.assert_array_equal(cascade.predict(p[:1]).labels, p[0].argmax(axis=1))


def test_what_does_not_fit_is_refused():
    p, y = make()
    with pytest.raises(NotFittedError):
        Cascade(DIMS).predict(p)
    cascade = Cascade(DIMS).fit(p, y)
    for call, message in (
        (lambda: cascade.predict(p[:2]), "probabilities have shape"),
        (lambda: cascade.predict(p, cap=16), r"cap is 16\. Choose from 2, 8, 32"),
        (lambda: Cascade(DIMS).fit(p, y[:5]), "y has shape"),
        (lambda: Cascade(DIMS).fit(p[:, :0], y[:0]), "y has shape"),
        (lambda: Cascade(DIMS, grid=1).fit(p, y), "grid is 1"),
        (lambda: cascade.predict(np.where(p > 0.5, np.nan, p)), "NaN"),
    ):
        with pytest.raises(InputError, match=message):
            call()
