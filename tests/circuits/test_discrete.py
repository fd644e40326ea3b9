"""The discrete autoencoder: its arithmetic, its norms, its gradient, and planted heads that it finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sememe.circuits.discrete import DiscreteConfig, DiscreteSAE
from sememe.circuits.published import PublishedConfig, score_outputs
from sememe.circuits.scoring import node_scores
from sememe.errors import InputError, NotFittedError


@pytest.fixture(scope="module")
def outputs():
    return np.random.default_rng(0).standard_normal((12, 4, 16)).astype(np.float32)


@pytest.mark.parametrize(("norm", "axis"), [("atom", 0), ("official", 1)])
def test_norms_are_one_after_every_step(outputs, norm, axis):
    for steps in (1, 3, 20):
        weights = DiscreteSAE(DiscreteConfig(n_latents=10, steps=steps, decoder_norm=norm)).fit(outputs).weights_
        np.testing.assert_allclose(np.linalg.norm(weights["encoder"], axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(weights["decoder"], axis=axis), 1, atol=1e-6)


def test_one_step_is_adam_on_the_loss_as_written(outputs):
    config = DiscreteConfig(n_latents=10, steps=1, lr=1e-3)
    start = DiscreteSAE(DiscreteConfig(n_latents=10, steps=0)).fit(outputs).weights_
    after = DiscreteSAE(config).fit(outputs)
    W, b_enc, D, b = (start[name].astype(np.float64) for name in ("encoder", "encoder_bias", "decoder", "bias"))
    X = outputs.astype(np.float64)
    a = np.maximum((X - b) @ W.T + b_enc, 0)
    error = a @ D.T + b - X
    assert after.losses_[0] == pytest.approx((error**2).mean() + 0.02 * np.abs(a).sum(-1).mean(), rel=1e-5)
    slope = 2 * error / error.size
    back = (slope @ D + 0.02 / (12 * 4)) * (a > 0)
    np.testing.assert_allclose(
        after.weights_["encoder_bias"] - start["encoder_bias"],
        -1e-3 * np.sign(back.sum((0, 1))) * (np.abs(back.sum((0, 1))) > 0), atol=2e-5,
    )  # fmt: skip
    gradient = np.einsum("phk,phd->kd", back, X - b)
    gradient -= (gradient * W).sum(1, keepdims=True) * W
    moved = W - 1e-3 * gradient / (np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(
        after.weights_["encoder"], moved / np.linalg.norm(moved, axis=1, keepdims=True), atol=1e-4
    )


def test_codes_are_the_strongest_latents_and_silence_is_counted(outputs):
    fitted = DiscreteSAE(DiscreteConfig(n_latents=10, steps=30)).fit(outputs)
    weights = fitted.weights_
    a = np.maximum((outputs - weights["bias"]) @ weights["encoder"].T + weights["encoder_bias"], 0)
    np.testing.assert_array_equal(fitted.codes(outputs), a.argmax(-1))
    np.testing.assert_array_equal(fitted.silent(outputs), a.max(-1) == 0)
    fitted.weights_["encoder_bias"] -= 100
    assert fitted.silent(outputs).all()
    assert (fitted.codes(outputs) == 0).all()


def test_the_same_seed_gives_the_same_and_input_is_kept(outputs):
    before = outputs.copy()
    first, second = (DiscreteSAE(DiscreteConfig(n_latents=10, steps=15), 3).fit(outputs) for _ in range(2))
    for name, array in first.weights_.items():
        np.testing.assert_array_equal(array, second.weights_[name])
    np.testing.assert_array_equal(outputs, before)
    assert first.get_params() == {
        "n_latents": 10, "l1": 0.02, "steps": 15, "lr": 1e-3, "decoder_norm": "atom", "random_state": 3
    }  # fmt: skip
    state = torch.random.get_rng_state()
    first.fit(outputs)
    assert torch.equal(state, torch.random.get_rng_state())


def test_bad_values_are_refused_together(outputs):
    with pytest.raises(InputError, match=r"n_latents is 1.*steps is -1.*l1 is -1.*lr is 0.*decoder_norm"):
        DiscreteConfig(n_latents=1, steps=-1, l1=-1.0, lr=0.0, decoder_norm="both")
    with pytest.raises(InputError, match=r"pool is 'max'.*n_train is 0"):
        PublishedConfig(pool="max", n_train=0)
    with pytest.raises(NotFittedError):
        DiscreteSAE().codes(outputs)
    with pytest.raises(InputError, match="not finite"):
        DiscreteSAE().fit(outputs * np.nan)
    with pytest.raises(InputError, match="expected"):
        DiscreteSAE().fit(outputs[0])
    fitted = DiscreteSAE(DiscreteConfig(n_latents=4, steps=1)).fit(outputs)
    with pytest.raises(InputError, match="8 wide, not 16"):
        fitted.codes(outputs[:, :, :8])


def test_the_whole_method_keeps_its_parts_consistent(outputs):
    found = score_outputs(outputs, 6, PublishedConfig(n_latents=12, steps=20, n_train=5))
    counts = node_scores(found.codes, 6)
    np.testing.assert_array_equal(counts.positive, found.counts.positive)
    assert (found.counts.total <= 12).all()
    assert 0 <= found.silent <= 1


def test_a_disjoint_count_leaves_the_training_prompts_out(outputs):
    config = PublishedConfig(n_latents=12, steps=20, n_train=5, disjoint=True)
    found = score_outputs(outputs, 6, config, 1)
    trained = np.random.default_rng(1).permutation(12)[:5]
    kept = np.setdiff1d(np.arange(12), trained)
    counts = node_scores(found.codes[kept], int((kept < 6).sum()))
    np.testing.assert_array_equal(counts.total, found.counts.total)
    assert (found.counts.total <= node_scores(found.codes, 6).total).all()
    with pytest.raises(InputError, match="0 of 0 prompts are positive"):
        score_outputs(outputs, 6, PublishedConfig(n_latents=12, steps=2, n_train=12, disjoint=True))
