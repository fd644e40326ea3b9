"""Crops, the inverse cloze task and noise: their distributions, and that no view is ever empty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.errors import InputError
from sememe.objectives.cropping import (
    AUGMENTATIONS,
    augment,
    crop,
    crop_pair,
    ict_pair,
    source_probabilities,
)

WINDOW = np.arange(256)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_crops_have_the_distribution_of_the_paper():
    draws, source = 20_000, rng()
    pairs = [crop_pair(WINDOW, source) for _ in range(draws)]
    lengths = np.array([[len(a), len(b)] for a, b in pairs])
    assert (lengths.min(), lengths.max()) == (12, 127)
    assert lengths.mean() == pytest.approx(69.8, abs=0.5)
    assert abs(np.corrcoef(lengths.T)[0, 1]) < 0.02
    # Given its length, a start is uniform over the places that there are.
    places = np.array([(a[0] + 0.5) / (256 - len(a) + 1) for a, _ in pairs])
    counts, _ = np.histogram(places, 20, (0, 1))
    assert np.square(counts - draws / 20).sum() / (draws / 20) < 43.8  # chi-square, 19 degrees, p = 0.001
    starts = np.array([[a[0], b[0]] for a, b in pairs])
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.02
    overlap = np.mean([a[0] <= b[-1] and b[0] <= a[-1] for a, b in pairs])
    assert overlap == pytest.approx(0.59, abs=0.01)


def test_a_crop_is_a_part_of_the_text():
    for seed in range(50):
        part = crop(WINDOW, rng(seed))
        assert np.array_equal(part, np.arange(part[0], part[0] + len(part)))


def test_the_inverse_cloze_task_gives_a_span_and_the_rest():
    kept = 0
    for seed in range(2000):
        span, rest = ict_pair(WINDOW, rng(seed))
        if len(rest) == len(WINDOW):
            kept += 1
        else:
            assert np.array_equal(np.sort(np.concatenate([span, rest])), WINDOW)
    assert kept / 2000 == pytest.approx(0.1, abs=0.02)
    span, rest = ict_pair(WINDOW, rng(), keep=0.0)
    assert len(span) + len(rest) == 256
    span, rest = ict_pair(WINDOW, rng(), keep=1.0)
    assert np.array_equal(rest, WINDOW)


def test_the_inverse_cloze_task_cuts_whole_sentences():
    text = np.array([1, 2, 9, 3, 4, 5, 9, 6, 7])  # three sentences, two of which end with 9
    spans = {tuple(ict_pair(text, rng(seed), span="sentence", sentence_ends=np.array([9]))[0]) for seed in range(60)}
    assert spans == {(1, 2, 9), (3, 4, 5, 9), (6, 7)}
    span, _ = ict_pair(text, rng(), span="sentence", sentence_ends=np.array([77]))
    assert 1 <= len(span) <= 4  # one sentence: a random span


def test_no_noise_is_the_identity():
    for kind in AUGMENTATIONS:
        assert augment(WINDOW, rng(), kind, 0.0) is WINDOW
    assert augment(WINDOW, rng(), "none", 0.9) is WINDOW


def test_deleting_keeps_the_expected_share_in_order():
    kept = [augment(WINDOW, rng(seed), "delete", 0.1) for seed in range(400)]
    assert np.mean([len(part) for part in kept]) / 256 == pytest.approx(0.9, abs=0.005)
    assert all((np.diff(part) > 0).all() for part in kept)


def test_shuffling_keeps_the_multiset_and_moves_the_expected_share():
    tokens = rng().integers(0, 50, 256)
    shuffled = [augment(WINDOW, rng(seed), "shuffle", 0.2) for seed in range(200)]
    assert np.array_equal(np.sort(augment(tokens, rng(1), "shuffle", 0.5)), np.sort(tokens))
    assert np.mean([(part != WINDOW).mean() for part in shuffled]) == pytest.approx(0.2, abs=0.01)


def test_replacing_draws_ordinary_ids_only_and_masking_puts_the_mask():
    ordinary = np.arange(5, 30)
    tokens = np.full(1000, 2)
    replaced = augment(tokens, rng(), "replace", 0.5, ordinary_ids=ordinary)
    assert set(replaced[replaced != 2].tolist()) == set(ordinary.tolist())
    masked = augment(tokens, rng(), "mask", 0.5, mask_id=4)
    assert set(masked.tolist()) == {2, 4}
    assert (masked == 4).mean() == pytest.approx(0.5, abs=0.05)
    assert (tokens == 2).all()  # the input is not changed


def test_noise_without_what_it_needs_is_refused():
    with pytest.raises(InputError, match="mask needs a mask token"):
        augment(WINDOW, rng(), "mask", 0.1)
    with pytest.raises(InputError, match="cannot 'invert' tokens"):
        augment(WINDOW, rng(), "invert", 0.1)


@settings(max_examples=200, deadline=None)
@given(
    length=st.integers(1, 40),
    kind=st.sampled_from(AUGMENTATIONS),
    p=st.floats(0, 1),
    bounds=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)).map(sorted),
    span=st.sampled_from(["random", "sentence"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_view_is_ever_empty(length, kind, p, bounds, span, seed):
    source, tokens = rng(seed), np.arange(length)
    options = {"ordinary_ids": np.arange(9), "mask_id": 3}
    pairs = [
        crop_pair(tokens, source, *bounds),
        ict_pair(tokens, source, keep=0.0, span=span, sentence_ends=tokens[::3], rmin=bounds[0], rmax=bounds[1]),
    ]
    for view in (view for pair in pairs for view in pair):
        assert len(augment(view, source, kind, p, **options)) >= 1


def test_sources_are_drawn_by_their_size_to_a_power():
    sizes = np.array([900, 100])
    for exponent, expected in ((0, (0.5, 0.5)), (0.5, (0.75, 0.25)), (1, (0.9, 0.1))):
        np.testing.assert_allclose(source_probabilities(sizes, exponent), expected)
