"""Screened pre-activations choose what dense ones choose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sememe.atoms.preactivations import BLOCKS, Chosen, Dense, Screened

SIZES = [(1, 1, 1), (7, 3, 5), (40, 24, BLOCKS + 3), (50, 48, 3 * BLOCKS + 17)]


def batch(n: int, d: int, n_atoms: int, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    x = scale * torch.randn(n, d, generator=generator)
    x[:, 0] *= 30  # one large coordinate, as language models have
    return x, torch.randn(n_atoms, d, generator=generator), 0.1 * torch.randn(n_atoms, generator=generator)


def sets(chosen: Chosen) -> list[tuple[int, int]]:
    pairs = list(zip(chosen.row.tolist(), chosen.atom.tolist(), strict=True))
    assert pairs == sorted(pairs)
    return pairs


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_the_same_pairs_are_above_thresholds(size, scale):
    x, encoder, bias = batch(*size, scale=scale)
    z = (x.double() @ encoder.double().T + bias.double()).float()
    for quantile in (0.5, 0.97, 1.0):
        thresholds = torch.quantile(z, quantile, dim=0)
        # Values that rounding could put on either side of a threshold decide nothing.
        thresholds += 1e-4 * z.abs().max()
        found = Screened(x, encoder, bias).above(thresholds)
        wanted = Dense(x, encoder, bias).above(thresholds)
        assert sets(found) == sets(wanted)
        np.testing.assert_allclose(found.value, wanted.value, rtol=1e-4, atol=1e-5 * float(z.abs().max()))
        bar = float(thresholds.mean())
        assert sets(Screened(x, encoder, bias).above(bar)) == sets(Dense(x, encoder, bias).above(bar))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 5, 130])
def test_the_same_largest(size, k):
    x, encoder, bias = batch(*size)
    found, wanted = Screened(x, encoder, bias).top(k), Dense(x, encoder, bias).top(k)
    assert sets(found) == sets(wanted)
    np.testing.assert_allclose(found.value, wanted.value, rtol=1e-4, atol=1e-4)


def test_bounds_cover_the_error_and_little_more():
    """Errors of the product in bfloat16 against what is allowed for them, with a coordinate that dwarfs the others."""
    x, encoder, bias = batch(300, 64, 500)
    near = (x.bfloat16().double() @ encoder.bfloat16().double().T) + bias
    error = near - (x.double() @ encoder.double().T + bias)
    bounds = Screened(x, encoder, bias)
    allowed = bounds._length[:, None].double() * bounds._width.double()
    assert float((error.abs() / allowed).max()) < 0.9
    assert float((error / (allowed / 6)).std()) > 0.1  # the bound of the variance is not idle


def test_a_product_in_half_precision_alone_would_choose_others():
    """What the bounds are for."""
    x, encoder, bias = batch(50, 48, 401)
    z = x @ encoder.T + bias
    thresholds = torch.quantile(z, 0.97, dim=0) + 1e-4 * z.abs().max()
    near = (x.bfloat16() @ encoder.bfloat16().T).float() + bias
    alone = (near > thresholds).nonzero().tolist()
    assert [tuple(pair) for pair in alone] != sets(Dense(x, encoder, bias).above(thresholds))


def test_nothing_above_is_nothing():
    x, encoder, bias = batch(5, 4, 6)
    assert len(Screened(x, encoder, bias).above(1e9).row) == 0
