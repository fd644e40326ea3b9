"""Revela: the attention against loops, what may depend on what, and chunks."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model
from tiny_training import documents, run, small_encoder

torch = pytest.importorskip("torch")

from sememe.errors import InputError, ModelError  # noqa: E402
from sememe.models.language import LanguageModel  # noqa: E402
from sememe.objectives.chunks import DocumentBatches, chunk_text, interleaved  # noqa: E402
from sememe.objectives.in_batch_attention import (  # noqa: E402
    READINGS,
    InBatch,
    Others,
    Own,
    cross_attention,
    prepare_model,
    run_passes,
    shared_attention,
    similarity_weights,
)
from sememe.objectives.replug import Replug  # noqa: E402
from sememe.objectives.revela import Revela, RevelaConfig, next_token_loss  # noqa: E402

COSINES = torch.tensor([[1, 0.8, 0.2], [0.8, 1, 0.5], [0.2, 0.5, 1]], dtype=torch.float64)


def language() -> LanguageModel:
    return LanguageModel(causal_model("llama"), byte_pairs(), name="tiny")


@pytest.fixture(scope="module")
def model():
    """Grouped heads (4 of queries, 2 of keys), three layers; float64."""
    found = causal_model("llama").double()
    prepare_model(found)
    return found


def a_batch(lengths=(7, 5, 6), seed=0):
    ids = torch.randint(1, 300, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    return ids, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


WEIGHTS = torch.tensor([[0, 0.7, 0.3], [0.5, 0, 0.5], [1.0, 0, 0]], dtype=torch.float64)


def read(model, ids, mask, weights=WEIGHTS, reading="v-normalized"):
    with torch.no_grad():
        return run_passes(model, ids, mask, weights, READINGS[reading])


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1.0, [[0, 0.645656, 0.354344], [0.574443, 0, 0.425557], [0.425557, 0.574443, 0]]),
        (0.1, [[0, 0.997527, 0.002473], [0.952574, 0, 0.047426], [0.047426, 0.952574, 0]]),
        (1e-4, [[0, 1, 0], [1, 0, 0], [0, 1, 0]]),
    ],
)
def test_weights_of_worked_examples(temperature, expected):
    np.testing.assert_allclose(similarity_weights(COSINES, temperature), expected, atol=1e-6)


def test_weights_know_nothing_of_themselves_and_of_a_shift():
    s = COSINES.clone().requires_grad_()
    (similarity_weights(s, 0.1) * torch.arange(9.0).reshape(3, 3)).sum().backward()
    assert (s.grad.diagonal() == 0).all()
    np.testing.assert_allclose(s.grad.sum(1), 0, atol=1e-6)
    gap = torch.tensor([[0, 1e-3, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.float64, requires_grad=True)
    similarity_weights(gap, 1e-4)[0, 1].backward()
    assert gap.grad[0, 1].item() == pytest.approx(0.454, abs=1e-3)  # p (1 - p) / temperature
    for bad, temperature in ((COSINES[:1, :1], 1.0), (COSINES, 0.0), (COSINES * float("nan"), 1.0)):
        with pytest.raises(InputError, match="at least two texts"):
            similarity_weights(bad, temperature)


def test_a_head_of_a_worked_example():
    keys = torch.tensor([[2.0, 0], [0, 2]], dtype=torch.float64)
    values = torch.tensor([[3.0, 4], [0, 1]], dtype=torch.float64)
    q, k, v = (torch.stack([torch.zeros_like(each), each])[:, None] for each in (torch.eye(2).double(), keys, values))
    q[0, 0, 0] = torch.tensor([1.0, 0])
    weights, mask = torch.tensor([[0.0, 1], [1, 0]]).double(), torch.ones(2, 2, dtype=torch.bool)
    for normalize, expected in ((False, [2.4133, 3.4133]), (True, [0.5722, 0.8093])):
        found = cross_attention(q, k, v, weights, mask, scale=2**-0.5, normalize=normalize)
        np.testing.assert_allclose(found[0, 0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("normalize", [False, True])
def test_cross_attention_is_the_papers_written_as_loops(normalize):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, 2, 5, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    mask = torch.arange(5) < torch.tensor([5, 3, 4])[:, None]
    expected = torch.zeros_like(q)
    for i in range(3):
        for j in range(3):
            for h in range(2):
                for t in range(5):
                    a = (k[j, h, mask[j]] @ q[i, h, t] * 0.5).softmax(0)
                    b = a @ v[j, h, mask[j]]
                    if normalize:
                        b = b / (a @ v[j, h, mask[j]].norm(dim=1) + 1e-6)
                        assert b.norm() <= 1
                    expected[i, h, t] += WEIGHTS[i, j] * b
    for at_once in (1, 2, 8):
        found = cross_attention(q, k, v, WEIGHTS, mask, scale=0.5, normalize=normalize, at_once=at_once)
        torch.testing.assert_close(found, expected)
    louder = cross_attention(q, k, 3 * v, WEIGHTS, mask, scale=0.5, normalize=normalize)
    torch.testing.assert_close(louder, expected * (1 if normalize else 3), atol=1e-5, rtol=1e-5)


def test_one_softmax_written_as_loops():
    generator = torch.Generator().manual_seed(0)
    q, k, v, own_k, own_v = (torch.randn(3, 2, 5, 4, generator=generator, dtype=torch.float64) for _ in range(5))
    mask = torch.arange(5) < torch.tensor([5, 3, 4])[:, None]
    scores = (q @ own_k.transpose(2, 3) * 0.5).masked_fill(~torch.ones(5, 5).tril().bool(), float("-inf"))
    expected = torch.zeros_like(q)
    for i in range(3):
        for h in range(2):
            for t in range(5):
                shares = [(scores[i, h, t].exp(), own_v[i, h])]
                shares += [
                    (WEIGHTS[i, j] * (k[j, h, mask[j]] @ q[i, h, t] * 0.5).exp(), v[j, h, mask[j]]) for j in range(3)
                ]
                counts, values = (torch.cat(parts) for parts in zip(*shares, strict=True))
                expected[i, h, t] = counts / counts.sum() @ values
    for at_once in (1, 2, 8):
        found = shared_attention(Own(q, scores, own_v), Others(k, v, WEIGHTS, mask), 0.5, at_once=at_once)
        torch.testing.assert_close(found, expected)


def test_the_gradient_of_one_softmax_knows_weights_of_nothing(model):
    ids, mask = a_batch()
    weights = WEIGHTS.clone().requires_grad_()
    next_token_loss(run_passes(model, ids, mask, weights, READINGS["shared"])[1], ids, mask).backward()
    assert torch.isfinite(weights.grad).all()
    assert (weights.grad[WEIGHTS == 0] == 0).all()
    assert (weights.grad[WEIGHTS > 0] != 0).any()


@pytest.mark.parametrize("reading", sorted(READINGS))
def test_without_others_the_second_pass_is_the_plain_one(model, reading):
    ids, mask = a_batch()
    plain, second = read(model, ids, mask, torch.zeros_like(WEIGHTS), reading)
    torch.testing.assert_close(plain, second, atol=0, rtol=0)
    untouched = causal_model("llama").double()
    with torch.no_grad():
        expected = untouched(input_ids=ids, attention_mask=mask.long()).logits
    torch.testing.assert_close(plain[mask], expected[mask])


@pytest.mark.parametrize("reading", sorted(READINGS))
def test_who_sees_whom(model, reading):
    ids, mask = a_batch()
    _, before = read(model, ids, mask, reading=reading)
    changed = ids.clone()
    changed[1, 4] += 1  # the last token of text 1: text 0 looks into it with 0.7, text 2 not at all
    _, after = read(model, changed, mask, reading=reading)
    assert (before[0, 0] - after[0, 0]).abs().max() > 1e-6
    torch.testing.assert_close(before[2, :6], after[2, :6])
    torch.testing.assert_close(before[1, :4], after[1, :4])  # its own past does not see it


@pytest.mark.parametrize("reading", sorted(READINGS))
def test_order_and_padding_change_nothing(model, reading):
    ids, mask = a_batch()
    _, before = read(model, ids, mask, reading=reading)
    order = torch.tensor([2, 0, 1])
    _, permuted = read(model, ids[order], mask[order], WEIGHTS[order][:, order], reading)
    torch.testing.assert_close(permuted[mask[order]], before[order][mask[order]])
    wide = torch.nn.functional.pad
    _, padded = read(model, wide(ids, (0, 3), value=5), wide(mask, (0, 3)), reading=reading)
    torch.testing.assert_close(padded[:, :7][mask], before[mask])


@pytest.mark.parametrize("reading", sorted(READINGS))
def test_the_language_model_learns_through_what_the_first_pass_kept(model, reading):
    ids, mask = a_batch()
    weight = model.model.layers[0].self_attn.v_proj.weight

    def value():
        return next_token_loss(run_passes(model, ids, mask, WEIGHTS, READINGS[reading])[1], ids, mask)

    (gradient,) = torch.autograd.grad(value(), weight)
    direction = gradient / gradient.norm()
    values = []
    with torch.no_grad():
        for step in (1e-3, -2e-3):
            weight.add_(step * direction)
            values.append(float(value()))
        weight.add_(1e-3 * direction)
    # Llama's normalisation computes in float32.
    assert (values[0] - values[1]) / 2e-3 == pytest.approx(float(gradient.norm()), rel=1e-3)
    state = InBatch(mask, READINGS[reading])
    call = {"input_ids": ids, "attention_mask": mask.long(), "use_cache": False, "in_batch": state}
    with torch.no_grad():
        model(**call)
    state.weights = WEIGHTS
    (cut_off,) = torch.autograd.grad(next_token_loss(model(**call).logits, ids, mask), weight)
    assert (cut_off - gradient).norm() > 0.05 * gradient.norm()


def test_the_loss_counts_real_tokens_only():
    ids, mask = a_batch()
    logits = torch.randn(3, 7, 300, generator=torch.Generator().manual_seed(1))
    losses = [-logits[i, t].log_softmax(0)[ids[i, t + 1]] for i in range(3) for t in range(6) if mask[i, t + 1]]
    assert len(losses) == 15
    torch.testing.assert_close(next_token_loss(logits, ids, mask), torch.stack(losses).mean())


@pytest.mark.parametrize("trained", [True, False])
def test_a_run_moves_the_retriever_and_the_language_model_as_asked(tmp_path, trained):
    objective = Revela(
        language_model=language(), chunk_words=12, chunk_tokens=16, weight_temperature=0.1, train_language_model=trained
    )
    encoder = small_encoder(dropout=0.0)
    before = [weight.detach().clone() for weight in (*encoder.parameters().values(), *objective_weights(objective))]
    n = len(encoder.parameters())
    _, done = run(tmp_path, objective=objective, encoder=encoder, steps=3)
    after = [*encoder.parameters().values(), *objective_weights(objective)]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert any(moved[:n])
    assert any(moved[n:]) == trained
    for name in ("alone", "gap", "entropy", "same_document"):
        assert np.isfinite(done.log[0][name])
    assert 0 <= done.log[0]["entropy"] <= np.log(7)


def objective_weights(objective) -> list:
    return list(objective._given.model.parameters())


@pytest.mark.parametrize("objective_class", [Revela, Replug])
def test_half_precision_is_for_the_language_model_only(tmp_path, objective_class):
    losses = {}
    for precision in ("float32", "bfloat16"):
        objective = objective_class(
            language_model=language(), chunk_words=12, chunk_tokens=16, language_precision=precision
        )
        encoder = small_encoder(dropout=0.0)
        objective.prepare(encoder, 6, 0)
        batch = objective.data(documents(), encoder, 6, 0, tmp_path).batch(0)
        found = {view: encoder.vectors(rows) for view, rows in batch.views.items()}
        losses[precision] = objective.loss(found, batch)
    exact, rounded = losses["float32"], losses["bfloat16"]
    assert rounded.value.dtype == torch.float32
    assert rounded.value.item() != exact.value.item()
    assert rounded.value.item() == pytest.approx(exact.value.item(), rel=0.02)
    of_similarities = {"entropy", "spread"} & exact.figures.keys()
    assert of_similarities
    assert all(exact.figures[name] == rounded.figures[name] for name in of_similarities)


def test_batches_hold_chunks_of_few_documents(tmp_path):
    objective = Revela(language_model=language(), chunk_words=12, chunk_tokens=16)
    encoder = small_encoder()
    objective.prepare(encoder, 6, 0)
    data = objective.data(documents(), encoder, 6, 0, tmp_path)
    batch = data.batch(3)
    assert batch.arrays["ids"].shape[1] <= 16
    assert len(set(batch.documents)) <= 4
    for query, passage in zip(batch.views["query"], batch.views["passage"], strict=True):
        inner = len(passage) - 2
        assert query[1:-1] == passage[1:-1][: max(1, inner // 2)]
    whole = Revela(language_model=language())
    whole.prepare(encoder, 6, 0)
    with pytest.raises(InputError, match="60 documents are 60 chunks"):
        whole.data(documents(), encoder, 6, 0, tmp_path)


def test_chunks_are_whole_sentences_and_give_back_the_text():
    text = "One two three. Four five!  Six seven eight nine ten.\n\nEleven" + " word" * 9
    chunks = chunk_text(text, 5)
    assert "".join(chunks) == text
    assert all(len(chunk.split()) <= 5 for chunk in chunks)
    assert chunks[0] == "One two three. Four five!  "
    assert chunk_text("", 5) == []
    assert interleaved([["a1", "a2", "a3"], ["b1", "b2"], ["c1", "c2", "c3", "c4"]]) == [
        *("a1", "b1", "c1", "a2", "b2", "c2", "a3", "c3", "c4")
    ]


def test_every_chunk_comes_once_an_epoch():
    owners = np.repeat(np.arange(10), [3, 1, 2, 4, 5, 1, 2, 3, 2, 1])
    batches = DocumentBatches(owners, 4, 2, 0)
    for epoch in range(2):
        drawn = [chunk for n in range(6 * epoch, 6 * epoch + 6) for chunk in batches.draw(n)]
        assert sorted(drawn) == list(range(24))
    assert batches.draw(3) == batches.draw(3)
    assert batches.draw(0) != batches.draw(6)


def test_what_cannot_be_is_refused():
    with pytest.raises(ModelError, match="Supported: llama"):
        prepare_model(causal_model("gpt2"))
    with pytest.raises(InputError, match=r"weight_temperature.*reading.*query_part.*chunk_words.*language_precision"):
        RevelaConfig(weight_temperature=0.0, reading="loud", query_part=0.0, chunk_words=1, language_precision="float8")
