"""A causal language model as an encoder: the end token, the prompts, the folder that it is saved in."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

torch = pytest.importorskip("torch")

from sememe import Encoder  # noqa: E402
from sememe.errors import ModelError  # noqa: E402
from sememe.models.causal_encoder import encoder_from_language_model, is_language_model  # noqa: E402
from sememe.models.trainable import TrainableEncoder  # noqa: E402

TEXTS = ["a cat sat on a mat", "red", "", "birds fly. " * 40]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "language-model"
    causal_model("llama").save_pretrained(path)
    byte_pairs().save_pretrained(path)
    return path


def test_the_vector_is_the_unit_state_of_the_end_token(folder):
    encoder = encoder_from_language_model(folder)
    model = causal_model("llama").model
    tokenizer = byte_pairs()
    ids = [*tokenizer("passage:a cat sat on a mat")["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        state = model(torch.tensor([ids])).last_hidden_state[0, -1]
    np.testing.assert_allclose(encoder.encode_document(TEXTS[:1])[0], (state / state.norm()).numpy(), atol=1e-6)
    assert encoder.normalizes


def test_long_texts_keep_their_end_token(folder):
    encoder = encoder_from_language_model(folder)
    (encoding,) = encoder.text_tokenizer.encode(["passage:" + TEXTS[3]])
    assert len(encoding.ids) == 64 == encoder.model.config.max_position_embeddings
    assert encoding.ids[-1] == byte_pairs().eos_token_id


def test_it_is_trained_as_it_searches(folder):
    encoder = TrainableEncoder.load(folder)
    for side, encode in (("query", encoder.encoder.encode_query), ("document", encoder.encoder.encode_document)):
        rows = [encoder.framed(ids, side) for ids in encoder.tokenize(TEXTS[:3])]
        np.testing.assert_allclose(encoder.vectors(rows).detach().numpy(), encode(TEXTS[:3]), atol=1e-6)


def test_its_folder_loads_here_and_in_sentence_transformers(folder, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    encoder = TrainableEncoder.load(folder)
    encoder.save(tmp_path / "saved")
    expected = encoder.encoder.encode_query(TEXTS)
    again = Encoder.load(tmp_path / "saved")
    np.testing.assert_allclose(again.encode_query(TEXTS), expected, atol=1e-6)
    theirs = library.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(theirs.encode_query(TEXTS), expected, atol=1e-5)
    assert not is_language_model(tmp_path / "saved")


def test_only_language_models_become_encoders(folder, tmp_path):
    assert is_language_model(folder)
    assert is_language_model("smollm2-135m")
    assert not is_language_model("minilm")
    with pytest.raises(ModelError, match="no such folder"):
        is_language_model(tmp_path / "nothing")


def test_a_tokenizer_without_an_end_token_is_refused(folder):
    tokenizer = byte_pairs()
    tokenizer.eos_token = tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="no end token"):
        encoder_from_language_model(folder)
