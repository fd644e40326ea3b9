"""A cross-encoder gives what transformers gives for each pair, whatever it is batched with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, word_pieces
from transformers import BertConfig, BertForSequenceClassification

from sememe import CrossEncoder
from sememe.errors import InputError, ModelError


def save(folder, n_labels=1):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=150,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
        num_labels=n_labels,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    word_pieces().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return CrossEncoder.load(save(tmp_path_factory.mktemp("cross")))


def test_scores_are_those_of_transformers_one_pair_at_a_time(encoder):
    query = "cats like mats"
    expected = []
    for text in TEXTS:
        inputs = encoder.tokenizer(query, text, truncation="only_second", max_length=48, return_tensors="pt")
        with torch.inference_mode():
            expected.append(float(encoder.model(**inputs).logits[0, 0]))
    found = encoder.score(query, TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.std(found) > 0.01


def test_no_texts_give_no_scores(encoder):
    assert encoder.score("cats", []).shape == (0,)


def test_what_cannot_rank_is_refused(encoder, tmp_path):
    with pytest.raises(ModelError, match="2 outputs"):
        CrossEncoder.load(save(tmp_path / "two", n_labels=2))
    with pytest.raises(InputError, match="depth"):
        CrossEncoder(encoder.model, encoder.tokenizer, depth=0)
    with pytest.raises(InputError, match="surrogate"):
        encoder.score("cats", ["\ud800"])
