"""Masked language modelling: what is hidden, what the loss counts, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import documents, run, small_encoder, static_folder

torch = pytest.importorskip("torch")

from sememe import Encoder  # noqa: E402
from sememe.errors import InputError  # noqa: E402
from sememe.models.trainable import as_trainable  # noqa: E402
from sememe.objectives.masked_language_model import MaskedLanguageModel  # noqa: E402


def test_hidden_tokens_are_masks_random_ones_or_themselves(tmp_path):
    encoder, objective = small_encoder(), MaskedLanguageModel(share=0.3)
    objective.prepare(encoder, 8, 0)
    data = objective.data(documents(), encoder, 8, 0, tmp_path)
    originals = {each.id: encoder.tokenize([each.content])[0] for each in documents()}
    kinds = {"mask": 0, "same": 0, "other": 0}
    chosen = total = 0
    for number in range(60):
        batch = data.batch(number)
        for row, label, document in zip(batch.views["text"], batch.arrays["labels"], batch.documents, strict=True):
            places = np.flatnonzero(label != -100)
            total, chosen = total + len(row) - 2, chosen + len(places)
            restored = list(row)
            for place in places:
                assert 1 <= place < len(row) - 1  # never what frames the text
                restored[place] = int(label[place])
                kind = "mask" if row[place] == encoder.mask_id else "same" if row[place] == label[place] else "other"
                kinds[kind] += 1
            inner, whole = restored[1:-1], originals[document]
            assert any(whole[at : at + len(inner)] == inner for at in range(len(whole)))
    assert chosen / total == pytest.approx(0.3, abs=0.03)
    assert kinds["mask"] / chosen == pytest.approx(0.8, abs=0.03)
    assert kinds["same"] / chosen == pytest.approx(0.1, abs=0.03)


def test_the_loss_is_over_hidden_tokens_only_and_reaches_encoder_and_output(tmp_path):
    encoder, objective = small_encoder(dropout=0.0), MaskedLanguageModel()
    objective.prepare(encoder, 8, 0)
    batch = objective.data(documents(), encoder, 8, 0, tmp_path).batch(0)
    states = encoder.token_states(batch.views["text"])
    found = objective.loss({"text": states}, batch)
    terms = []
    for place, label in enumerate(batch.arrays["labels"]):
        alone = encoder.token_states([batch.views["text"][place]]).vectors[0]
        for position in np.flatnonzero(label != -100):
            logits = objective._output(alone[position])
            terms.append(float((logits.logsumexp(0) - logits[int(label[position])]).detach()))
    assert float(found.value.detach()) == pytest.approx(np.mean(terms), abs=1e-4)
    found.value.backward()
    assert all(weight.grad is not None for weight in objective.parameters().values())
    assert encoder.module.transformer.embeddings.word_embeddings.weight.grad is not None


def test_it_learns_which_words_belong_together(tmp_path):
    _, trained = run(
        tmp_path, objective=MaskedLanguageModel(), encoder=small_encoder(dropout=0.0), steps=150, learning_rate=1e-2
    )
    losses = [row["loss"] for row in trained.log]
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])


def test_an_encoder_without_a_mask_is_refused(tmp_path):
    encoder = as_trainable(Encoder.load(static_folder(tmp_path / "static")))
    with pytest.raises(InputError, match="no mask token"):
        MaskedLanguageModel().prepare(encoder, 8, 0)
    with pytest.raises(InputError, match="share"):
        MaskedLanguageModel(share=0.0)
