"""The certificate against worked cases (spec 01, section 7) and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import hadamard

from sememe.atoms.certificate import certify, mutual_coherence, unique_k_max, welch_bound


def test_identity_and_hadamard_have_the_known_coherence():
    decoder = np.vstack([np.eye(256), hadamard(256) / 16]).astype(np.float32)
    assert mutual_coherence(decoder) == pytest.approx(0.0625, abs=1e-6)
    assert unique_k_max(0.0625) == 8


def test_coherence_equals_brute_force_across_blocks(monkeypatch):
    monkeypatch.setattr("sememe.atoms.certificate._BLOCK", 7)
    decoder = np.random.default_rng(0).standard_normal((30, 5))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    expected = max(abs(float(a @ b)) for a, b in itertools.combinations(decoder, 2))
    assert mutual_coherence(decoder) == pytest.approx(expected, abs=1e-12)


def test_the_welch_bound_is_met_by_equiangular_vectors():
    angles = np.arange(3) * 2 * np.pi / 3
    triangle = np.column_stack([np.cos(angles), np.sin(angles)])
    assert welch_bound(3, 2) == pytest.approx(0.5)
    assert mutual_coherence(triangle) == pytest.approx(0.5)
    assert welch_bound(4, 4) == 0.0
    assert welch_bound(256, 64) == pytest.approx(0.10847, abs=1e-5)


@pytest.mark.parametrize(
    ("coherence", "k"), [(1.0, 0), (0.5, 1), (1 / 3, 1), (0.3, 2), (0.2, 2), (0.199, 3), (0.0, None)]
)
def test_the_bound_on_active_atoms_is_strict(coherence, k):
    """K < (1 + 1 / mu) / 2: at mu = 0.5 the bound is 1.5, at 0.2 it is exactly 3, which 3 does not meet."""
    assert unique_k_max(coherence) == k


def test_dead_atoms_are_not_certified():
    decoder = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    found = certify(decoder, np.array([True, True, False]), 1.5)
    assert found["mutual_coherence"] == 0.0
    assert found["live_atoms"] == 2
    assert found["mean_active"] == 1.5
    assert certify(decoder, np.ones(3, bool), 1.5)["mutual_coherence"] == 1.0
