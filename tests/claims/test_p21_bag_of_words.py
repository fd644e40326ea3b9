"""The claim on word order at its smallest, and encoders that must not pass."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from sememe.claims import p21_bag_of_words
from sememe.claims.caption_pairs import made_captions, sample_by_kind, sugarcrepe
from sememe.claims.p21_bag_of_words import CLAIM, REFERENCE
from sememe.claims.running import run


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run(CLAIM, "tiny", work_dir=tmp_path_factory.mktemp("p21"), results_dir=tmp_path_factory.mktemp("results"))


def test_it_holds_on_made_captions(result):
    assert result.holds, result.conditions
    assert result.figures["bag of words: captions, swap_obj"] == 0.5
    assert result.by_seed["oracle: converse"] == [1.0, 1.0]


def test_argmax_without_ties_is_caught(result):
    """A bag of words scored by argmax gets 0 where it should split ties."""
    number = next(n for n, condition in enumerate(CLAIM.threshold) if condition.text.startswith("a bag of words"))
    assert not CLAIM.threshold[number].holds({**result.by_seed, "bag of words: attribute": [0.0, 0.0]})
    assert not CLAIM.threshold[number].holds({**result.by_seed, "oracle: converse": [0.9, 1.0]})


def test_the_conditions_on_minilm_can_fail(result):
    figures = {
        **result.by_seed,
        "MiniLM: converse": [0.01],
        "MiniLM: attribute": [0.77],
        **{f"MiniLM: cosine to its {kind}": [value] for kind, value in REFERENCE.items()},
        **{f"MiniLM: {kind} nearer than any other": [0.99] for kind in REFERENCE},
        "MiniLM: captions, swap_obj": [0.6],
        "MiniLM: captions, replace_obj": [0.9],
    }
    held = [condition.holds(figures) for condition in CLAIM.threshold]
    assert all(held)
    for place, changed in enumerate(
        (
            {"MiniLM: converse": [0.5]},
            {"MiniLM: attribute": [0.5]},
            {"MiniLM: cosine to its swaps": [0.7]},
            {"MiniLM: trigrams nearer than any other": [0.5]},
            {"MiniLM: captions, swap_obj": [0.9]},
        )
    ):
        assert not CLAIM.threshold[place].holds({**figures, **changed})


def test_sugarcrepe_pairs_ask_with_other_captions_of_the_image(tmp_path):
    rows = [
        {"category": "swap_att", "image": "1", "caption": "A red dog.", "negative": "A dog red."},
        {"category": "add_obj", "image": "1", "caption": "a red dog", "negative": "a red dog and a cat"},
        {"category": "add_obj", "image": "1", "caption": "one dog", "negative": "one cat"},
        {"category": "add_obj", "image": "2", "caption": "alone", "negative": "not alone"},
    ]
    with gzip.open(tmp_path / "pairs.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    pairs = sugarcrepe(tmp_path)
    assert [pair.queries for pair in pairs] == [("one dog",), ("one dog",), ("A red dog.",)]
    assert len(list(sample_by_kind(pairs, 1, 0))) == 2


def test_made_captions_differ_only_in_order():
    for pair in made_captions(20, 0):
        assert sorted(pair.true.split()) == sorted(pair.false.split())
        assert pair.true != pair.false


@pytest.mark.slow
def test_minilm_is_nearly_a_bag_of_words(minilm):
    from sememe.probes.swap_templates import attribute_cases, converse_cases
    from sememe.probes.word_order import swap_test

    assert swap_test(minilm.encode, converse_cases(200)).accuracy <= 0.05
    assert 0.65 <= swap_test(minilm.encode, attribute_cases(200)).accuracy <= 0.9
    assert np.isfinite(p21_bag_of_words._random(["a"])).all()
