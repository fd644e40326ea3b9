"""The loss against figures worked out by hand and gradients; training against what it must and must not change."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.objectives.contrastive_fitting import ContrastiveConfig, Space, fit_contrastive
from sememe.objectives.contrastive_quantization import (
    codeword_counts,
    contrastive_quantization_loss,
    gathered,
    multi_ce,
    nearest_codewords,
    straight_through,
)
from sememe.objectives.locality_batches import Batch

torch = pytest.importorskip("torch")


def tensor(values, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def hand():
    codebook = tensor([[(0, 0), (1, 1)], [(1, 0), (0, 1)]], grad=True)
    return tensor([[0.9, 0.8, 0.2, 0.9]], grad=True), codebook, tensor([1, 0.5, -1, 2])


def test_straight_through_by_hand():
    v, codebook, q = hand()
    z = straight_through(v, codebook)
    assert z.tolist() == [[1, 1, 0, 1]]
    score = (z @ q).sum()
    assert score.item() == 3.5
    score.backward()
    # An assignment that is hard in the gradient too would give dv = 0 and dC = q at the chosen codewords only.
    np.testing.assert_allclose(v.grad, [[0.4761, 0.4761, -0.9521, 0.9521]], atol=5e-5)
    expected = [[(-0.4284, -0.3808), (0.9524, 0.4048)], [(0.7617, -0.8569), (-0.8096, 1.9048)]]
    np.testing.assert_allclose(codebook.grad, expected, atol=5e-5)


def test_the_distance_scale_sharpens_the_gradient_and_not_the_value():
    grads = []
    for scale in (1.0, 30.0):
        v, codebook, q = hand()
        z = straight_through(v, codebook, scale)
        assert z.tolist() == [[1, 1, 0, 1]]
        (z @ q).sum().backward()
        grads.append(codebook.grad)
    assert abs(grads[1][0, 0]).max() < 1e-3 < abs(grads[0][0, 0]).max()  # almost all goes to the chosen codeword


def test_the_gradient_is_that_of_the_soft_assignment_plus_the_chosen_codeword():
    """d/dC and d/dv of sum_k (b - sg(p) + p) C, written out with all terms, for random numbers and a random score."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(7, 12, generator=generator, dtype=torch.float64)
    C = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    g = torch.randn(7, 12, generator=generator, dtype=torch.float64)
    ours = [v.clone().requires_grad_(), C.clone().requires_grad_()]
    (straight_through(*ours, 2.5) * g).sum().backward()
    theirs = [v.clone().requires_grad_(), C.clone().requires_grad_()]
    u = theirs[0].reshape(7, 3, 1, 4)
    p = torch.softmax(-2.5 * ((u - theirs[1]) ** 2).sum(dim=3), dim=2)
    b = torch.nn.functional.one_hot(p.argmax(dim=2), 5)
    z = ((b - p.detach() + p)[..., None] * theirs[1]).sum(dim=2).reshape(7, 12)
    (z * g).sum().backward()
    np.testing.assert_allclose(straight_through(v, C).detach(), z.detach(), atol=1e-12)
    for mine, reference in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, reference.grad, atol=1e-10)


def test_multi_ce_by_hand():
    q = torch.eye(2, dtype=torch.float64)
    documents = tensor([(0.9, 0.1), (0.2, 0.7), (0.5, 0.5), (0.8, 0)])
    scores = q @ documents.T
    assert multi_ce(scores).item() == pytest.approx(1.087254, abs=1e-6)
    masked = torch.zeros((2, 4), dtype=torch.bool)
    masked[0, 3] = True
    assert multi_ce(scores, masked).item() == pytest.approx(0.912782, abs=1e-6)
    masked[0, 0] = masked[1, 1] = True  # the diagonal is kept whatever the mask says
    assert multi_ce(scores, masked).item() == pytest.approx(0.912782, abs=1e-6)


def some_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rotation = torch.linalg.qr(draw(8, 8))[0]
    return draw(5, 8), draw(5, 8), draw(6, 8), draw(4, 3, 2), rotation


def test_the_loss_is_the_sum_of_its_parts():
    q, k, n, C, R = some_batch()
    z = nearest_codewords(torch.cat([k, n]) @ R.T, C)
    dense = multi_ce(q @ torch.cat([k, n]).T / 0.5)
    coded = multi_ce(q @ R.T @ z.T / 0.5)
    errors = ((torch.cat([k, n]) @ R.T - z) ** 2).sum(dim=1)
    loss = contrastive_quantization_loss(q, k, n, C, R, temperature=0.5, dense_weight=0.3, l2_weight=0.2)
    expected = coded + 0.3 * dense + 0.2 * (errors[:5].mean() + errors[5:].mean())
    assert loss.item() == pytest.approx(expected.item())
    assert contrastive_quantization_loss(q, k, n, C, R, temperature=0.5, dense_weight=0).item() == pytest.approx(
        coded.item()
    )


def test_gathering_on_one_worker_changes_nothing(tmp_path):
    batch = some_batch()
    grads = []
    for distributed in (False, True):
        if distributed:
            torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/g", rank=0, world_size=1)
        try:
            leaves = [part.clone().requires_grad_() for part in batch]
            q, k, n = map(gathered, leaves[:3])
            contrastive_quantization_loss(q, k, n, *leaves[3:], l2_weight=0.1).backward()
        finally:
            if distributed:
                torch.distributed.destroy_process_group()
        grads.append([leaf.grad for leaf in leaves])
    for alone, together in zip(*grads, strict=True):
        assert torch.equal(alone, together)


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────

CONFIG = ContrastiveConfig(
    steps=120, batch_size=64, negatives=64, learning_rate=3e-3, check_every=20, dev_share=0.15, distance_scale=5.0
)


def planted(n=400, d=16, noise=8, seed=0):
    """Documents whose first dimensions matter; the rest is loud and says nothing about the query."""
    rng = np.random.default_rng(seed)
    documents = rng.standard_normal((n, d)).astype(np.float32)
    queries = documents + 0.3 * rng.standard_normal((n, d)).astype(np.float32)
    documents[:, noise:] *= 2.0
    queries[:, noise:] = 0.3 * rng.standard_normal((n, d - noise))
    codebook = documents[rng.permutation(n)[:16]].reshape(16, 4, 4).transpose(1, 0, 2).copy()
    return queries, documents, [[i] for i in range(n)], Space(codebook)


def rank_of_answer(space, queries, documents):
    z = nearest_codewords(torch.tensor(space.documents(documents)), torch.tensor(space.codebook)).numpy()
    scores = space.queries(queries) @ z.T
    return (scores >= np.diag(scores)[:, None]).sum(axis=1)


def test_training_a_codebook_raises_the_answers_and_leaves_the_rest():
    queries, documents, positives, start = planted()
    before = [array.copy() for array in (queries, documents, start.codebook)]
    fitted = fit_contrastive(queries[:300], documents, positives[:300], start, config=CONFIG)
    for array, old in zip((queries, documents, start.codebook), before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert fitted.space.query_head is None
    assert fitted.space.document_head is None
    assert fitted.dev_losses[fitted.step] == min(fitted.dev_losses.values()) < 0.95 * fitted.dev_losses[0]
    held_out = slice(300, 400)
    mean_rank = {
        name: rank_of_answer(space, queries, documents)[held_out].mean()
        for name, space in (("before", start), ("after", fitted.space))
    }
    assert mean_rank["after"] < 0.9 * mean_rank["before"]
    assert len(fitted.perplexity) == 4
    assert all(1 < value <= 16 for value in fitted.perplexity)


def test_training_twice_gives_the_same():
    queries, documents, positives, start = planted(n=120)
    config = ContrastiveConfig(steps=12, batch_size=32, negatives=8, check_every=4)
    learn = ("codebook", "query_head", "document_head")
    runs = [
        fit_contrastive(queries, documents, positives, start, learn=learn, config=config, random_state=seed)
        for seed in (3, 3, 4)
    ]
    for name in ("codebook", "query_head", "document_head"):
        first, again, other = (getattr(run.space, name) for run in runs)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
    assert runs[0].dev_losses == runs[1].dev_losses


def test_only_what_is_named_learns():
    queries, documents, positives, start = planted(n=120)
    config = ContrastiveConfig(steps=8, batch_size=32, patience=0, dev_share=0.0)
    fitted = fit_contrastive(queries, documents, positives, start, learn=("query_head",), config=config)
    assert fitted.space.codebook is start.codebook
    assert fitted.space.document_head is None
    assert not np.array_equal(fitted.space.query_head, np.eye(16))
    assert fitted.dev_losses == {}
    assert fitted.step == 8


def test_heads_without_a_codebook_are_a_dense_model():
    queries, documents, positives, _ = planted()
    learn = ("query_head", "document_head")
    fitted = fit_contrastive(queries[:300], documents, positives[:300], Space(), learn=learn, config=CONFIG)
    assert fitted.perplexity == []
    after = fitted.space.queries(queries) @ fitted.space.documents(documents).T
    before = queries @ documents.T
    ranks = [(scores >= np.diag(scores)[:, None]).sum(axis=1)[300:].mean() for scores in (before, after)]
    assert ranks[1] < ranks[0]


def test_nothing_is_kept_that_the_dev_queries_do_not_confirm():
    queries, documents, positives, start = planted(n=200)
    start = fit_contrastive(queries, documents, positives, start, config=CONFIG).space
    config = ContrastiveConfig(steps=60, batch_size=64, learning_rate=10.0, check_every=10, patience=2)
    fitted = fit_contrastive(queries, documents, positives, start, config=config)
    assert fitted.step == 0
    np.testing.assert_array_equal(fitted.space.codebook, start.codebook)
    assert max(fitted.dev_losses) == 20  # stopped after two checks


def test_dead_codewords_are_put_where_documents_are():
    queries, documents, positives, start = planted()
    codebook = start.codebook.copy()
    codebook[:, 10:] = 1000.0
    counts = codeword_counts(torch.tensor(documents).reshape(-1, 4, 4).transpose(0, 1), torch.tensor(codebook))
    assert (counts[:, 10:] == 0).all()
    config = ContrastiveConfig(steps=40, batch_size=64, check_every=10, patience=0)
    fitted = fit_contrastive(queries, documents, positives, Space(codebook), config=config)
    assert fitted.reseeded >= 24
    assert np.abs(fitted.space.codebook).max() < 20
    assert min(fitted.perplexity) > 10


def test_batches_that_are_given_are_used_without_the_dev_queries():
    queries, documents, positives, start = planted(n=100)
    whole = np.arange(100)
    seen = Batch(whole, whole, np.roll(whole, 1))
    config = ContrastiveConfig(steps=5, batch_size=32, check_every=5)
    fitted = fit_contrastive(queries, documents, positives, start, config=config, batches=[seen])
    assert fitted.dev_losses.keys() == {0, 5}
    with pytest.raises(InputError, match="no batches with two or more training queries"):
        fit_contrastive(queries, documents, positives, start, config=config, batches=[])


def test_another_positive_of_a_query_is_no_negative():
    """Two documents answer each query. Masked, they do not push each other away: the loss does not see them."""
    queries, documents, _, start = planted(n=60)
    doubled = np.concatenate([documents, documents])
    both = [[i, i + 60] for i in range(60)]
    config = ContrastiveConfig(steps=1, batch_size=50, negatives=0, dev_share=0.1, patience=4, check_every=1)
    masked = fit_contrastive(queries, doubled, both, start, config=config).dev_losses[0]
    unmasked = fit_contrastive(queries, doubled, [[i] for i in range(60)], start, config=config).dev_losses[0]
    single = fit_contrastive(queries, documents, [[i] for i in range(60)], start, config=config).dev_losses[0]
    assert single < masked < unmasked  # the other queries' doubles are still there


def test_what_does_not_fit_is_refused():
    queries, documents, positives, start = planted(n=50)
    with pytest.raises(InputError, match=r"batch_size must be at least 2; temperature must be above 0; dev_share"):
        ContrastiveConfig(batch_size=1, temperature=0, dev_share=1.0)
    with pytest.raises(InputError, match="dev_share must be below 1, and above 0 unless patience is 0"):
        ContrastiveConfig(dev_share=0.0)
    for arguments, problem in [
        ((queries[:, :8], documents, positives, start), "queries have 8 dimensions, documents 16"),
        ((queries, documents, positives[:-1], start), "50 queries and positives of 49"),
        ((queries, documents, [*positives[:-1], []], start), "query 49 has no positive among the 50 documents"),
        ((queries, documents, [*positives[:-1], [50]], start), "query 49 has no positive"),
        ((queries, documents, positives, Space()), "there is no codebook to start from"),
        ((queries, documents, positives, Space(start.codebook[:3])), r"shape \(3, 16, 4\) does not fit"),
        ((queries, documents, positives, Space(start.codebook, np.eye(3))), r"rotation must have shape \(16, 16\)"),
        ((queries * np.nan, documents, positives, start), "queries: must be finite numbers"),
    ]:
        with pytest.raises(InputError, match=problem):
            fit_contrastive(*arguments)
    with pytest.raises(InputError, match="learn must name some of codebook, query_head, document_head, not rotation"):
        fit_contrastive(queries, documents, positives, start, learn=("rotation",))
