"""The Chamfer score against hand-computed numbers, a loop and sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.multi_vector.maxsim import exact_score, exact_shares, score_documents
from sememe.search.multi_vector import chamfer

torch = pytest.importorskip("torch")


def texts(*rows):
    """Texts of different lengths, padded with NaN, which no result may see."""
    longest, d = max(map(len, rows)), len(rows[0][0])
    vectors = torch.full((len(rows), longest, d), float("nan"), dtype=torch.float64)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for number, row in enumerate(rows):
        vectors[number, : len(row)] = torch.tensor(row, dtype=torch.float64)
        mask[number, : len(row)] = True
    return torch.nan_to_num(vectors), mask


Q = [[1, 0], [0.6, 0.8]]
D = [[0.8, 0.6], [0, 1], [-1, 0]]


@pytest.mark.parametrize(
    ("query", "document", "expected"),
    [(Q, D, 1.76), (D, Q, 1.16), ([Q[0], *Q], D, 2.56), ([[0.6, 0.8]], [[-1, 0], [0, -1]], -0.6)],
    ids=["score", "not symmetric", "repeated query vectors count twice", "negative"],
)
def test_scores_by_hand(query, document, expected):
    others = texts(query, [[0.0, 1.0]] * 5), texts(document, [[1.0, 0.0]] * 6)  # longer neighbours make padding
    assert float(chamfer(*others[0], *others[1])[0, 0]) == pytest.approx(expected, abs=1e-12)
    winners, shares = exact_shares(np.array(query), np.array(document))
    assert exact_score(shares) == pytest.approx(expected, abs=1e-12)
    assert len(winners) == len(query)


def test_shares_by_hand():
    winners, shares = exact_shares(np.array(Q), np.array(D))
    assert winners.tolist() == [0, 0]
    assert shares == pytest.approx([0.8, 0.96])


def ragged(n, longest, d=8, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, longest + 1, n)
    vectors = rng.standard_normal((counts.sum(), d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, np.cumsum(counts) - counts, counts


def loop(queries, query_counts, documents, counts):
    split = lambda vectors, sizes: np.split(vectors.astype(np.float64), np.cumsum(sizes)[:-1])  # noqa: E731
    return np.array(
        [[(q @ x.T).max(axis=1).sum() for x in split(documents, counts)] for q in split(queries, query_counts)]
    )


@pytest.mark.parametrize("held", [1, 50, 1 << 20])
def test_blocks_equal_a_loop(held):
    queries, query_starts, query_counts = ragged(7, 5, seed=1)
    documents, starts, counts = ragged(23, 9, seed=2)
    expected = loop(queries, query_counts, documents, counts)
    scores = score_documents(queries, query_starts, documents, starts, held)
    assert np.abs(scores - expected).max() < 1e-5
    padded_q, padded_d = (
        texts(*(part.tolist() for part in np.split(vectors, np.cumsum(sizes)[:-1])))
        for vectors, sizes in ((queries, query_counts), (documents, counts))
    )
    assert np.abs(chamfer(*padded_q, *padded_d, max_similarities=held).numpy() - expected).max() < 1e-6


def test_blocks_have_the_same_gradient():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    documents = torch.randn(6, 7, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    masks = torch.rand(3, 4, generator=generator) > 0.3, torch.rand(6, 7, generator=generator) > 0.3
    masks[1][:, 0] = True
    weights = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    gradients = []
    for held in (1, 1 << 20):
        score = (chamfer(queries, masks[0], documents, masks[1], max_similarities=held) * weights).sum()
        gradients.append(torch.autograd.grad(score, [queries, documents]))
    for blocked, whole in zip(*gradients, strict=True):
        assert torch.allclose(blocked, whole)
    assert torch.autograd.gradcheck(lambda q, x: chamfer(q, masks[0], x, masks[1]), [queries, documents])


def test_equals_sentence_transformers():
    similarity = pytest.importorskip("sentence_transformers.util.similarity")
    queries, _, query_counts = ragged(4, 6, seed=3)
    documents, _, counts = ragged(9, 12, seed=4)
    theirs = similarity.maxsim(
        list(np.split(queries, np.cumsum(query_counts)[:-1])), list(np.split(documents, np.cumsum(counts)[:-1]))
    )
    starts = np.cumsum(query_counts) - query_counts
    ours = score_documents(queries, starts, documents, np.cumsum(counts) - counts)
    assert np.abs(ours - theirs.numpy()).max() < 1e-5


def test_order_of_tokens_changes_nothing():
    documents, starts, _ = ragged(1, 30, seed=5)
    queries, _, _ = ragged(1, 9, seed=6)
    order, query_order = np.random.default_rng(0).permutation(len(documents)), np.arange(len(queries))[::-1]
    _, shares = exact_shares(queries, documents)
    _, moved = exact_shares(queries[query_order], documents[order])
    assert exact_score(shares) == exact_score(moved)
    assert starts.tolist() == [0]


def test_what_cannot_be_used_is_refused():
    vectors, mask = texts(Q, D)
    with pytest.raises(InputError, match="queries"):
        chamfer(vectors[0], mask, vectors, mask)
    with pytest.raises(InputError, match="documents"):
        chamfer(vectors, mask, vectors, mask[:, 1:])
    with pytest.raises(InputError, match="dimensions"):
        chamfer(vectors, mask, vectors[..., :1], mask)
    empty = mask.clone()
    empty[1] = False
    with pytest.raises(InputError, match=r"documents\[1\]: has no vectors"):
        chamfer(vectors, mask, vectors, empty)
    assert chamfer(vectors, empty, vectors, mask)[1].tolist() == [0.0, 0.0]
