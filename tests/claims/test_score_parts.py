"""Taking scores apart: the parts add up, and the figures are those of their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.claims.score_parts import ScoreParts


def parts(contributions, bias=0.0, residual=0.0):
    return ScoreParts(np.array([contributions], float), np.array([bias], float), np.array([residual], float))


def covered_by_definition(contributions, bias, residual, share):
    """Try every count, showing the largest contributions; everything else is hidden."""
    score = abs(sum(contributions) + bias + residual)
    by_size = sorted(map(abs, contributions), reverse=True)
    for count in range(len(by_size) + 1):
        if sum(by_size[count:]) + abs(residual) <= (1 - share) * score * (1 + 1e-9):
            return count
    return len(by_size) + 1


NUMBERS = st.integers(-20, 20).map(float)


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=8), NUMBERS, NUMBERS, st.sampled_from([0.5, 0.8, 0.95]))
def test_parts_to_cover_is_what_trying_every_count_gives(contributions, bias, residual, share):
    found = parts(contributions, bias, residual).parts_to_cover(share)
    assert found.tolist() == [covered_by_definition(contributions, bias, residual, share)]


def test_parts_sum_to_the_inner_product():
    rng = np.random.default_rng(0)
    queries, vectors, directions = rng.normal(size=(6, 5)), rng.normal(size=(6, 5)), rng.normal(size=(9, 5))
    codes, bias = rng.normal(size=(6, 9)) * (rng.random((6, 9)) < 0.3), rng.normal(size=5)
    found = ScoreParts.of(queries, vectors, codes, directions, bias)
    np.testing.assert_allclose(found.score, (queries * vectors).sum(axis=1), rtol=1e-12)
    residual = [q @ (x - bias - directions.T @ a) for q, x, a in zip(queries, vectors, codes, strict=True)]
    np.testing.assert_allclose(found.residual, residual)


def test_a_whole_explanation_with_one_part_needs_one():
    assert parts([0.6, 0.0, 0.0], bias=0.3).parts_to_cover() == [1]
    assert parts([0.0, 0.0, 0.0], bias=0.9).parts_to_cover() == [0]


def test_a_residual_above_the_rest_is_never_covered():
    assert parts([0.5, 0.2], residual=0.3).parts_to_cover() == [3]
    assert parts([0.5, 0.2], residual=0.3).residual_share() == pytest.approx(0.3)


def test_large_cancelling_parts_improve_no_figure():
    plain = parts([0.5, 0.2, 0.1], bias=0.1, residual=0.1)
    padded = parts([0.5, 0.2, 0.1, 50.0, -50.0], bias=0.1, residual=0.1)
    assert padded.residual_share() == pytest.approx(plain.residual_share())
    assert padded.parts_to_cover()[0] == plain.parts_to_cover()[0] + 2
    assert padded.cancellation() > 100
    # The share of all absolute parts, which was not chosen, would say: fully explained by two parts.
    sizes = np.abs(padded.contributions)[0]
    assert np.sort(sizes)[-2:].sum() / (sizes.sum() + 0.2) > 0.99
