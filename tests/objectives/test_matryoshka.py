"""Losses against worked numbers, plain losses, finite differences and sentence-transformers; the adapter learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from sememe import artifact
from sememe.errors import ArtifactError, InputError, NotFittedError
from sememe.objectives.info_nce import info_nce
from sememe.objectives.matryoshka import (
    MatryoshkaAdapter,
    MatryoshkaHeads,
    matryoshka_cross_entropy,
    matryoshka_pair_loss,
)
from sememe.search.adaptive import truncate

D = 16


def tensor(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def worked():
    """The worked example of MRL-E: z, heads with W and b, and y."""
    heads = MatryoshkaHeads([1, 2, 4], 2, efficient=True)
    with torch.no_grad():
        heads.module[0].weight.copy_(torch.tensor([[0.5, -0.2, 0.1, 0.3], [-0.4, 0.6, 0.2, -0.1]]))
        heads.module[0].bias.copy_(torch.tensor([0.1, -0.1]))
    return torch.tensor([[1.0, 2.0, -1.0, 0.5]]), heads, torch.tensor([1])


def test_the_worked_example(worked):
    z, heads, y = worked
    logits = heads(z)
    for found, expected in zip(logits, ([0.6, -0.5], [0.2, 0.7], [0.25, 0.45]), strict=True):
        torch.testing.assert_close(found, torch.tensor([expected]))
    for smoothing, terms, total in (
        (0.0, (1.387335, 0.474077, 0.598139), 2.459551),
        (0.1, (1.332335, 0.499077, 0.608139), 2.439551),
    ):
        for number, term in enumerate(terms):
            alone = [float(number == other) for other in range(3)]
            found = matryoshka_cross_entropy(logits, y, alone, label_smoothing=smoothing)
            assert found.item() == pytest.approx(term, abs=1e-6)
        summed = matryoshka_cross_entropy(logits, y, label_smoothing=smoothing)
        assert summed.item() == pytest.approx(total, abs=1e-6)
        mean = matryoshka_cross_entropy(logits, y, label_smoothing=smoothing, reduction="mean")
        assert mean.item() == pytest.approx(total / 3, abs=1e-6)


def test_tied_heads_telescope():
    z, heads = tensor(5, 8), MatryoshkaHeads([2, 3, 8], 4, efficient=True)
    logits, W = heads(z), heads.module[0].weight
    for (m, low), (n, high) in (((2, logits[0]), (3, logits[1])), ((3, logits[1]), (8, logits[2]))):
        torch.testing.assert_close(high - low, z[:, m:n] @ W[:, m:n].T)


@pytest.mark.parametrize(
    ("efficient", "bias", "n"), [(False, True, 4 * 13 + 3 * 4), (True, True, 4 * 8 + 4), (True, False, 32)]
)
def test_the_number_of_parameters_is_the_papers(efficient, bias, n):
    heads = MatryoshkaHeads([2, 3, 8], 4, efficient=efficient, bias=bias)
    assert sum(parameter.numel() for parameter in heads.parameters()) == n
    assert [logits.shape for logits in heads(tensor(5, 9))] == [(5, 4)] * 3


def test_one_size_is_the_plain_loss_bit_for_bit():
    z, heads, y = tensor(9, D), MatryoshkaHeads([D], 4), torch.arange(9) % 4
    plain = functional.cross_entropy(heads.module[0](z), y, label_smoothing=0.1)
    assert torch.equal(matryoshka_cross_entropy(heads(z), y, label_smoothing=0.1), plain)
    a, b = tensor(9, D, seed=1), tensor(9, D, seed=2)
    plain = functional.cross_entropy(
        20.0 * (functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T), torch.arange(9)
    )
    assert torch.equal(matryoshka_pair_loss(a, b, [D]), plain)


def test_a_single_weight_is_the_loss_of_that_size():
    a, b = tensor(9, D, seed=1), tensor(9, D, seed=2)
    for number, m in enumerate((4, 8, D)):
        weights = [2.5 * (number == other) for other in range(3)]
        found = matryoshka_pair_loss(a, b, [4, 8, D], weights)
        torch.testing.assert_close(
            found, 2.5 * info_nce(functional.normalize(a[:, :m], dim=1) @ functional.normalize(b[:, :m], dim=1).T, 0.05)
        )


def test_a_size_has_no_gradient_beyond_itself():
    for number, m in enumerate((4, 8, D)):
        weights = [float(number == other) for other in range(3)]
        a, b = tensor(9, D, seed=1).requires_grad_(), tensor(9, D, seed=2)
        matryoshka_pair_loss(a, b, [4, 8, D], weights).backward()
        z, heads = tensor(9, D, seed=3).requires_grad_(), MatryoshkaHeads([4, 8, D], 3)
        matryoshka_cross_entropy(heads(z), torch.arange(9) % 3, weights).backward()
        for gradient in (a.grad, z.grad):
            assert not gradient[:, m:].any()
            assert gradient[:, :m].abs().min(dim=0).values.max() > 0


def test_gradients_are_those_of_finite_differences():
    a, b = (tensor(5, 6, seed=s, dtype=torch.float64).requires_grad_() for s in (1, 2))
    assert torch.autograd.gradcheck(lambda a, b: matryoshka_pair_loss(a, b, [2, 4, 6], [1.0, 0.5, 2.0]), (a, b))
    heads = MatryoshkaHeads([2, 4, 6], 3, efficient=True)
    heads.module.double()
    y = torch.tensor([0, 1, 2, 0, 1])
    assert torch.autograd.gradcheck(lambda z: matryoshka_cross_entropy(heads(z), y, [1.0, 0.5, 2.0]), (a,))


class Table(torch.nn.Module):
    """A sentence-transformers module that looks its sentences up in a table of embeddings."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)

    def forward(self, features):
        features["sentence_embedding"] = self.table[features["input_ids"]]
        return features

    def get_sentence_embedding_dimension(self):
        return self.table.shape[1]

    get_embedding_dimension = get_sentence_embedding_dimension

    def tokenize(self, texts):
        raise NotImplementedError

    preprocess = tokenize

    def save(self, *args, **options):
        raise NotImplementedError


@pytest.mark.slow  # importing sentence-transformers
@pytest.mark.parametrize("weights", [None, [0.3, 1.7, 0.9]])
def test_values_and_gradients_are_those_of_sentence_transformers(weights):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

    table = tensor(18, D, seed=4)
    model = sentence_transformers.SentenceTransformer(modules=[Table(table.clone())], device="cpu")
    rival = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), [4, 8, D], weights)
    theirs = rival([{"input_ids": torch.arange(9)}, {"input_ids": torch.arange(9, 18)}], None)
    theirs.backward()
    own = table.clone().requires_grad_()
    ours = matryoshka_pair_loss(own[:9], own[9:], [4, 8, D], weights)
    ours.backward()
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(own.grad, model[0].table.grad, atol=1e-5, rtol=0)
    assert float(own.grad.abs().max()) > 0.01


def test_drawn_sizes_are_a_part_of_the_sum():
    a, b = tensor(9, D, seed=1), tensor(9, D, seed=2)
    dims = [2, 4, 8, D]
    alone = [float(matryoshka_pair_loss(a, b, dims, [float(m == n) for n in dims])) for m in dims]
    generator = torch.Generator().manual_seed(0)
    drawn = [float(matryoshka_pair_loss(a, b, dims, n_dims_per_step=2, generator=generator)) for _ in range(400)]
    pairs = {round(alone[i] + alone[j], 3) for i in range(4) for j in range(i)}
    assert {round(value, 3) for value in drawn} == pairs
    assert np.mean(drawn) == pytest.approx(sum(alone) / 2, rel=0.05)  # unbiased up to the share drawn
    everything = matryoshka_pair_loss(a, b, dims, n_dims_per_step=4)
    torch.testing.assert_close(everything, matryoshka_pair_loss(a, b, dims))


def test_another_inner_loss_gets_unit_prefixes():
    seen = []

    def inner(a, b):
        seen.append((a.shape[1], float((a.norm(dim=1) - 1).abs().max()), float((b.norm(dim=1) - 1).abs().max())))
        return (a - b).square().sum()

    a, b = tensor(9, D, seed=1), tensor(9, D, seed=2)
    matryoshka_pair_loss(a, b, [4, D], inner=inner)
    assert [m for m, *_ in seen] == [4, D]
    assert max(max(errors) for _, *errors in seen) < 1e-6


def test_sizes_and_weights_that_make_no_sense_are_refused():
    a = tensor(3, D)
    for call, message in (
        (lambda: matryoshka_pair_loss(a, a, []), "not positive"),
        (lambda: matryoshka_pair_loss(a, a, [8, 4]), "strictly increasing"),
        (lambda: matryoshka_pair_loss(a, a, [0, 4]), "not positive"),
        (lambda: matryoshka_pair_loss(a, a, [4, 17]), "above the 16"),
        (lambda: matryoshka_pair_loss(a, a, [4, D], [1.0]), "are not 2 numbers"),
        (lambda: matryoshka_pair_loss(a, a, [4, D], [1.0, -1.0]), "are not 2 numbers of 0 or more"),
        (lambda: matryoshka_pair_loss(a, a, [4, D], n_dims_per_step=3), "n_dims_per_step is 3"),
        (lambda: matryoshka_cross_entropy([], torch.tensor([0])), "no sizes"),
        (lambda: matryoshka_cross_entropy([a], torch.tensor([0]), reduction="max"), "no reduction 'max'"),
        (lambda: MatryoshkaHeads([4, 4], 2), "strictly increasing"),
        (lambda: MatryoshkaHeads([4, 17], 2)(a), "has 16 dimensions, the heads need 17"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    with pytest.warns(UserWarning, match="the full width 16 is not among the sizes"):
        matryoshka_pair_loss(a, a, [4])


def planted_pairs(n, seed, width=48, signal=8, nuisance=24):
    """Pairs that share a weak signal below strong directions that they do not share, all turned at random."""
    turn = np.linalg.qr(np.random.default_rng(9).standard_normal((width, width)))[0]
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, signal))
    sides = []
    for _ in range(2):
        x = np.zeros((n, width))
        x[:, :signal] = shared + 0.3 * rng.standard_normal((n, signal))
        x[:, signal : signal + nuisance] = 1.5 * rng.standard_normal((n, nuisance))
        x = x @ turn
        sides.append((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    return sides


def found_first(queries, documents, m):
    return float(((truncate(queries, m) @ truncate(documents, m).T).argmax(axis=1) == np.arange(len(queries))).mean())


@pytest.fixture(scope="module")
def adapter():
    return MatryoshkaAdapter([4, 8, 16, 48], batch_size=64, learning_rate=5e-3).fit(*planted_pairs(400, 0))


def test_the_adapter_puts_what_matters_first(adapter):
    queries, documents = planted_pairs(200, 1)
    mapped = adapter.transform(queries), adapter.transform(documents)
    full_only = MatryoshkaAdapter([48], batch_size=64, learning_rate=5e-3).fit(*planted_pairs(400, 0))
    one_size = full_only.transform(queries), full_only.transform(documents)
    for m in (4, 8):
        assert found_first(*mapped, m) > found_first(queries, documents, m) + 0.15
        assert found_first(*mapped, m) > found_first(*one_size, m) + 0.15
    assert found_first(*mapped, 48) > found_first(*one_size, 48) - 0.1
    np.testing.assert_allclose(np.linalg.norm(mapped[0], axis=1), 1, atol=1e-6)


def test_an_adapter_may_be_narrower_than_its_input():
    narrow = MatryoshkaAdapter([4, 8], epochs=2).fit(*planted_pairs(50, 0))
    assert narrow.transform(planted_pairs(5, 1)[0]).shape == (5, 8)


def test_no_epoch_of_effect_is_the_identity():
    queries, documents = planted_pairs(50, 0)
    still = MatryoshkaAdapter([4, 48], epochs=1, learning_rate=1e-12).fit(queries, documents)
    np.testing.assert_allclose(still.transform(queries), queries, atol=1e-5)


def test_fitting_twice_gives_the_same_and_leaves_the_input_alone():
    queries, documents = planted_pairs(100, 0)
    before = queries.copy()
    first, second = (MatryoshkaAdapter([4, 48], epochs=2, n_dims_per_step=1).fit(queries, documents) for _ in range(2))
    np.testing.assert_array_equal(first.weight_, second.weight_)
    np.testing.assert_array_equal(queries, before)
    other = MatryoshkaAdapter([4, 48], epochs=2, random_state=1).fit(queries, documents)
    assert not np.array_equal(first.weight_, other.weight_)


def test_pieces_are_mapped_as_the_whole(adapter):
    X = planted_pairs(50, 1)[0]
    np.testing.assert_allclose(
        np.concatenate([adapter.transform(X[:7]), adapter.transform(X[7:])]), adapter.transform(X), atol=1e-6
    )
    assert adapter.transform(X[:0]).shape == (0, 48)


def test_saving_what_was_loaded_gives_the_same_bytes(adapter, tmp_path):
    adapter.save(tmp_path / "a", {"encoder": "minilm"})
    loaded = MatryoshkaAdapter.load(tmp_path / "a")
    loaded.save(tmp_path / "b", {"encoder": "minilm"})
    for file in ("card.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    X = planted_pairs(5, 1)[0]
    np.testing.assert_array_equal(adapter.transform(X), loaded.transform(X))
    assert loaded.get_params() == adapter.get_params()
    card = artifact.load_card(tmp_path / "a", "matryoshka-adapter")
    assert (card["encoder"], card["n_pairs"], card["parameters"]["dims"]) == ("minilm", 400, [4, 8, 16, 48])


def test_an_adapter_that_cannot_be_used_is_refused(adapter, tmp_path):
    queries, documents = planted_pairs(50, 0)
    for call, message in (
        (lambda: MatryoshkaAdapter([4, 49]).fit(queries, documents), "above the 48"),
        (lambda: MatryoshkaAdapter([4], weights=[1, 2]).fit(queries, documents), "are not 1 numbers"),
        (lambda: MatryoshkaAdapter([4]).fit(queries, documents[:9]), "are not two or more pairs"),
        (lambda: MatryoshkaAdapter([4]).fit(queries[:1], documents[:1]), "are not two or more pairs"),
        (lambda: MatryoshkaAdapter([4], epochs=0).fit(queries, documents), "at least 1"),
        (lambda: MatryoshkaAdapter([4]).fit(queries, np.full_like(documents, np.nan)), "finite"),
        (lambda: adapter.transform(queries[:, :4]), "X is 4 wide, the adapter was trained on 48"),
        (lambda: adapter.transform(queries[0]), "is not a table"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    for call in (lambda: MatryoshkaAdapter([4]).transform(queries), lambda: MatryoshkaAdapter([4]).save(tmp_path)):
        with pytest.raises(NotFittedError):
            call()
    artifact.save(tmp_path / "x", "matryoshka-adapter", {"weight": np.eye(3, dtype=np.float32)}, {"parameters": {}})
    with pytest.raises(ArtifactError, match="does not fit its sizes"):
        MatryoshkaAdapter.load(tmp_path / "x")
