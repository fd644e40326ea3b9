"""RSA and CKA: identities, a slow reference, the null, and what the warnings see."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.probes.similarity import compare_representations, linear_cka, rdm, rsa, without

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((60, 8)), RNG.standard_normal((60, 5))
Q = np.linalg.qr(RNG.standard_normal((8, 8)))[0]


def test_rotations_change_nothing_and_the_order_of_sides_neither():
    assert rsa(A, A @ Q) == pytest.approx(1.0)
    assert linear_cka(A, 3 * A @ Q + 2) == pytest.approx(1.0)
    assert rsa(A, B) == pytest.approx(rsa(B, A))
    assert linear_cka(A, B) == pytest.approx(linear_cka(B, A))


def test_rsa_is_spearmans_correlation_of_dissimilarities():
    from scipy.stats import spearmanr

    slow = [[np.linalg.norm(X[i] - X[j]) for i in range(60) for j in range(i + 1, 60)] for X in (A, B)]
    np.testing.assert_allclose(rdm(A), slow[0])
    assert rsa(A, B) == pytest.approx(spearmanr(*slow).statistic)


def hsic_unbiased(X, Y):
    """Song et al. (2012), equation 5, as it is written."""
    K, L, n = X @ X.T, Y @ Y.T, len(X)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    inner = np.trace(K @ L) + one @ K @ one * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ K @ L @ one
    return inner / (n * (n - 3))


def test_debiased_cka_is_the_unbiased_estimator():
    X, Y = A - A.mean(0), np.hstack([A[:, :2], B]) - np.hstack([A[:, :2], B]).mean(0)
    expected = hsic_unbiased(X, Y) / np.sqrt(hsic_unbiased(X, X) * hsic_unbiased(Y, Y))
    assert linear_cka(X, Y) == pytest.approx(expected)


def test_only_the_plain_cka_is_high_for_wide_noise():
    wide = RNG.standard_normal((30, 400)), RNG.standard_normal((30, 400))
    assert linear_cka(*wide, debiased=False) > 0.8
    assert abs(linear_cka(*wide)) < 0.2


def test_taking_a_feature_out_leaves_nothing_of_it():
    f = RNG.integers(0, 2, 60).astype(float)
    left = without(A + np.outer(f, np.ones(8)), f[:, None])
    assert np.abs(left.T @ (f - f.mean())).max() < 1e-9


def test_independent_representations_are_no_more_alike_than_permuted_ones():
    found = compare_representations(A, B, permutations=99)
    assert found.rsa.p > 0.01
    assert abs(found.cka.null) < 0.05
    assert found.cka.interval[0] < found.cka.value < found.cka.interval[1]
    same = compare_representations(A, A[:, :6] + 0.1 * RNG.standard_normal((60, 6)), permutations=99)
    assert same.cka.p == same.rsa.p == 0.01


def test_likeness_that_rests_on_one_feature_is_told():
    f = RNG.integers(0, 2, 60).astype(float)
    a, b = (X + np.outer(f, 4 * np.eye(X.shape[1])[0]) for X in (A, B))
    found = compare_representations(a, b, {"loud": f, "quiet": RNG.standard_normal(60)}, permutations=99)
    assert found.cka.value > 0.3 > found.cka.without["loud"]
    said = " ".join(found.warnings)
    assert "CKA falls from" in said
    assert "without 'loud': it rests on it" in said
    assert "quiet" not in said


def test_a_dominant_direction_and_uneven_lengths_are_told():
    a = A * [30, 1, 1, 1, 1, 1, 1, 1]
    said = " ".join(compare_representations(a, A, permutations=19).warnings)
    assert "one direction takes 9" in said
    assert "--metric cosine" in said


def test_bad_comparisons_are_refused():
    with pytest.raises(InputError, match="the same inputs"):
        rsa(A, B[:10])
    with pytest.raises(InputError, match="NaN"):
        linear_cka(A, np.where(B[0, 0] == B, np.nan, B))
    with pytest.raises(InputError, match="10 inputs"):
        compare_representations(A[:10], B[:10])
    with pytest.raises(InputError, match="constant"):
        linear_cka(np.ones((20, 2)), B[:20])
    with pytest.raises(InputError, match="equally far"):
        rsa(np.ones((20, 2)), B[:20])
