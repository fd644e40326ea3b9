"""REPLUG's loss: likelihoods of pairs against a loop, the divergence by hand, and what learns."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model
from tiny_training import run, small_encoder

torch = pytest.importorskip("torch")

from sememe.errors import InputError  # noqa: E402
from sememe.models.language import LanguageModel  # noqa: E402
from sememe.objectives.replug import Replug, ReplugConfig, divergence, pair_likelihoods  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return causal_model("llama").double().eval()


def a_batch(lengths=(7, 5, 6)):
    ids = torch.randint(1, 300, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(0))
    return ids, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def test_likelihoods_of_pairs_are_those_of_a_loop(model, monkeypatch):
    ids, mask = a_batch()
    monkeypatch.setattr("sememe.objectives.replug.PAIRS_AT_ONCE", 4)  # several batches, the last not full
    found = pair_likelihoods(model, ids, mask)
    assert (found.diagonal() == 0).all()
    for i in range(3):
        for j in range(3):
            if i == j:
                continue
            before, own = ids[j][mask[j]], ids[i][mask[i]]
            with torch.no_grad():
                logits = model(torch.cat([before, own])[None]).logits[0].log_softmax(-1)
            expected = np.mean([float(logits[len(before) - 1 + place, token]) for place, token in enumerate(own)])
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-5)


def test_padding_changes_nothing(model):
    ids, mask = a_batch()
    wider = torch.cat([ids, torch.full((3, 4), 9)], 1)
    shorter = torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], 1)
    np.testing.assert_allclose(pair_likelihoods(model, wider, shorter), pair_likelihoods(model, ids, mask), atol=1e-6)


def test_the_divergence_of_a_worked_example():
    wanted = torch.tensor([[0, 0.75, 0.25], [1, 0, 0], [0.5, 0.5, 0]], dtype=torch.float64)
    similarities = torch.tensor([[1, 0.2, 0.2], [0.3, 1, 0.1], [0.0, 0.4, 1]], dtype=torch.float64, requires_grad=True)
    rows = [
        0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5),
        -np.log(np.exp(0.6) / (np.exp(0.6) + np.exp(0.2))),
        0.5 * np.log(0.5 * (1 + np.exp(0.8))) + 0.5 * np.log(0.5 * (1 + np.exp(0.8)) / np.exp(0.8)),
    ]
    loss = divergence(wanted, similarities, 0.5)
    assert float(loss.detach()) == pytest.approx(np.mean(rows), abs=1e-9)
    loss.backward()
    assert torch.isfinite(similarities.grad).all()
    assert (similarities.grad.diagonal() == 0).all()
    assert similarities.grad[0, 1] < 0 < similarities.grad[0, 2]  # towards what the language model prefers
    same = torch.tensor([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], dtype=torch.float64)
    assert float(divergence(same, torch.zeros(3, 3, dtype=torch.float64), 1.0)) == pytest.approx(0, abs=1e-12)


def test_the_retriever_learns_and_the_language_model_stays(tmp_path):
    language = LanguageModel(causal_model("llama"), byte_pairs(), name="tiny")
    before = {name: weight.clone() for name, weight in language.model.state_dict().items()}
    encoder = small_encoder()
    start = [weight.detach().clone() for weight in encoder.module.parameters()]
    objective = Replug(language_model=language, chunk_words=12, chunk_tokens=12)
    _, done = run(tmp_path, objective=objective, encoder=encoder, steps=4, batch_size=6)
    assert all(torch.equal(before[name], weight) for name, weight in language.model.state_dict().items())
    assert any(not torch.equal(a, b) for a, b in zip(start, encoder.module.parameters(), strict=True))
    assert {"language_model_same_document", "same_document", "spread"} <= set(done.log[-1])
    assert objective.parameters() == {}


def test_options_out_of_range_are_reported_together():
    with pytest.raises(InputError, match=r"similarity_temperature.*likelihood_temperature.*query_part"):
        ReplugConfig(similarity_temperature=0, likelihood_temperature=-1, query_part=2)
