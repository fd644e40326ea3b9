"""Shares of variance against hand-worked cases and identities."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.probes.variance_explained import (
    balanced_share,
    explained_by,
    total_variance,
    trajectory,
    unit_density,
    variance_explained,
)

TABLE = np.array(list(product((0.0, 1.0), repeat=2)))  # all four values of two fair bits
BITS = np.repeat(TABLE, 64, axis=0)


def share(phi, f, **options):
    return variance_explained(phi, f, phi, f, **options)


def test_shares_of_known_columns():
    phi = BITS * [3.0, 1.0]
    assert share(phi, BITS[:, 0]) == pytest.approx(0.9)
    assert share(phi, BITS[:, 1]) == pytest.approx(0.1)
    assert share(phi, BITS) == pytest.approx(1.0)


def test_a_column_that_no_feature_explains_takes_its_part_of_the_total():
    # A third, independent bit with variance 2.5: 9/4 + 1/4 + 2.5 = 5.
    eight = np.array(list(product((0.0, 1.0), repeat=3)))
    phi = eight * [3.0, 1.0, np.sqrt(10.0)]
    assert total_variance(phi) == pytest.approx(5.0)
    assert share(phi, eight[:, 0]) == pytest.approx(0.45)
    assert share(phi, eight[:, 1]) == pytest.approx(0.05)
    assert share(phi, eight[:, :2]) == pytest.approx(0.5)


def test_an_xor_explains_nothing_of_its_inputs():
    assert share(BITS, BITS.sum(axis=1) % 2) == pytest.approx(0.0, abs=1e-12)
    assert share(BITS, BITS[:, 0]) == pytest.approx(0.5)


def random_case(n=4096, d=6, seed=0):
    rng = np.random.default_rng(seed)
    F = rng.integers(0, 2, (n, 3)).astype(np.int8)
    return F @ rng.standard_normal((3, d)) + rng.standard_normal((n, d)), F


def test_shares_of_independent_features_add_up():
    phi, F = random_case()
    found = explained_by(phi, F, "abc", np.arange(2048), np.arange(2048, 4096))
    assert abs(found.overlap) < 0.02
    assert found.joint == pytest.approx(sum(found.share.values()), abs=0.02)


def test_rotation_shift_scale_and_negation_change_nothing_and_units_do():
    phi, F = random_case()
    f, plain = F[:, 0], share(phi, F[:, 0])
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    for other in (phi @ Q, phi + 7, 3 * phi):
        assert share(other, f) == pytest.approx(plain)
    assert share(phi, 1 - f) == pytest.approx(plain)
    assert abs(share(phi * [9, 1, 1, 1, 1, 1], f) - plain) > 0.01


def test_it_is_the_between_class_share_when_both_halves_are_the_same():
    rng = np.random.default_rng(3)
    f = (rng.random(500) < 0.2).astype(int)
    phi = rng.standard_normal((500, 4)) + np.outer(f, [1, 2, 0, 1])
    p, between = f.mean(), phi[f == 1].mean(axis=0) - phi[f == 0].mean(axis=0)
    expected = p * (1 - p) * (between @ between) / total_variance(phi)
    assert share(phi, f) == pytest.approx(expected)
    # What the share would be with p = 1/2 and the same two means and spread.
    T = total_variance(phi)
    even = between @ between / 4
    assert balanced_share(expected, p) == pytest.approx(even / (T - p * (1 - p) * (between @ between) + even))


def test_constant_and_shuffled_features_explain_nothing_and_are_not_clipped():
    phi, F = random_case()
    val, test = slice(0, 2048), slice(2048, None)
    rng = np.random.default_rng(4)
    found = []
    for _ in range(20):
        f = rng.permutation(F[:, 0])
        found.append(variance_explained(phi[val], f[val], phi[test], f[test]))
    assert max(map(abs, found)) < 0.005
    assert min(found) < 0
    constant = np.ones(4096)
    assert abs(variance_explained(phi[val], constant[val], phi[test], constant[test])) < 0.005


def test_a_large_constant_activation_is_neither_explained_nor_total():
    phi, F = random_case()
    with_constant = np.hstack([phi, np.full((4096, 1), 1e3)])
    halves = slice(0, 2048), slice(2048, None)
    plain, other = (
        variance_explained(X[halves[0]], F[halves[0], 0], X[halves[1]], F[halves[1], 0]) for X in (phi, with_constant)
    )
    assert other == pytest.approx(plain)


def test_per_sample_is_the_mean_of_ratios():
    phi, F = random_case(n=200)
    f = F[:, :1].astype(float)
    W = np.linalg.lstsq(f - f.mean(0), phi - phi.mean(0), rcond=None)[0]
    left = np.square(phi - phi.mean(0) - (f - f.mean(0)) @ W).sum(1)
    whole = np.square(phi - phi.mean(0)).sum(1)
    assert share(phi, f, aggregate="per_sample") == pytest.approx(np.mean(1 - left / whole))
    assert share(phi, f) == pytest.approx(1 - left.sum() / whole.sum())


def test_a_trajectory_is_in_units_of_the_last_total():
    phi, F = random_case(n=400)
    found = trajectory([(0.5 * phi[:200], 0.5 * phi[200:]), (phi[:200], phi[200:])], F[:200], F[200:])
    last = [variance_explained(phi[:200], f[:200], phi[200:], f[200:]) for f in F.T]
    np.testing.assert_allclose(found[1], last)
    np.testing.assert_allclose(found[0], found[1] / 4)


def test_units_are_counted_by_their_correlation():
    phi = np.column_stack([BITS[:, 0], BITS[:, 0] + 0.1, BITS[:, 1], np.ones(len(BITS))])
    assert unit_density(phi, BITS).tolist() == [2, 1]


def test_what_cannot_be_measured_is_refused():
    phi, F = random_case(n=40)
    val, test = np.arange(20), np.arange(20, 40)
    with pytest.raises(InputError, match="fitted on and measured on"):
        explained_by(phi, F, "abc", np.arange(21), test)
    fixed = F.copy()
    fixed[test, 1] = 1
    with pytest.raises(InputError, match="always the same in the test half: b"):
        explained_by(phi, fixed, "abc", val, test)
    with pytest.raises(InputError, match="NaN"):
        share(np.where(phi == phi[0, 0], np.nan, phi), F[:, 0])
    with pytest.raises(InputError, match="the same for all inputs"):
        share(np.ones((10, 3)), np.arange(10) % 2)
    with pytest.raises(InputError, match="values"):
        variance_explained(phi, F[:5, 0], phi, F[:, 0])
    few = explained_by(np.hstack([phi] * 5), F, "abc", val, test)
    assert "20 test inputs for 30 dimensions" in few.warnings[0]
