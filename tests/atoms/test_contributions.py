"""Explanations are exact: atoms, bias and residual sum to the score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.atoms import Atoms, Weights
from sememe.errors import InputError


def random_atoms(rng: np.random.Generator, n_atoms: int, dimensions: int, scale: float) -> Atoms:
    decoder = rng.standard_normal((n_atoms, dimensions)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    weights = Weights(
        decoder=decoder,
        encoder=(decoder + 0.1 * rng.standard_normal(decoder.shape)).astype(np.float32),
        encoder_bias=(0.1 * scale * rng.standard_normal(n_atoms)).astype(np.float32),
        bias=(scale * rng.standard_normal(dimensions)).astype(np.float32),
        thresholds=np.full(n_atoms, 0.3 * scale, np.float32),
    )
    return Atoms(weights, np.ones(n_atoms), {})


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_atoms=st.integers(1, 40),
    dimensions=st.integers(1, 24),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    near_zero=st.booleans(),
)
def test_parts_sum_to_the_score(seed, n_atoms, dimensions, scale, near_zero):
    rng = np.random.default_rng(seed)
    atoms = random_atoms(rng, n_atoms, dimensions, scale)
    x = (scale * rng.standard_normal(dimensions)).astype(np.float32)
    q = rng.standard_normal(dimensions).astype(np.float32)
    if near_zero:
        q = (q - x * float(q @ x) / float(x @ x)).astype(np.float32)
    ((found, values, bias, residual),) = atoms.contributions(q, x[None])
    score = float(np.dot(q, x))
    size = float(np.abs(q.astype(np.float64)) @ np.abs(x.astype(np.float64)))
    assert values.sum() + bias + residual == pytest.approx(score, rel=1e-4, abs=1e-6 * size)

    code = atoms.pursue(x[None]).toarray()[0].astype(np.float64)
    np.testing.assert_array_equal(np.sort(found), np.flatnonzero(code))
    np.testing.assert_allclose(values, code[found] * (atoms.decoder[found].astype(np.float64) @ q), rtol=1e-9)
    rest = x - (code @ atoms.decoder.astype(np.float64) + atoms.bias)
    assert residual == pytest.approx(float(q @ rest), abs=1e-9 * (size + np.abs(values).sum() + abs(bias)))
    assert (np.diff(np.abs(values)) <= 0).all()


def test_a_vector_without_active_atoms_is_all_residual_and_bias():
    atoms = random_atoms(np.random.default_rng(0), 5, 4, 1.0)
    x = atoms.bias.copy()
    ((found, values, bias, residual),) = atoms.contributions(np.ones(4), x[None])
    assert len(found) == len(values) == 0
    assert bias == pytest.approx(float(x.sum()), rel=1e-6)
    assert residual == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("place", ["query", "vectors"])
def test_a_wrong_width_is_refused(place):
    atoms = random_atoms(np.random.default_rng(0), 5, 4, 1.0)
    given_vectors = {"query": np.ones(4), "vectors": np.ones((1, 4))}
    given_vectors[place] = given_vectors[place][..., :3]
    with pytest.raises(InputError, match="4 wide"):
        atoms.contributions(**given_vectors)
