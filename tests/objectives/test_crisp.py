"""CRISP: the loss against loops over texts, gradients through centroids, and what is saved."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import config, documents, small_encoder, small_tokens

torch = pytest.importorskip("torch")

from sememe.corpus import Document  # noqa: E402
from sememe.errors import InputError  # noqa: E402
from sememe.models.multi_vector import MultiVectorEncoder  # noqa: E402
from sememe.models.trainable import TokenStates  # noqa: E402
from sememe.models.trainable_tokens import TrainableTokens  # noqa: E402
from sememe.multi_vector.pruning import prune  # noqa: E402
from sememe.objectives.crisp import Crisp, CrispConfig  # noqa: E402
from sememe.objectives.late_interaction import joined, mean_maxsim_scores  # noqa: E402
from sememe.search.multi_vector import MultiVectorIndex  # noqa: E402
from sememe.training.encoders import train_encoder  # noqa: E402
from sememe.training.representing import Represent  # noqa: E402


def pairs(n: int = 60) -> list[Document]:
    return [
        Document(each.id, each.text[15:], metadata={"query": each.text[:15], "negatives": [each.text[::-1]]})
        for each in documents(n)
    ]


def k_means(x: np.ndarray, k: int) -> np.ndarray:
    """The centroids of one text's tokens, in order; the paper's operator in its plainest form."""
    n = len(x)
    if k >= n:
        return x
    centres = x[[(2 * j + 1) * n // (2 * k) for j in range(k)]]
    for _ in range(10):
        of = ((x[:, None] - centres) ** 2).sum(2).argmin(1)
        centres = np.stack([x[of == j].mean(0) if (of == j).any() else centres[j] for j in range(k)])
    of_last = ((x[:, None] - centres) ** 2).sum(2).argmin(1)
    return np.stack([x[of_last == j].mean(0) for j in range(k) if (of_last == j).any()])


REDUCED = {
    "mv": (lambda x: x, lambda x: x),
    "T2x4": (lambda x: x[-2:], lambda x: x[-4:]),
    "K3": (lambda x: x[::3], lambda x: x[::3]),
    "C2x4": (lambda x: k_means(x, 2), lambda x: k_means(x, 4)),
    "C25%": (lambda x: k_means(x, max(1, len(x) // 4)), lambda x: k_means(x, max(1, len(x) // 4))),
    "sv": (lambda x: (m := x.mean(0, keepdims=True)) / np.linalg.norm(m),) * 2,
}


def a_batch(tmp_path, objective, encoder, size: int = 8):
    objective.prepare(encoder, size, 0)
    return objective.data(pairs(), encoder, size, 0, tmp_path).batch(0)


def represented(encoder, objective, batch, chunk: int = 0):
    return Represent(encoder, objective.views, {}, chunk=chunk, precision="float32", seed=0).batch(batch, 0)


@pytest.mark.parametrize("pruning", REDUCED)
def test_the_loss_is_the_papers_written_as_loops(tmp_path, pruning):
    encoder, objective = small_tokens(dense=8), Crisp(pruning=pruning, temperature=0.1)
    batch = a_batch(tmp_path, objective, encoder)
    found = represented(encoder, objective, batch).representations
    rows = {
        view: [states.vectors[i][states.mask[i]].detach().double().numpy() for i in range(len(states.mask))]
        for view, states in found.items()
    }
    for_query, for_document = REDUCED[pruning]
    queries = [for_query(x) for x in rows["query"]]
    texts = [for_document(x) for x in [*rows["positive"], *rows["negative"]]]
    losses = []
    for i, q in enumerate(queries):
        scores = np.array([(q @ d.T).max(1).sum() / len(q) for d in texts]) / 0.1
        out = batch.arrays["answers"][i].copy()
        out[i] = False
        scores[out] = -np.inf
        losses.append(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[i])
    assert float(objective.loss(found, batch).value.detach()) == pytest.approx(np.mean(losses), abs=1e-5)


def test_the_gradient_goes_through_the_mean_and_not_through_the_choice():
    x = torch.tensor([[[1, 0], [0.96, 0.28], [0, 1], [0.28, 0.96]]], dtype=torch.float64, requires_grad=True)
    mask, q = torch.ones(1, 4, dtype=torch.bool), torch.eye(2, dtype=torch.float64)[None]
    kept = TokenStates(*prune(x, mask, "C2x2", "document"))
    score = mean_maxsim_scores(TokenStates(q, torch.ones(1, 2, dtype=torch.bool)), kept) * 2
    assert score.item() == pytest.approx(1.96)
    score.sum().backward()
    np.testing.assert_allclose(x.grad[0], [[0.5, 0], [0.5, 0], [0, 0.5], [0, 0.5]], atol=1e-12)


def test_the_loss_passes_a_gradient_check(tmp_path):
    encoder, objective = small_tokens(), Crisp(pruning="C2x4", temperature=0.5)
    batch = a_batch(tmp_path, objective, encoder, 4)
    found = represented(encoder, objective, batch).representations
    fixed = {view: TokenStates(r.vectors.detach().double(), r.mask) for view, r in found.items()}
    leaves = [r.vectors.clone().requires_grad_() for r in fixed.values()]

    def loss(*tensors):
        moved = {view: TokenStates(t, fixed[view].mask) for view, t in zip(fixed, tensors, strict=True)}
        return objective.loss(moved, batch).value

    assert torch.autograd.gradcheck(loss, leaves, eps=1e-6, atol=1e-6, fast_mode=True)


def test_every_token_that_is_in_a_text_is_moved(tmp_path):
    """Clustering somebody else's numbers would leave the encoder without a gradient, and nobody would notice."""
    encoder, objective = small_tokens(), Crisp(pruning="C2x4")
    batch = a_batch(tmp_path, objective, encoder)
    computed = represented(encoder, objective, batch)
    computed.backward(objective.loss(computed.representations, batch).value)
    table = encoder.encoder.model.get_input_embeddings().weight
    used = sorted({token for rows in batch.views.values() for row in rows for token in row})
    assert (table.grad[used].abs().sum(1) > 0).all()
    for view in batch.views:  # padding has none
        states = computed.representations[view]
        assert (states.vectors.grad[~states.mask] == 0).all()


def test_texts_know_nothing_of_the_padding_beside_them(tmp_path):
    encoder, objective = small_tokens(), Crisp(pruning="C2x4")
    batch = a_batch(tmp_path, objective, encoder)
    found = represented(encoder, objective, batch).representations
    wider = {view: joined([r, TokenStates(r.vectors[:0], r.mask[:0])]) for view, r in found.items()}
    wider = {
        view: TokenStates(
            torch.nn.functional.pad(r.vectors, (0, 0, 0, 7), value=3.0), torch.nn.functional.pad(r.mask, (0, 7))
        )
        for view, r in wider.items()
    }
    a, b = (float(objective.loss(each, batch).value.detach()) for each in (found, wider))
    assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 3])
def test_cached_gradients_are_those_of_the_whole_batch(tmp_path, chunk):
    gradients = []
    for pieces in (0, chunk):
        encoder, objective = small_tokens(dense=8), Crisp(pruning="C2x4")
        batch = a_batch(tmp_path, objective, encoder)
        computed = represented(encoder, objective, batch, pieces)
        computed.backward(objective.loss(computed.representations, batch).value)
        gradients.append({name: weight.grad for name, weight in encoder.parameters().items()})
    for name, gradient in gradients[0].items():
        if gradient is not None:
            torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-4)


def test_what_is_trained_loads_here_and_in_sentence_transformers(tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = small_tokens(dropout=0.1, dense=8)
    done = train_encoder(encoder, pairs(150), Crisp(pruning="C2x4"), tmp_path / "out", config(held_out=24))
    assert done.card["objective"]["pruning"] == "C2x4"
    assert done.card["width"] == 8
    assert done.verdict.questions == 12
    ours = MultiVectorEncoder.load(tmp_path / "out")
    assert (ours.pruning, ours.dimensions) == ("C2x4", 8)
    texts = [each.text for each in documents(5)]
    for kind in ("query", "document"):
        trained = encoder.token_states([encoder.framed(row, kind) for row in encoder.tokenize(texts)])
        for i, record in enumerate(ours.encode(texts, kind)):
            np.testing.assert_allclose(record.vectors, trained.vectors[i][trained.mask[i]].detach(), atol=1e-5)
    with MultiVectorIndex.build(documents(20), ours, tmp_path / "my.index") as index:
        assert index.pruning.method == "C2x4"
    if not hasattr(sentence_transformers, "MultiVectorEncoder"):
        pytest.skip("needs sentence-transformers 6 for the comparison")
    theirs = sentence_transformers.MultiVectorEncoder(str(tmp_path / "out"), device="cpu", local_files_only=True)
    for record, other in zip(ours.encode(texts), theirs.encode_document(texts, convert_to_numpy=True), strict=True):
        np.testing.assert_allclose(record.vectors, other, atol=1e-5)


def test_the_second_stage_starts_from_the_first(tmp_path):
    train_encoder(small_tokens(dense=8), pairs(), Crisp(pruning="mv"), tmp_path / "mv", config(held_out=0))
    second = TrainableTokens.load(tmp_path / "mv")
    assert (second.width, second.encoder.pruning) == (8, "mv")
    train_encoder(second, pairs(), Crisp(pruning="C50%"), tmp_path / "out", config(held_out=0))
    again = MultiVectorEncoder.load(tmp_path / "out")
    assert (again.dimensions, again.pruning) == (8, "C50%")
    assert [path.name for path in sorted((tmp_path / "out").glob("*_*"))].count("1_Dense") == 1


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(InputError, match="one vector a text"):
        Crisp().prepare(small_encoder(), 8, 0)
    with pytest.raises(InputError, match=r"temperature.*no pruning 'c4' \(Give one of mv"):
        CrispConfig(pruning="c4", temperature=0)
    with pytest.raises(InputError, match="length one"):
        small_tokens(normalize=False)
