"""Pieces and gradient caching: the same representations and gradients as the whole batch at once."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from tiny_training import documents, small_encoder

torch = pytest.importorskip("torch")

from sememe.models.trainable import EncoderChanges, TokenStates, as_trainable  # noqa: E402
from sememe.objectives.contriever import Contriever  # noqa: E402
from sememe.objectives.nested import Nested  # noqa: E402
from sememe.training import representing  # noqa: E402
from sememe.training.objective import Batch, Loss, Objective  # noqa: E402
from sememe.training.representing import Represent  # noqa: E402


class TokenMean(Objective):
    """Compares token vectors, so that padding and pieces of different lengths matter."""

    name = "token mean"
    views: ClassVar = {"query": "tokens", "key": "pooled"}

    def data(self, *_):
        raise NotImplementedError

    def loss(self, representations, batch):
        vectors, mask = representations["query"]
        best = torch.einsum("qld,kd->qkl", vectors, representations["key"])
        best = best.masked_fill(~mask[:, None], float("-inf")).max(2).values
        return Loss(torch.nn.functional.cross_entropy(best, torch.arange(len(best))))


def a_batch(encoder, objective, tmp_path, size: int = 12) -> Batch:
    contriever = Contriever()
    contriever.prepare(encoder, size, 0)
    if objective is not contriever and not isinstance(objective, TokenMean):
        objective.prepare(encoder, size, 0)
    return contriever.data(documents(), encoder, size, 0, tmp_path).batch(3)


def gradients(encoder, objective, batch, *, chunk: int) -> tuple[float, dict[str, np.ndarray]]:
    encoder.train()
    encoder.module.zero_grad(set_to_none=True)
    represent = Represent(encoder, objective.views, objective.encoders(), chunk=chunk, precision="float32", seed=5)
    computed = represent.batch(batch, 7)
    loss = objective.loss(computed.representations, batch)
    computed.backward(loss.value)
    found = {name: p.grad.numpy().copy() for name, p in encoder.module.named_parameters() if p.grad is not None}
    return float(loss.value.detach()), found


def assert_close(a, b, tolerance: float) -> None:
    assert abs(a[0] - b[0]) < tolerance
    assert a[1].keys() == b[1].keys()
    largest = max(np.abs(gradient).max() for gradient in a[1].values())
    assert largest > 1e-3  # there is something to compare
    for name, gradient in a[1].items():
        assert np.abs(gradient - b[1][name]).max() < tolerance * largest, name


OBJECTIVES = {
    "contriever": Contriever,
    "queue": lambda: Contriever(queue=24),
    "nested": lambda: Nested(Contriever(), [4, 8]),
    "tokens": TokenMean,
}


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_cached_gradients_are_those_of_the_whole_batch(tmp_path, kind, chunk):
    encoder, objective = small_encoder(dropout=0.0), OBJECTIVES[kind]()
    batch = a_batch(encoder, objective, tmp_path)
    assert_close(gradients(encoder, objective, batch, chunk=0), gradients(encoder, objective, batch, chunk=chunk), 1e-6)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_with_dropout_the_second_pass_drops_what_the_first_dropped(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(representing._TOKENS, "cpu", 60)  # several pieces, the same ones with and without caching
    encoder, objective = small_encoder(dropout=0.3), OBJECTIVES[kind]()
    batch = a_batch(encoder, objective, tmp_path)
    plain = gradients(encoder, objective, batch, chunk=0)
    assert_close(plain, gradients(encoder, objective, batch, chunk=1000), 1e-6)
    encoder.train(False)
    still = small_encoder(dropout=0.0)
    still.module.load_state_dict(encoder.module.state_dict())
    if kind == "contriever":  # dropout did something
        other = gradients(still, objective, batch, chunk=0)
        assert max(np.abs(plain[1][name] - other[1][name]).max() for name in plain[1]) > 1e-3


def test_pieces_are_the_texts_in_order_whatever_their_lengths(tmp_path, monkeypatch):
    encoder = small_encoder(dropout=0.0)
    batch = a_batch(encoder, Contriever(), tmp_path)
    whole = {}
    for budget in (10, 45, 100_000):
        monkeypatch.setitem(representing._TOKENS, "cpu", budget)
        represent = Represent(encoder, {"query": "pooled", "key": "tokens"}, {}, chunk=0, precision="float32", seed=0)
        found = represent.batch(batch, 0).representations
        assert isinstance(found["key"], TokenStates)
        whole[budget] = found
    one_by_one = torch.cat([encoder.vectors([row]) for row in batch.views["query"]])
    for found in whole.values():
        torch.testing.assert_close(found["query"], one_by_one, atol=1e-6, rtol=0)
        assert found["key"].mask.sum(1).tolist() == [len(row) for row in batch.views["key"]]
        for place, row in enumerate(batch.views["key"]):
            alone = encoder.token_states([row]).vectors[0]
            torch.testing.assert_close(found["key"].vectors[place, : len(row)], alone, atol=1e-5, rtol=0)


def test_a_view_of_another_encoder_has_no_gradient(tmp_path):
    encoder, objective = small_encoder(), Contriever(queue=24)
    batch = a_batch(encoder, objective, tmp_path)
    for chunk in (0, 5):
        represent = Represent(encoder, objective.views, objective.encoders(), chunk=chunk, precision="float32", seed=0)
        found = represent.batch(batch, 0).representations
        assert found["query"].requires_grad
        assert not found["key"].requires_grad
    gradients(encoder, objective, batch, chunk=0)
    assert all(p.grad is None for p in objective.queue.encoder.module.parameters())
    assert objective.queue.keys.grad is None


def test_bfloat16_is_near_float32_and_the_loss_stays_float32(tmp_path):
    encoder, objective = small_encoder(dropout=0.0), Contriever()
    batch = a_batch(encoder, objective, tmp_path)
    found = {}
    for precision in ("float32", "bfloat16"):
        represent = Represent(encoder, objective.views, {}, chunk=0, precision=precision, seed=0)
        found[precision] = represent.batch(batch, 0).representations["query"]
        assert found[precision].dtype == torch.float32
    difference = (found["float32"] - found["bfloat16"]).abs().max()
    assert 0 < difference < 0.05


def test_a_pooled_vector_is_the_mean_of_its_tokens_whatever_it_is_padded_with(tmp_path):
    """Dimensions before the normalisation, so that lengths count."""
    encoder = as_trainable(small_encoder(dropout=0.0).encoder, EncoderChanges(normalize=False))
    rows = a_batch(encoder, Contriever(), tmp_path).views["key"]
    padded = encoder.vectors(rows)
    for place, row in enumerate(rows):
        states = encoder.token_states([row]).vectors[0]
        torch.testing.assert_close(encoder.vectors([row])[0], states.mean(0), atol=1e-6, rtol=0)
        torch.testing.assert_close(padded[place], states.mean(0), atol=1e-5, rtol=0)
