"""The certificate: coherence, grades, and that a wrong dictionary is caught."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import hadamard

from sememe import Atoms
from sememe.atoms import coherence as coherence_module
from sememe.atoms.certificate import Certificate, restore, self_recovery
from sememe.atoms.coherence import coherence, exact_recovery_k, rip_bound, unique_k_max, welch_bound
from sememe.atoms.weights import Weights
from sememe.errors import InputError

IDENTITY_AND_HADAMARD = np.vstack([np.eye(256), hadamard(256) / 16]).astype(np.float32)


def random_atoms(n, d, seed=0):
    atoms = np.random.default_rng(seed).standard_normal((n, d))
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def test_identity_and_hadamard_have_the_known_coherence():
    """Spec 01, check 5: mu = 1/16, unique up to 8."""
    measured = coherence(IDENTITY_AND_HADAMARD)
    assert measured.mutual == pytest.approx(0.0625, abs=1e-6)
    assert unique_k_max(measured.mutual) == 8
    # Each atom of one half has the same coherence with all of the other half, so the Babel function is K mu.
    np.testing.assert_allclose(measured.babel[:, :5], np.tile(np.arange(5) / 16, (512, 1)), atol=1e-5)
    assert exact_recovery_k(measured.babel[:1])[0] == 8  # K mu + (K - 1) mu < 1


@pytest.mark.parametrize("exact", [8192, 10])
def test_one_pass_equals_brute_force(monkeypatch, exact):
    monkeypatch.setattr(coherence_module, "_BLOCK", 7)
    monkeypatch.setattr(coherence_module, "EXACT_ATOMS", exact)
    atoms = random_atoms(30, 5)
    pairs = np.array([abs(float(a @ b)) for a, b in itertools.combinations(atoms, 2)])
    cosines = np.abs(atoms @ atoms.T) - 2 * np.eye(30)
    measured = coherence(3.7 * atoms)  # lengths do not matter
    assert measured.mutual == pytest.approx(pairs.max(), abs=1e-6)
    assert measured.mean_square == pytest.approx(np.square(pairs).mean(), abs=1e-6)
    np.testing.assert_array_equal(measured.neighbour, cosines.argmax(axis=1))
    np.testing.assert_allclose(measured.nearest, cosines.max(axis=1), atol=1e-6)
    ordered = -np.sort(-cosines, axis=1)[:, :29]
    np.testing.assert_allclose(measured.babel[:, 1:], np.cumsum(ordered, axis=1), atol=1e-5)
    for q in (0.0, 0.1, 0.5, 0.93, 1.0):
        assert measured.quantile(q) == pytest.approx(np.quantile(pairs, q), abs=2e-5 if exact == 8192 else 2e-3)
    counts, _ = measured.histogram(10)
    np.testing.assert_array_equal(counts, np.histogram(pairs, 10, (0, 1))[0])


def test_few_atoms():
    assert coherence(np.ones((1, 3))).mutual == 0.0
    assert coherence(np.ones((0, 3))).mutual == 0.0
    with pytest.raises(InputError, match="no pairs"):
        coherence(np.ones((1, 3))).quantile(0.5)
    with pytest.raises(InputError, match="atom 1 is zero"):
        coherence(np.array([[1.0, 0], [0, 0], [0, 1]]))


def test_the_welch_bound_is_met_by_equiangular_vectors():
    angles = np.arange(3) * 2 * np.pi / 3
    triangle = np.column_stack([np.cos(angles), np.sin(angles)])
    assert welch_bound(3, 2) == pytest.approx(0.5)
    assert coherence(triangle).mutual == pytest.approx(0.5)
    assert welch_bound(4, 4) == 0.0
    assert welch_bound(256, 64) == pytest.approx(0.10847, abs=1e-5)


@pytest.mark.parametrize(("mu", "k"), [(1.0, 0), (0.5, 1), (1 / 3, 1), (0.3, 2), (0.2, 2), (0.199, 3), (0.0, None)])
def test_the_bound_on_active_atoms_is_strict(mu, k):
    """K < (1 + 1 / mu) / 2: at mu = 0.5 the bound is 1.5, at 0.2 it is exactly 3, which 3 does not meet."""
    assert unique_k_max(mu) == k


def test_the_rip_bound_holds_for_random_supports():
    """Eigenvalues of Gram matrices of K atoms stay within 1 +- (K - 1) mu."""
    rng = np.random.default_rng(0)
    atoms = random_atoms(40, 30)
    mu = coherence(atoms).mutual
    for k in (2, 3, 4):
        for _ in range(50):
            chosen = atoms[rng.choice(40, k, replace=False)]
            eigenvalues = np.linalg.eigvalsh(chosen @ chosen.T)
            assert np.abs(eigenvalues - 1).max() <= rip_bound(mu, k) + 1e-6


def test_each_atom_is_told_apart_up_to_its_own_bound():
    """Brute force over signs of interference: at recovery_k the worst active score beats the worst inactive one."""
    atoms = random_atoms(12, 40, 3)
    measured = coherence(atoms)
    limits = exact_recovery_k(measured.babel)
    assert limits.min() >= 1
    cosines = np.abs(atoms @ atoms.T)
    for i, k in enumerate(limits):
        others = np.delete(cosines[i], i)
        worst_active = min(1 - sum(chosen) for chosen in itertools.combinations(others, k - 1))
        worst_inactive = max(sum(chosen) for chosen in itertools.combinations(others, k))
        assert worst_active > worst_inactive
        if k < 11:
            beyond = sum(np.sort(others)[::-1][:k]) + sum(np.sort(others)[::-1][: k + 1])
            assert beyond >= 1
    assert (exact_recovery_k(measured.babel, 0.2) <= limits).all()


def planted(n, seed=0):
    rng = np.random.default_rng(seed)
    atoms = random_atoms(48, 32, seed)
    codes = np.zeros((n, 48))
    for row in codes:
        row[rng.choice(48, 3, replace=False)] = rng.uniform(1, 1.5, 3)
    return (codes @ atoms).astype(np.float32), atoms


@pytest.fixture(scope="module")
def learned():
    return Atoms.fit(planted(6000)[0], 64, target_active=3, steps=1200)


def test_the_certificate_is_about_live_atoms_and_survives_saving(learned, tmp_path):
    certificate = learned.certificate
    live = learned.fired > 0
    assert certificate["live_atoms"] == live.sum()
    assert certificate["inner_product"] == "corpus"
    metric = learned.inner_product
    cosines = np.abs(metric.unit(learned.decoder[live]) @ metric.unit(learned.decoder[live]).T) - np.eye(live.sum())
    assert certificate["mutual_coherence"] == pytest.approx(cosines.max(), abs=1e-4)
    assert sum(certificate[grade] for grade in ("proved", "recovered", "uncertain", "unmeasured", "dead")) == 64
    learned.save(tmp_path / "atoms")
    again = Atoms.load(tmp_path / "atoms")
    assert again.certified.grades() == learned.certified.grades()
    np.testing.assert_array_equal(again.inner_product.moment, metric.moment)


def test_an_atom_at_the_limit_keeps_its_grade_when_saved(learned):
    found = Certificate(
        dict(learned.certificate), np.zeros(1), np.zeros(1, np.int64), np.array([0.9]), np.zeros(1, bool)
    )
    again = restore(found.figures, found.arrays(), np.ones(1))
    assert found.grades() == again.grades() == ["recovered"]


def test_planted_atoms_are_certified_and_a_wrong_dictionary_is_caught(learned):
    """The same atoms with every second one replaced by a mixture of two others: codes no longer come back."""
    X, _ = planted(3000, 0)
    good = self_recovery(learned.weights, X)
    live = learned.fired > 50
    assert np.nanmean(good[live] >= 0.9) > 0.95
    w = learned.weights
    wrong = w.decoder.copy()
    chosen = np.flatnonzero(live)[::2]
    wrong[chosen] = wrong[np.roll(chosen, 1)] + wrong[np.roll(chosen, 2)]
    wrong /= np.linalg.norm(wrong, axis=1, keepdims=True)
    bad = self_recovery(Weights(wrong, w.encoder, w.encoder_bias, w.bias, w.thresholds), X)
    assert np.nanmean(bad[chosen] >= 0.9) < 0.2
    assert coherence(wrong[live]).mutual > coherence(w.decoder[live]).mutual


def test_a_duplicated_atom_is_never_proved(learned):
    w, metric = learned.weights, learned.inner_product
    live = np.flatnonzero(learned.fired > 50)
    doubled = np.vstack([w.decoder[live], w.decoder[live[:1]]])
    measured = coherence(doubled, metric)
    limits = exact_recovery_k(measured.babel)
    assert measured.mutual == pytest.approx(1, abs=1e-6)
    assert limits[0] == limits[-1] == 0


def test_rarely_active_atoms_are_not_graded_by_chance():
    weights = Weights(
        np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), np.zeros(3), np.zeros(3), np.full(3, 0.5)
    )
    X = np.zeros((20, 3), np.float32)
    X[:10, 0], X[:2, 1] = 1, 1
    found = self_recovery(weights, X)
    assert found[0] == 1.0
    assert np.isnan(found[1])
    assert np.isnan(found[2])
