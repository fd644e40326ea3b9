"""Recovery of codes: the guarantees of spec 01, section 3.4, where they are worked out (check 5)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.sparse import csr_matrix
from sklearn.linear_model import orthogonal_mp

from sememe.atoms.recovery import basis_pursuit, pursuit_codes, refit, tau_window, threshold_codes
from sememe.errors import InputError

D = np.vstack([np.eye(256), hadamard(256) / 16])
MU = 0.0625


def codes_of(n, k, seed=0, low=1.0, high=1.5):
    rng = np.random.default_rng(seed)
    codes = np.zeros((n, len(D)))
    for row in codes:
        row[rng.choice(len(D), k, replace=False)] = rng.uniform(low, high, k)
    return codes


def test_the_window_of_thresholds():
    assert tau_window(MU, 3, 1, 1.5) == pytest.approx((0.28125, 0.8125))
    with pytest.raises(InputError, match="no threshold"):
        tau_window(MU, 9, 1, 1.5)


def test_supports_are_exact_and_amplitudes_are_not_until_refitted():
    codes = codes_of(5000, 3)
    X = codes @ D
    found = threshold_codes(D, X, sum(tau_window(MU, 3, 1, 1.5)) / 2)
    np.testing.assert_array_equal(found.toarray() > 0, codes > 0)
    error = np.abs(found.toarray() - codes).max()
    assert 0.15 < error <= MU * 2 * 1.5 + 1e-9
    r2 = 1 - np.square(X - found @ D).sum() / np.square(X).sum()
    assert r2 == pytest.approx(0.996, abs=0.001)
    refitted = refit(D, found, X)
    assert np.abs(X - refitted @ D).max() < 1e-13
    # Without a threshold, all the interference stays in the code.
    plain = np.maximum(X @ D.T, 0)
    assert np.linalg.norm(plain @ D - X) / np.linalg.norm(X) > 0.4


def unit(n, d, seed):
    atoms = np.random.default_rng([seed, 2]).standard_normal((n, d))
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def test_matching_pursuit_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    directions, X = unit(40, 12, 3), rng.normal(size=(300, 12))
    theirs = orthogonal_mp(directions.T, X.T, n_nonzero_coefs=5).T
    np.testing.assert_allclose(pursuit_codes(directions, X, 5).toarray(), theirs, atol=1e-6)


def test_matching_pursuit_finds_a_planted_code_and_survives_doubled_directions():
    directions = np.repeat(unit(8, 32, 0), 2, axis=0)
    X = directions[[2, 9]] * 2.0 + directions[[4, 14]]
    codes = pursuit_codes(directions, X, 6)
    np.testing.assert_allclose(codes @ directions, X, atol=1e-6)
    assert np.isfinite(codes.data).all()
    assert pursuit_codes(directions, X[:0], 3).shape == (0, 16)


def test_pursuit_finds_codes_within_the_bound():
    codes = codes_of(50, 8)
    np.testing.assert_allclose(pursuit_codes(D, codes @ D, 8).toarray(), codes, atol=1e-9)
    assert pursuit_codes(D, np.zeros((2, 256)), 8).nnz == 0


@pytest.mark.parametrize("k", [8, 48])
def test_basis_pursuit_finds_codes_even_beyond_the_bound(k):
    code = codes_of(1, k)[0]
    np.testing.assert_allclose(basis_pursuit(D, code @ D), code, atol=1e-6)


def test_basis_pursuit_says_when_no_code_exists():
    with pytest.raises(InputError, match="no code"):
        basis_pursuit(np.array([[1.0, 0], [2.0, 0]]), np.array([0.0, 1.0]))


def test_refitting_nothing_and_dependent_atoms():
    empty = csr_matrix((2, 3))
    assert refit(np.eye(3), empty, np.ones((2, 3))).nnz == 0
    twice = np.vstack([np.eye(3)[:1], np.eye(3)[:1]])
    codes = csr_matrix(np.array([[5.0, 7.0]]))
    np.testing.assert_allclose(refit(twice, codes, np.array([[2.0, 0, 0]])).toarray(), [[1, 1]])


def test_what_else_is_coded_changes_nothing():
    rng = np.random.default_rng(0)
    atoms, X = unit(300, 40, 1), rng.standard_normal((600, 40)).astype(np.float32)
    whole = pursuit_codes(atoms, X, 8).toarray()
    np.testing.assert_array_equal(pursuit_codes(atoms, X[350:353], 8).toarray() != 0, whole[350:353] != 0)
    np.testing.assert_allclose(pursuit_codes(atoms, X[:1], 8).toarray(), whole[:1], atol=1e-10)
