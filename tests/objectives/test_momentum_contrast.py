"""The momentum encoder and its queue: worked numbers, first in first out, no gradient, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import small_encoder

torch = pytest.importorskip("torch")

from sememe.errors import InputError  # noqa: E402
from sememe.objectives.info_nce import info_nce  # noqa: E402
from sememe.objectives.momentum_contrast import MomentumQueue, momentum_scores  # noqa: E402


def filled(module, value: float) -> None:
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(value)


def test_the_worked_example():
    q, own = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    scores = momentum_scores(q, own, torch.tensor([[0.0, 1.0], [0.6, 0.8]]))
    torch.testing.assert_close(scores / 0.05, torch.tensor([[16.0, 0.0, 12.0]]))
    assert float(info_nce(scores, 0.05, torch.zeros(1, dtype=int))) == pytest.approx(0.018150, abs=1e-6)


def test_the_average_after_three_steps():
    encoder = small_encoder()
    queue = MomentumQueue(encoder, 8, 0.9, 4)
    filled(encoder.module, 1.0)
    filled(queue.encoder.module, 0.0)
    for _ in range(3):
        queue.follow()
    for weight in queue.encoder.module.parameters():
        torch.testing.assert_close(weight, torch.full_like(weight, 0.271))


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_no_momentum_copies_and_full_momentum_freezes(momentum):
    encoder = small_encoder()
    queue = MomentumQueue(encoder, 8, momentum, 4)
    start = [weight.clone() for weight in queue.encoder.module.parameters()]
    with torch.no_grad():
        for weight in encoder.module.parameters():
            weight.add_(torch.randn(weight.shape))
    queue.follow()
    expected = list(encoder.module.parameters()) if momentum == 0 else start
    for found, weight in zip(queue.encoder.module.parameters(), expected, strict=True):
        assert torch.equal(found, weight)


def test_the_queue_is_first_in_first_out_and_wraps():
    queue = MomentumQueue(small_encoder(), 12, 0.9, 4)
    first = queue.keys.clone()
    torch.testing.assert_close(first.norm(dim=1), torch.ones(12))
    assert queue.owners.tolist() == [-1] * 12
    batches = [torch.full((4, 16), float(number)) for number in range(1, 5)]
    for number, batch in enumerate(batches[:3], start=1):
        queue.put(batch, np.arange(4) + 10 * number)
        assert int(queue.place) == 4 * number % 12
    assert not (queue.keys == first).all(1).any()
    assert int(queue.place) == 0
    queue.put(batches[3], np.arange(4))
    assert queue.keys[:, 0].tolist() == [4.0] * 4 + [2.0] * 4 + [3.0] * 4
    assert queue.owners.tolist() == [0, 1, 2, 3, 20, 21, 22, 23, 30, 31, 32, 33]
    same = queue.owned_by(np.array([22, 99]))
    assert same.nonzero().tolist() == [[0, 6]]


def test_no_gradient_reaches_keys_or_queue_and_the_copy_is_its_own():
    encoder = small_encoder()
    queue = MomentumQueue(encoder, 8, 0.9, 4)
    assert not any(weight.requires_grad for weight in queue.encoder.module.parameters())
    assert queue.encoder.parameters() == {}  # nothing that an optimiser could move
    ours = {weight.data_ptr() for weight in encoder.module.parameters()}
    assert ours.isdisjoint(weight.data_ptr() for weight in queue.encoder.module.parameters())
    q = torch.randn(4, 16, requires_grad=True)
    keys = torch.randn(4, 16, requires_grad=True)
    loss = info_nce(momentum_scores(q, keys.detach(), queue.keys), 0.05, torch.zeros(4, dtype=int))
    queue.put(keys, np.arange(4))  # before the way back, as with accumulated batches
    loss.backward()
    assert q.grad is not None
    assert keys.grad is None
    assert not queue.keys.requires_grad


def test_a_queue_that_batches_do_not_fill_is_refused():
    for size in (3, 10):
        with pytest.raises(InputError, match=r"no multiple of the batch size 4.*Give (4|8)"):
            MomentumQueue(small_encoder(), size, 0.9, 4)
    with pytest.raises(InputError, match="momentum"):
        MomentumQueue(small_encoder(), 8, 1.5, 4)


def test_keys_have_dropout_unless_they_are_asked_not_to():
    assert MomentumQueue(small_encoder(), 8, 0.9, 4).encoder.module.training
    assert not MomentumQueue(small_encoder(), 8, 0.9, 4, eval_mode=True).encoder.module.training
