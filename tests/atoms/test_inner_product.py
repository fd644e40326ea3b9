"""The atomic inner product against worked cases (spec 01, section 7) and its defining properties."""

from __future__ import annotations

import numpy as np
import pytest

from sememe import Bank
from sememe.atoms.coherence import coherence, welch_bound
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.errors import InputError

CASE = np.array([[1, 0, 1], [0, 1, 1]], np.float64)  # atoms in columns, as the paper writes them


def dictionary(D):
    return AtomicInnerProduct.fit(D.T, source="dictionary", ridge=0)


def cosines(metric, D):
    unit = metric.unit(D.T)
    return (unit @ unit.T)[np.triu_indices(D.shape[1], 1)]


def test_the_worked_case():
    metric = dictionary(CASE)
    np.testing.assert_allclose(metric.matrix, np.array([[2, -1], [-1, 2]]) / 3, atol=1e-12)
    np.testing.assert_allclose(
        metric.inner(CASE.T, CASE.T), np.array([[2, -1, 1], [-1, 2, 1], [1, 1, 2]]) / 3, atol=1e-12
    )
    np.testing.assert_allclose(cosines(metric, CASE), [-0.5, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(metric.root, [[0.788675, -0.211325], [-0.211325, 0.788675]], atol=1e-6)
    whitened = metric.whiten(CASE.T)
    np.testing.assert_allclose(whitened.T @ whitened, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(metric.unwhiten(whitened), CASE.T, atol=1e-12)
    plain = AtomicInnerProduct.fit(CASE.T, source="euclidean")
    np.testing.assert_allclose(cosines(plain, CASE), [0, 0.70710678, 0.70710678], atol=1e-8)


def test_it_is_the_minimiser_that_the_paper_names():
    """S = (D D^T)^-1 minimises |I - D^T S D|: any small symmetric change makes it larger."""
    rng = np.random.default_rng(0)
    D = rng.standard_normal((4, 9))
    S = dictionary(D).matrix
    least = np.linalg.norm(np.eye(9) - D.T @ S @ D)
    for _ in range(20):
        change = rng.standard_normal((4, 4))
        assert np.linalg.norm(np.eye(9) - D.T @ (S + 1e-3 * (change + change.T)) @ D) > least


def test_the_gram_matrix_is_a_projection_and_coherence_meets_the_welch_bound_on_average():
    D = np.random.default_rng(0).standard_normal((64, 256))
    metric = dictionary(D)
    P = metric.inner(D.T, D.T)
    np.testing.assert_allclose(P @ P, P, atol=1e-10)
    assert np.trace(P) == pytest.approx(64)
    measured = coherence(D.T, metric)
    assert np.sqrt(measured.mean_square) == pytest.approx(welch_bound(256, 64), rel=0.01)
    angles = metric.angles(D.T, n_pairs=10**6)
    assert angles.mean() == pytest.approx(90, abs=0.1)
    assert angles.std() == pytest.approx(6.28, abs=0.15)


def test_linear_maps_of_the_data_change_nothing():
    A = np.array([[2.0, 1], [0, -3]])
    np.testing.assert_allclose(cosines(dictionary(A @ CASE), A @ CASE), cosines(dictionary(CASE), CASE), atol=1e-12)
    plain = AtomicInnerProduct.fit(CASE.T, source="euclidean")
    np.testing.assert_allclose(cosines(plain, A @ CASE), [0.3162, 0.7071, 0.8944], atol=1e-4)
    rng = np.random.default_rng(1)
    X, A = rng.standard_normal((300, 6)), rng.standard_normal((6, 6))
    before = AtomicInnerProduct.fit(X, ridge=0).inner(X[:9], X[:9])
    after = AtomicInnerProduct.fit(X @ A.T, ridge=0).inner(X[:9] @ A.T, X[:9] @ A.T)
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_a_common_direction_is_taken_out():
    """Spec 01, check 4: Euclidean mean angle 60 degrees, atomic 89.3."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((256, 64))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    common = rng.standard_normal(64)
    shifted = atoms + common / np.linalg.norm(common)
    assert AtomicInnerProduct.fit(shifted, source="euclidean").angles(shifted, 10**6).mean() == pytest.approx(60, abs=1)
    assert AtomicInnerProduct.fit(shifted, ridge=0).angles(shifted, 10**6).mean() == pytest.approx(89.33, abs=0.5)


def test_sources_differ_as_they_should():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 5)) * [1, 2, 3, 4, 5] + 10
    corpus = AtomicInnerProduct.fit(X, ridge=0)
    np.testing.assert_allclose(corpus.moment, X.T @ X / 500, rtol=1e-6)
    centred = AtomicInnerProduct.fit(X, source="centered", ridge=0)
    np.testing.assert_allclose(centred.moment, np.cov(X.T, bias=True), rtol=1e-5, atol=1e-6)
    assert corpus.condition > centred.condition


def test_a_bank_gives_the_same_and_rows_can_be_chosen(tmp_path):
    X = np.random.default_rng(0).standard_normal((700, 6)).astype(np.float32)
    with Bank.create(tmp_path / "b", 6, provenance={}) as bank:
        bank.append(X)
        bank.commit()
        from_bank = AtomicInnerProduct.fit(bank, rows=np.arange(100, 600))
    np.testing.assert_allclose(from_bank.moment, AtomicInnerProduct.fit(X[100:600]).moment, rtol=1e-12)
    assert from_bank.n == 500


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.ones((3, 5)), {"ridge": 0}, "3 vectors do not span 5"),
        (np.ones((3, 5)), {"source": "dictionary"}, "3 atoms do not span 5"),
        (np.ones((30, 5)), {"ridge": 0}, "span 1 of 5"),
        (np.full((30, 5), np.nan, np.float32), {}, "NaN"),
        (np.full((30, 5), np.inf), {}, "infinity"),
        (np.ones((30, 5)), {"source": "cosine"}, "no source 'cosine'"),
        (np.ones((30, 5)), {"ridge": -1.0}, "ridge is -1.0"),
        (np.ones((0, 5)), {}, "no vectors"),
    ],
)
def test_what_has_no_inverse_is_refused(X, options, message):
    with pytest.raises(InputError, match=message):
        AtomicInnerProduct.fit(X, **options)


def test_a_constant_column_needs_the_ridge():
    X = np.random.default_rng(0).standard_normal((300, 4))
    X[:, 2] = 0
    with pytest.raises(InputError, match="span 3 of 4"):
        AtomicInnerProduct.fit(X, ridge=0)
    metric = AtomicInnerProduct.fit(X)
    assert metric.rank == 3
    # What lies in the direction without extent counts for nothing.
    moved = X[:5] + np.array([0, 0, 9.0, 0])
    np.testing.assert_allclose(metric.inner(moved, moved), metric.inner(X[:5], X[:5]), atol=1e-9)
    np.testing.assert_allclose(metric.unwhiten(metric.whiten(X)), X, atol=1e-9)


def test_wrong_vectors_are_refused():
    metric = AtomicInnerProduct.fit(np.random.default_rng(0).standard_normal((50, 4)))
    with pytest.raises(InputError, match="4 wide"):
        metric.whiten(np.ones((2, 3)))
    with pytest.raises(InputError, match="row 1 is zero"):
        metric.unit(np.array([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
    with pytest.raises(InputError, match="no pairs"):
        metric.angles(np.ones((1, 4)))
