"""InfoNCE against worked numbers, a written-out sum and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sememe.objectives.info_nce import accuracy, cosine_scores, dot_scores, info_nce, spread  # noqa: E402


def test_the_worked_examples():
    scores = torch.tensor([[0.8, 0.5, 0.3]], dtype=torch.float64)
    assert float(info_nce(scores, 0.05)) == pytest.approx(0.002521, abs=1e-6)
    assert float(info_nce(scores, 1.0)) == pytest.approx(0.853287, abs=1e-6)
    assert float(info_nce(torch.zeros(1, 131_073), 0.05)) == pytest.approx(11.783510, abs=1e-5)


def test_it_is_the_written_out_sum_and_masks_all_but_the_own_column():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((4, 6))
    masked = rng.random((4, 6)) < 0.4
    masked[np.arange(4), np.arange(4)] = True  # which must not count
    rows = []
    for i in range(4):
        terms = [math.exp(scores[i, j] / 0.3) for j in range(6) if j == i or not masked[i, j]]
        rows.append(-math.log(math.exp(scores[i, i] / 0.3) / sum(terms)))
    found = info_nce(torch.from_numpy(scores), 0.3, masked=torch.from_numpy(masked))
    assert float(found) == pytest.approx(np.mean(rows))
    own = torch.tensor([2, 0, 5, 1])
    rows = [
        math.log(sum(math.exp(s / 0.3) for s in scores[i])) - scores[i, o] / 0.3 for i, o in enumerate(own.tolist())
    ]
    assert float(info_nce(torch.from_numpy(scores), 0.3, own)) == pytest.approx(np.mean(rows))


def test_gradients_flow_to_both_sides():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    masked = torch.eye(5).roll(1, 0).bool()
    for scores in (dot_scores, cosine_scores):
        assert torch.autograd.gradcheck(lambda x, y, s=scores: info_nce(s(x, y), 0.2, masked=masked), (a, b))


def test_accuracy_is_the_share_of_rows_that_find_their_own():
    scores = torch.tensor([[3.0, 1, 0], [5, 1, 0], [0, 9, 1]])
    assert accuracy(scores) == pytest.approx(1 / 3)
    masked = torch.tensor([[False] * 3, [True, False, False], [False, True, False]])
    assert accuracy(scores, masked=masked) == 1.0
    assert accuracy(scores, torch.tensor([0, 0, 1])) == 1.0


def test_spread_tells_collapse_from_even_directions():
    generator = torch.Generator().manual_seed(0)
    assert spread(torch.randn(4000, 32, generator=generator)) == pytest.approx(1.0, abs=0.02)
    assert spread(torch.ones(50, 8) * torch.arange(1, 51)[:, None]) == pytest.approx(0.0, abs=1e-6)
