"""Running a model's last blocks gives what the whole model gives, in every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import byte_pairs, causal_model

from sememe.models import LanguageModel
from sememe.models.tails import run_tail, run_whole

FAMILIES = ["llama", "qwen3", "gemma2", "mistral", "mixtral", "gpt2", "gpt_neox", "gpt_neo", "gptj", "phi", "opt"]
FAMILIES += ["bloom", "falcon"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tail_from_every_block_gives_the_same_logits(family):
    lm = LanguageModel(causal_model(family), byte_pairs(), name=family)
    ids = torch.tensor(
        [lm.tokenize(text).ids[:8] for text in ("the cat sat on a mat, happy", "retrieval of documents")]
    )
    whole = run_whole(lm, ids)
    expected = lm.next_logits(ids.tolist())
    np.testing.assert_allclose(whole.logits.numpy(), expected, atol=1e-4)
    for block in range(lm.n_layers):
        tail = run_tail(lm, block, whole.states[block], whole.extras)
        np.testing.assert_allclose(tail.numpy(), expected, atol=1e-4)
    # The model is as it was.
    np.testing.assert_allclose(lm.next_logits(ids.tolist()), expected, atol=1e-6)


def test_a_patch_in_the_tail_is_a_patch_in_the_whole():
    lm = LanguageModel(causal_model("llama"), byte_pairs(), name="llama")
    ids = torch.tensor([lm.tokenize("the cat sat on a mat").ids])
    whole = run_whole(lm, ids)
    with lm.patch("layers.1.attention.heads", lambda z: z * 0.3):
        expected = lm.next_logits(ids.tolist())
        found = run_tail(lm, 1, whole.states[1], whole.extras)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert np.abs(expected - whole.logits.numpy()).max() > 1e-3
