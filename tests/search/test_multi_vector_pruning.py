"""Pruning of token vectors against hand-computed numbers, loops, and sentence-transformers; its gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.multi_vector.clustering import assign_clusters
from sememe.multi_vector.pruning import prune_with_members
from sememe.search.multi_vector import Pruning, chamfer, cluster_posthoc, prune, ward

torch = pytest.importorskip("torch")
METHODS = ["mv", "sv", "T2x3", "K2", "C2x3", "C25%", "C50%"]


def random_batch(n_texts=5, longest=17, d=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    states = torch.nn.functional.normalize(torch.randn(n_texts, longest, d, generator=generator, dtype=dtype), dim=-1)
    lengths = torch.randint(1, longest + 1, (n_texts,), generator=generator)
    lengths[0] = longest
    return states, torch.arange(longest) < lengths[:, None]


def whole(rows, dtype=torch.float64):
    states = torch.tensor(rows, dtype=dtype)[None]
    return states, torch.ones(states.shape[:2], dtype=torch.bool)


# ── the grammar ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("mv", ("mv", 0, 0)),
        ("sv", ("sv", 0, 0)),
        ("T4x8", ("tail", 4, 8)),
        ("K4", ("spacing", 4, 4)),
        ("C4x8", ("clusters", 4, 8)),
        ("C25%", ("ratio", 25, 25)),
    ],
)
def test_methods_are_read(method, expected):
    parsed = Pruning.parse(method)
    assert (parsed.operator, parsed.query, parsed.document) == expected
    assert Pruning.parse(parsed) is parsed


@pytest.mark.parametrize(
    "method", ["", "MV", "T4", "C4", "K0", "C0x8", "T4x0", "C101%", "C0%", "C25", "K4 ", "C-4x8", 4]
)
def test_other_methods_are_refused_with_the_grammar(method):
    with pytest.raises(InputError, match=r"C4x8 .*C25%"):
        Pruning.parse(method)


def test_counts_of_the_paper():
    lengths = [1, 3, 4, 7, 10, 100]
    assert [Pruning.parse("C25%").count(n, "query") for n in lengths] == [1, 1, 1, 1, 2, 25]
    assert [Pruning.parse("K4").count(n, "query") for n in lengths] == [1, 1, 1, 2, 3, 25]
    assert Pruning.parse("T4x8").count(np.array([3, 20]), "document").tolist() == [3, 8]
    assert Pruning.parse("C4x8").count(torch.tensor([3, 20]), "query").tolist() == [3, 4]


@pytest.mark.parametrize("method", METHODS)
def test_as_many_vectors_as_counted(method):
    states, mask = random_batch()
    for kind in ("query", "document"):
        _, kept = prune(states, mask, method, kind)
        counts = Pruning.parse(method).count(mask.sum(1), kind)
        assert (kept.sum(1) <= counts).all()
        if not method.startswith("C"):
            assert torch.equal(kept.sum(1), counts)


# ── numbers worked out by hand ───────────────────────────────────────────────────────────────────────────────

SQUARE = [[1, 0], [0.96, 0.28], [0, 1], [0.28, 0.96]]


def test_clusters_by_hand():
    states, mask = whole(SQUARE)
    states.requires_grad_()
    centroids, kept = prune(states, mask, "C2x2", "document")
    assert torch.allclose(centroids[0], torch.tensor([[0.98, 0.14], [0.14, 0.98]], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(centroids[0].norm(dim=1), torch.tensor([0.989949] * 2, dtype=torch.float64), atol=1e-6)
    queries, query_mask = whole([[1, 0], [0, 1]])
    score = chamfer(queries, query_mask, centroids, kept)
    assert float(score.detach()) == pytest.approx(1.96, abs=1e-12)
    assert float(chamfer(queries, query_mask, states.detach(), mask)) == pytest.approx(2.0)
    scaled = prune(states.detach(), mask, "C2x2", "document", renormalize=True)
    assert float(chamfer(queries, query_mask, *scaled)) == pytest.approx(1.979899, abs=1e-6)
    score.backward()
    assert torch.allclose(states.grad[0], torch.tensor([[0.5, 0], [0.5, 0], [0, 0.5], [0, 0.5]], dtype=torch.float64))


def test_selections_by_hand():
    states, mask = random_batch()
    for text, real in zip(states, mask, strict=True):
        tokens = text[real]
        for method, expected in (("T2x3", tokens[-3:]), ("K4", tokens[::4]), ("mv", tokens)):
            vectors, kept = prune(text[None], real[None], method, "document")
            assert torch.equal(vectors[kept], expected)
        mean = torch.nn.functional.normalize(tokens.mean(dim=0), dim=0)
        assert torch.allclose(prune(text[None], real[None], "sv", "query")[0][0, 0], mean)


# ── what must hold for any vectors ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["C17x17", "T20x20", "C100%", "K1"])
def test_more_vectors_than_tokens_change_nothing(method):
    states, mask = random_batch()
    vectors, kept = prune(states, mask, method, "document")
    reference, reference_mask = prune(states, mask, "mv", "document")
    assert torch.equal(kept, reference_mask)
    assert torch.equal(vectors, reference)


def test_one_cluster_is_the_mean():
    states, mask = random_batch()
    centroids, kept = prune(states, mask, "C1x1", "query")
    means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    assert torch.allclose(centroids[:, 0], means)
    assert torch.allclose(chamfer(centroids, kept, centroids, kept), means @ means.T)


@pytest.mark.parametrize("method", ["C1x1", "C2x3", "C3x8", "C50%"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_tokens_give_one_centroid(method, dtype):
    token = torch.nn.functional.normalize(
        torch.randn(7, generator=torch.Generator().manual_seed(1), dtype=dtype), dim=0
    )
    other = random_batch(3, 9, 7, dtype=dtype)[0]
    states = torch.cat([token.expand(1, 9, 7), other])  # beside other texts, so that a product is blocked differently
    mask = torch.ones(states.shape[:2], dtype=torch.bool)
    vectors, kept = prune(states, mask, method, "document")
    assert int(kept[0].sum()) == 1
    assert torch.allclose(vectors[0, 0], token, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_padding_and_neighbours_change_nothing(method):
    states, mask = random_batch(8, 40, 12, dtype=torch.float32)
    states = states.masked_fill(~mask[..., None], float("nan"))
    together, kept = prune(states, mask, method, "document")
    for number, (text, real) in enumerate(zip(states, mask, strict=True)):
        alone, alone_kept = prune(
            text[real][None], torch.ones(1, int(real.sum()), dtype=torch.bool), method, "document"
        )
        assert torch.allclose(together[number][kept[number]], alone[alone_kept], atol=1e-6)


def test_holes_in_the_mask_are_passed_over():
    states, _ = random_batch(1, 12)
    mask = torch.tensor([[True, False, True] * 4])
    for method in METHODS:
        with_holes = prune(states, mask, method, "document")
        without = prune(states[mask][None], torch.ones(1, 8, dtype=torch.bool), method, "document")
        assert torch.equal(with_holes[0][with_holes[1]], without[0][without[1]])
        members = prune_with_members(states, mask, method, "document").members
        assert (members[~mask] == -1).all()


def lloyd(tokens: np.ndarray, k: int) -> np.ndarray:
    """The same algorithm for one text, as a loop."""
    n = len(tokens)
    if n <= k:
        return np.arange(n)
    centres = tokens[[int((j + 0.5) * n / k) for j in range(k)]].copy()
    assigned = None
    for _ in range(10):
        distances = np.square(tokens[:, None] - centres[None]).sum(axis=2)
        nearest = distances.argmin(axis=1)
        if assigned is not None and np.array_equal(nearest, assigned):
            break
        assigned = nearest
        for j in range(k):
            if (assigned == j).any():
                centres[j] = tokens[assigned == j].mean(axis=0)
    return assigned


def test_the_batch_equals_a_loop_over_texts():
    states, mask = random_batch(12, 60, 5, seed=3)
    for k in (1, 2, 5, 16):
        counts = mask.sum(1).clamp(max=k)
        assigned = assign_clusters(states, mask, counts)
        for text, real, found in zip(states, mask, assigned, strict=True):
            assert np.array_equal(found[real].numpy(), lloyd(text[real].numpy(), k))
            assert (found[~real] == -1).all()


def test_inertia_never_rises():
    states, mask = random_batch(6, 80, 8, seed=4)
    counts = mask.sum(1).clamp(max=9)
    previous = None
    for iterations in range(1, 11):
        assigned = assign_clusters(states, mask, counts, max_iterations=iterations)
        inertia = torch.stack([_inertia(*text) for text in zip(states, mask, assigned, strict=True)])
        assert previous is None or (inertia <= previous + 1e-4).all()
        previous = inertia


def _inertia(tokens, real, assigned):
    tokens, assigned = tokens[real], assigned[real]
    parts = [tokens[assigned == j] for j in assigned.unique()]
    return sum((part - part.mean(dim=0)).square().sum() for part in parts)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), method=st.sampled_from(["C1x2", "C2x3", "C50%", "C25%", "C4x8", "sv"]))
def test_a_centroid_is_never_better_than_its_best_token(seed, method):
    states, mask = random_batch(4, 12, 3, seed=seed)
    queries, query_mask = random_batch(3, 5, 3, seed=seed + 1)
    # The one vector of `sv` is scaled to unit length, so only plain means have the bound.
    if method != "sv":
        pruned = chamfer(queries, query_mask, *prune(states, mask, method, "document"))
        assert (pruned <= chamfer(queries, query_mask, states, mask) + 1e-9).all()
    assert torch.isfinite(prune(states, mask, method, "query")[0]).all()


def test_the_same_text_gives_the_same_vectors():
    states, mask = random_batch(dtype=torch.float32)
    assert torch.equal(prune(states, mask, "C2x5", "document")[0], prune(states, mask, "C2x5", "document")[0])


def test_k_means_plus_plus_is_drawn_from_its_generator():
    states, mask = random_batch(6, 40, 8)
    counts = mask.sum(1).clamp(max=6)
    draws = [assign_clusters(states, mask, counts, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert ((draws[0] >= 0) == mask).all()
    assert (draws[0] < counts[:, None]).all()
    same = torch.ones(1, 5, 3, dtype=torch.float64)
    assert assign_clusters(
        same, same[..., 0] > 0, torch.tensor([3]), generator=torch.Generator()
    ).unique().tolist() == [0]


def test_members_say_which_tokens_went_into_a_vector():
    states, mask = random_batch()
    for method in ("C2x3", "C25%", "K2", "T2x3", "mv"):
        pruned = prune_with_members(states, mask, method, "document")
        for text, vectors, kept, members in zip(states, pruned.vectors, pruned.mask, pruned.members, strict=True):
            for number in range(int(kept.sum())):
                assert torch.allclose(text[members == number].mean(dim=0), vectors[number])
            assert int(members.max()) + 1 == int(kept.sum())


# ── gradients ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_the_numbers(method):
    states, mask = random_batch(3, 7, 3)
    assert torch.autograd.gradcheck(
        lambda x: prune(x, mask, method, "document")[0], states.requires_grad_(), eps=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("method", ["mv", "sv", "C2x3", "C50%"])
def test_every_token_gets_a_gradient(method):
    states, mask = random_batch()
    embedding = torch.nn.Parameter(states.clone())
    vectors, kept = prune(embedding, mask, method, "document")
    (vectors[kept] ** 3).sum().backward()
    assert (embedding.grad[mask].abs().sum(1) > 0).all()
    assert (embedding.grad[~mask] == 0).all()


def test_half_precision_is_summed_in_single():
    states, mask = random_batch(2, 300, 8, dtype=torch.float32)
    exact = prune(states, mask, "C1x1", "document")[0]
    half = prune(states.half(), mask, "C1x1", "document")[0]
    assert half.dtype == torch.float16
    assert (half.float() - exact).abs().max() < 1e-3


# ── what cannot be used ──────────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_used_is_refused():
    states, mask = random_batch()
    with pytest.raises(InputError, match=r"\(texts, tokens, d\)"):
        prune(states[0], mask, "mv", "query")
    with pytest.raises(InputError, match="mask"):
        prune(states, mask[:, 1:], "mv", "query")
    with pytest.raises(InputError, match="mask"):
        prune(states, mask.long(), "mv", "query")
    with pytest.raises(InputError, match="passage"):
        prune(states, mask, "mv", "passage")
    empty = mask.clone()
    empty[2] = False
    with pytest.raises(InputError, match=r"text 'c': has no tokens"):
        prune(states, empty, "C2x3", "query", ids=["a", "b", "c", "d", "e"])
    broken = states.clone()
    broken[3, 0, 0] = float("nan")
    with pytest.raises(InputError, match=r"texts\[3\]: .*NaN"):
        prune(broken, mask, "C2x3", "query")


# ── after training ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("factor", "protected"), [(2, 1), (4, 1), (3, 0)])
def test_ward_equals_sentence_transformers(factor, protected):
    pooling = pytest.importorskip("sentence_transformers.multi_vector_encoder.modules")
    rival = pooling.HierarchicalTokenPooling(factor, num_protected_tokens=protected, normalize_embeddings=False)
    states, _ = random_batch(1, 33, 12, dtype=torch.float32)
    tokens = states[0]
    theirs = rival.pool_one(tokens).numpy()
    ours = ward(tokens.numpy(), max((len(tokens) - protected) // factor, 1), protected=protected)
    assert ours.shape == theirs.shape
    assert np.abs(ours[np.lexsort(ours.T)] - theirs[np.lexsort(theirs.T)]).max() < 1e-6


def test_ward_keeps_few_tokens_and_refuses_none():
    tokens = random_batch(1, 4, 3, dtype=torch.float32)[0][0].numpy()
    assert np.array_equal(ward(tokens, 4), tokens)
    assert np.array_equal(ward(tokens, 3, protected=1), tokens)
    with pytest.raises(InputError, match="clusters"):
        ward(tokens, 0)


@pytest.mark.parametrize("method", ["kmeans", "ward"])
def test_a_bank_is_clustered_document_by_document(tmp_path, method):
    states, mask = random_batch(7, 20, 6, dtype=torch.float32)
    with Bank.create(tmp_path / "tokens", 6, provenance={"model": "none"}) as bank:
        bank.append(states[mask].numpy(), documents=np.nonzero(mask.numpy())[0])
        bank.commit()
        clustered = cluster_posthoc(bank, "C4x8", tmp_path / "clusters", method=method)
    with clustered:
        assert np.array_equal(np.unique(clustered.documents), np.arange(7))
        for number in range(7):
            tokens = states[number][mask[number]]
            found = clustered[np.flatnonzero(clustered.documents == number)]
            expected = ward(tokens.numpy(), 8)
            if method == "kmeans":
                expected = prune(tokens[None], torch.ones(1, len(tokens), dtype=torch.bool), "C4x8", "document")[0][0]
            assert np.allclose(found, expected, atol=1e-6)
        assert clustered.provenance["posthoc"] == method
    with pytest.raises(InputError, match="Ward"):
        cluster_posthoc(clustered, "T4x8", tmp_path / "tail", method="ward")
