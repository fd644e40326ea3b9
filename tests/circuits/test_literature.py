"""The published circuits of GPT-2 small: how many heads, and for which model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from tiny_circuits import tiny_model

from sememe.circuits.literature import IOI, published_heads


def gpt2(**changed):
    values = {"n_layers": 12, "n_heads": 12, "width": 768, "model_type": "gpt2", **changed}
    return SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(model_type=values.pop("model_type"))), **values)


def test_the_published_heads_are_those_of_gpt2_small_only():
    source, truth = published_heads(gpt2(), "ioi")
    assert source == "Wang et al. (2023)"
    assert truth.sum() == sum(len(names.split()) for names in IOI.values()) == 26
    assert truth.shape == (144,)
    assert truth[9 * 12 + 9]
    assert not truth[11 * 12 + 3]
    _, truth = published_heads(gpt2(), "greater-than")
    np.testing.assert_array_equal(np.flatnonzero(truth), [1, 3, 5, 65, 73, 81, 94, 107, 109])
    assert published_heads(gpt2(), "docstring") is None
    for other in ({"n_layers": 24}, {"width": 1024}, {"model_type": "llama"}):
        assert published_heads(gpt2(**other), "ioi") is None
    assert published_heads(tiny_model(), "ioi") is None
