"""Head outputs, patching, attribution, faithfulness and attention on tiny models, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_circuits import tiny_model, tiny_task

from sememe.circuits.attention import attention_patterns
from sememe.circuits.attribution import attribute_heads
from sememe.circuits.faithfulness import faithfulness
from sememe.circuits.head_outputs import head_outputs, place_of, unit_rms
from sememe.circuits.patching import patch_heads, true_heads
from sememe.errors import InputError
from sememe.models.sites import find_sites

FAMILIES = ["llama", "qwen3", "gemma2", "gpt2", "gpt_neox", "gptj", "phi", "opt", "bloom", "falcon"]
PROMPTS = ["the book and the key", "Yesterday Mary and John visited the market"]


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_sum_to_the_attention_output(family):
    lm = tiny_model(family)
    ids = lm.tokenize(PROMPTS[1]).ids
    found = head_outputs(lm, [ids], "all").outputs
    sites = find_sites(lm.model)
    attention = next(iter(lm.activations([ids], "layers.*.attention")))
    for layer in range(lm.n_layers):
        projection = sites[f"layers.{layer}.attention.heads"].module
        projected = []
        handle = projection.register_forward_hook(lambda _module, _inputs, out, kept=projected: kept.append(out[0]))
        lm.next_logits([ids])
        handle.remove()
        total = found[:, layer * lm.n_heads : (layer + 1) * lm.n_heads].sum(axis=1)
        total = total if projection.bias is None else total + projection.bias.detach().numpy()
        assert np.abs(total - projected[0].detach().numpy().reshape(total.shape)).max() < 1e-4
        if family != "bloom":  # whose attention adds the residual stream itself
            assert np.abs(total - attention[f"layers.{layer}.attention"]).max() < 1e-4


def test_pooling_is_of_all_positions():
    lm = tiny_model()
    every = head_outputs(lm, PROMPTS, "all")
    assert every.labels[:5] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    np.testing.assert_array_equal(np.bincount(every.prompts), [len(lm.tokenize(text).ids) for text in PROMPTS])
    mean, last = (head_outputs(lm, PROMPTS, pool).outputs for pool in ("mean", "last"))
    for prompt in (0, 1):
        own = every.outputs[every.prompts == prompt]
        np.testing.assert_allclose(mean[prompt], own.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(last[prompt], own[-1], atol=1e-5)
    alone = head_outputs(lm, PROMPTS[:1], "mean").outputs
    np.testing.assert_allclose(alone[0], mean[0], atol=1e-5)
    with pytest.raises(InputError, match="'max' is not known"):
        head_outputs(lm, PROMPTS, "max")
    with pytest.raises(InputError, match="no tokens"):
        head_outputs(lm, [""], "mean")


def test_unit_rms_and_names():
    outputs = (
        np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32) * np.array([1, 50, 0])[None, :, None]
    )
    scaled = unit_rms(outputs)
    np.testing.assert_allclose(np.sqrt((scaled**2).mean(axis=(0, 2))), [1, 1, 0], atol=1e-5)
    assert place_of("1.2", 3, 4) == 6
    for name in ("3.0", "0.4", "x", "1", "-1.0", "1.2.3"):
        with pytest.raises(InputError, match="no head"):
            place_of(name, 3, 4)


def _brute(lm, task, kind, layer, head, row):
    """The logit difference of one pair with one head patched, by running the whole model."""
    site = f"layers.{layer}.attention.heads"
    width = lm.site_width(site) // lm.n_heads
    part = slice(head * width, (head + 1) * width)

    def z_of(ids):
        return next(iter(lm.activations([ids], [site])))[site]

    if kind == "mean":
        group = task.groups()
        members = np.flatnonzero(group == group[row])
        instead = np.mean([z_of(task.negative[member]) for member in members], axis=0)
    else:
        instead = z_of(task.negative[row]) if kind == "resample" else np.zeros_like(z_of(task.negative[row]))

    def swap(z):
        z = z.clone()
        z[0, :, part] = torch.from_numpy(instead[:, part]).float()
        return z

    with lm.patch(site, swap):
        logits = lm.next_logits([task.positive[row]])
    return float(task.logit_differences(torch.from_numpy(logits), [row])[0])


@pytest.mark.parametrize("kind", ["resample", "mean", "zero"])
def test_patching_is_what_the_whole_model_does(kind):
    lm, task = tiny_model(), tiny_task()
    found = patch_heads(lm, task, kind, tokens=40)
    clean = task.logit_differences(torch.from_numpy(lm.next_logits(list(task.positive))), range(len(task))).numpy()
    np.testing.assert_allclose(found.clean, clean, atol=1e-4)
    for layer, head, row in [(0, 0, 0), (0, 3, 2), (1, 1, 5), (2, 2, 3), (2, 0, 1)]:
        expected = clean[row] - _brute(lm, task, kind, layer, head, row)
        assert found.effects[row, layer, head] == pytest.approx(expected, abs=1e-4)
    together = patch_heads(lm, task, kind)
    np.testing.assert_allclose(together.effects, found.effects, atol=1e-4)
    with pytest.raises(InputError, match="'noise' is not known"):
        patch_heads(lm, task, "noise")


def test_true_heads_do_a_tenth_of_the_most():
    np.testing.assert_array_equal(true_heads(np.array([1.0, -0.5, 0.099, 0.1, 0])), [True, True, False, True, False])
    assert not true_heads(np.zeros(3)).any()


def test_attribution_is_the_derivative_of_patching():
    lm, task = tiny_model(), tiny_task(2)
    found = attribute_heads(lm, task)
    step = 1e-2
    site = "layers.1.attention.heads"
    width = lm.site_width(site) // lm.n_heads
    for row in (0, 1):
        other = next(iter(lm.activations([task.negative[row]], [site])))[site]

        def moved(amount, head=2, other=other, row=row):
            def swap(z):
                part = slice(head * width, (head + 1) * width)
                z = z.clone()
                z[0, :, part] += amount * (torch.from_numpy(other[:, part]) - z[0, :, part])
                return z

            with lm.patch(site, swap):
                logits = torch.from_numpy(lm.next_logits([task.positive[row]])).double()
            return float(task.logit_differences(logits, [row])[0])

        slope = (moved(-step) - moved(step)) / (2 * step)
        assert found.effects[row, 1 * lm.n_heads + 2] == pytest.approx(slope, rel=0.02, abs=2e-3)
    assert all(parameter.requires_grad for parameter in lm.model.parameters())


def test_padding_and_batching_change_nothing_in_attribution():
    lm, task = tiny_model(), tiny_task()
    assert len({len(ids) for ids in task.positive}) > 1
    together, alone = attribute_heads(lm, task), attribute_heads(lm, task, tokens=1)
    for name in ("effects", "importance", "clean", "corrupted"):
        np.testing.assert_allclose(getattr(together, name), getattr(alone, name), atol=1e-4)


def test_a_gradient_before_the_end_of_the_way():
    lm, task = tiny_model(), tiny_task(2)
    ends = attribute_heads(lm, task)
    almost = attribute_heads(lm, task, point=0.9999)
    np.testing.assert_allclose(almost.effects, ends.effects, atol=2e-3)
    np.testing.assert_allclose(almost.clean, ends.clean, atol=1e-5)
    middle = attribute_heads(lm, task, point=0.5)
    assert np.abs(middle.effects - ends.effects).max() > 1e-3
    np.testing.assert_allclose(attribute_heads(lm, task).effects, ends.effects, atol=1e-6)
    with pytest.raises(InputError, match=r"point is 1\.5"):
        attribute_heads(lm, task, point=1.5)


def test_faithfulness_between_all_heads_and_none():
    lm, task = tiny_model(), tiny_task()
    n = lm.n_layers * lm.n_heads
    whole = faithfulness(lm, task, range(n), n_random=1)
    assert whole.kept == pytest.approx(1, abs=1e-4)
    assert whole.restored == pytest.approx(1, abs=1e-4)
    assert whole.kl == pytest.approx(0, abs=1e-5)
    nothing = faithfulness(lm, task, [], n_random=2)
    assert nothing.circuit == pytest.approx(nothing.empty, abs=1e-5)
    assert nothing.restored == pytest.approx(0, abs=1e-6)
    assert nothing.kl > 0
    assert nothing.random_kept == pytest.approx([nothing.kept] * 2, abs=1e-5)
    half = faithfulness(lm, task, [0, 5, 9], n_random=3, kind="resample")
    assert len(half.random_kept) == 3
    assert half.full == pytest.approx(whole.full, abs=1e-5)
    with pytest.raises(InputError, match="0 to 11"):
        faithfulness(lm, task, [12])


def test_one_head_kept_is_every_other_one_patched():
    lm, task = tiny_model(), tiny_task()
    found = faithfulness(lm, task, [h for h in range(12) if h != 6], kind="zero", n_random=0)
    patched = patch_heads(lm, task, "zero")
    assert found.circuit == pytest.approx(float((patched.clean - patched.effects[:, 1, 2]).mean()), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2", "phi", "opt"])
def test_attention_patterns_are_causal_distributions(family):
    lm = tiny_model(family)
    ids = lm.tokenize(PROMPTS[1]).ids
    before = lm.next_logits([ids])
    found = attention_patterns(lm, ids)
    assert found.shape == (lm.n_layers, lm.n_heads, len(ids), len(ids))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-4)
    assert np.abs(np.triu(found, 1)).max() < 1e-6
    np.testing.assert_allclose(lm.next_logits([ids]), before, atol=1e-6)
