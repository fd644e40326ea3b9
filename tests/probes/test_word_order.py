"""Perturbations against the specification's cases, and encoders whose scores are known."""

from __future__ import annotations

import zlib
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from sememe.errors import InputError, MissingExtraError, ModelError
from sememe.probes.perturb import Perturber, pre_caption, swap_words, trigrams
from sememe.probes.swap_templates import CONVERSES, NOUNS, SwapCase, attribute_cases, converse_cases
from sememe.probes.tagging import load_tagger, tag_by_lexicon, words_of
from sememe.probes.word_order import BagOfWords, order_test, preference, sensitivity, swap_test

TEXT = "A tall man, riding a brown horse, slowly looks at a small white dog in the park."
BAG = BagOfWords().encode
OTHERS = ["Two cats sleep on a red sofa.", "A girl throws a blue ball over the old fence.", TEXT]


def random_encoder(texts):
    return np.stack([np.random.default_rng(zlib.crc32(text.encode())).standard_normal(32) for text in texts])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('A  "big"  dog (brown) runs; fast!', "a big dog brown runs fast"),
        ("It's a #1 place: the *best* ~ ever", "it's a 1 place the best ever"),
        ("A man, riding a horse.", "a man, riding a horse"),
        ("w " * 40, " ".join(["w"] * 30)),
    ],
)
def test_captions_are_prepared_as_the_paper_does(text, expected):
    assert pre_caption(text) == expected


def test_trigrams():
    assert trigrams(["a", "b", "c", "d", "e", "f", "g"]) == [["a", "b", "c"], ["d", "e", "f"], ["g"]]


def test_tags_of_a_caption():
    tags = dict(zip(words_of(TEXT), tag_by_lexicon(words_of(TEXT)), strict=True))
    assert [tags[word] for word in ("man", "horse", "dog", "park")] == ["NOUN"] * 4
    assert [tags[word] for word in ("tall", "brown", "small", "white")] == ["ADJ"] * 4
    assert (tags["riding"], tags["looks"], tags["slowly"], tags[","], tags["in"]) == (
        "VERB", "VERB", "ADV", "OTHER", "OTHER"
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_perturbations_keep_the_words_and_the_places_that_they_must(seed):
    perturber = Perturber("lexicon", seed)
    words, tags = words_of(TEXT), tag_by_lexicon(words_of(TEXT))
    out = {kind: perturb(TEXT).split(" ") for kind, perturb in perturber.kinds.items()}
    for perturbed in out.values():
        assert Counter(perturbed) == Counter(words)
    content = [tag in ("NOUN", "ADJ") for tag in tags]
    for place, (word, is_content) in enumerate(zip(words, content, strict=True)):
        kept = "all but nouns and adjectives" if is_content else "nouns and adjectives"
        assert out[kept][place] == word
    for group, before in zip(trigrams(out["within trigrams"]), trigrams(words), strict=True):
        assert Counter(group) == Counter(before)
    groups = Counter(map(tuple, trigrams(words)))
    whole = [tuple(group) for group in trigrams(words) if len(group) == 3]
    joined = " ".join(out["trigrams"])
    assert all(" ".join(group) in joined for group in whole)
    assert sum(groups.values()) == len(trigrams(words))


def test_the_same_seed_gives_the_same_texts_and_change_is_seen():
    for kind in Perturber("lexicon").kinds:
        assert Perturber("lexicon", 3).kinds[kind](TEXT) == Perturber("lexicon", 3).kinds[kind](TEXT)
    assert not Perturber.changed("a  dog", "a dog")
    assert Perturber.changed("a dog", "dog a")
    assert sorted(Perturber("lexicon", 1).all_words("a b c").split()) == ["a", "b", "c"]


def test_swaps_are_never_the_text_and_twice_restore_it():
    perturber = Perturber("lexicon")
    source = " ".join(words_of(TEXT))
    swaps = perturber.negatives(TEXT, most=50)
    assert len(swaps) == len(set(swaps)) > 5
    assert source not in swaps
    words = words_of(TEXT)
    assert swap_words(swap_words(words, 2, 6).split(" "), 2, 6) == source
    assert perturber.negatives("a dog and a dog") == []
    assert len(perturber.negatives(TEXT)) == 5
    with pytest.raises(InputError, match="no kind of swap 'pronoun'"):
        perturber.negatives(TEXT, ("pronoun",))


def test_a_tagger_that_is_not_there_is_refused():
    assert load_tagger("lexicon")[0] == "lexicon"
    with pytest.raises(InputError, match="no tagger 'brill'"):
        load_tagger("brill")
    if load_tagger()[0] == "lexicon":
        with pytest.raises(MissingExtraError, match="en_core_web_sm"):
            load_tagger("spacy")


def test_a_bag_of_words_scores_what_it_must():
    assert swap_test(BAG, converse_cases(400)).accuracy == 0
    attribute = swap_test(BAG, attribute_cases(400))
    assert (attribute.accuracy, attribute.ties) == (0.5, 1.0)
    found = order_test(BAG, [(text, text) for text in OTHERS], Perturber("lexicon"))
    assert found.p_at_1 == pytest.approx(found.chance)
    assert set(found.pairwise.values()) == {0.5}
    moved = sensitivity(BAG, OTHERS, Perturber("lexicon"))
    assert all(value == pytest.approx(1.0) for value in moved.cosine.values())
    assert set(moved.nearer.values()) == {1.0}
    assert moved.n_swaps > 3


def test_one_that_ignores_the_words_guesses_and_one_that_understands_is_right():
    assert abs(swap_test(random_encoder, converse_cases()).accuracy - 0.5) < 0.06

    def understands(texts):
        said = []
        for text in texts:
            for one, other in CONVERSES:
                if f" {one} the " in text:
                    said.append(text)
                elif f" {other} the " in text:
                    b, a = text.removeprefix("the ").split(f" {other} the ")
                    said.append(f"the {a} {one} the {b}")
        return random_encoder(said)

    found = swap_test(understands, converse_cases())
    assert found.accuracy == found.macro == 1
    assert len(found.by_kind) == 12
    assert swap_test(lambda texts: 1e9 * understands(texts), converse_cases(50)).accuracy == 1


def test_an_order_aware_encoder_finds_the_true_text():
    def pairs_of_words(texts):
        vectors = np.zeros((len(texts), 4096))
        for row, text in enumerate(texts):
            words = text.replace(",", " ,").split()
            for pair in pairwise(words):
                vectors[row, zlib.crc32(" ".join(pair).encode()) % 4096] += 1
        return vectors

    found = order_test(pairs_of_words, [(" ".join(words_of(text)), text) for text in OTHERS], Perturber("lexicon"))
    assert found.p_at_1 == 1
    assert found.interval[1] == pytest.approx(1)


def test_ties_are_split_and_kinds_are_averaged():
    found = preference(np.array([1.0, 0.5, 0.2, 0.9]), np.array([0.5, 0.5 + 1e-6, 0.4, 0.1]), ["a", "a", "b", "a"])
    assert found.accuracy == pytest.approx(2.5 / 4)
    assert found.by_kind == {"a": pytest.approx(2.5 / 3), "b": 0.0}
    assert found.macro == pytest.approx(2.5 / 6)
    assert found.ties == 0.25


def test_unchanged_options_are_dropped_and_short_texts_skipped():
    found = order_test(BAG, [("dogs", "dogs run"), ("one", "one")], Perturber("lexicon"))
    assert (found.n, found.skipped) == (1, 1)
    assert found.unchanged["nouns and adjectives"] == 1  # one noun
    assert "nouns and adjectives" not in found.pairwise
    assert found.chance > 0.2


def test_cases_are_drawn_without_repeats_from_all():
    assert len(converse_cases(10**6)) == 12 * len(NOUNS) * (len(NOUNS) - 1)
    assert len({case.reference for case in converse_cases(500)}) == 500
    assert converse_cases(50, 1) == converse_cases(50, 1) != converse_cases(50, 2)
    case = attribute_cases(1)[0]
    assert sorted(case.true.split()) == sorted(case.false.split())
    with pytest.raises(InputError, match="0 cases"):
        converse_cases(0)


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match="no cases"):
        swap_test(BAG, [])
    with pytest.raises(ModelError, match="finite"):
        swap_test(lambda texts: np.full((len(texts), 2), np.nan), converse_cases(2))
    with pytest.raises(ModelError, match=r"\(1, 2\) for 3 texts"):
        swap_test(lambda texts: np.ones((1, 2)), [SwapCase("k", "a b", "b a", "c d")])
    with pytest.raises(InputError, match="two words"):
        order_test(BAG, [("a", "a")], Perturber("lexicon"))
    with pytest.raises(InputError, match="two different texts"):
        sensitivity(BAG, ["a dog", "A dog."], Perturber("lexicon"))
    with pytest.raises(ModelError, match="not a number"):
        preference(np.array([np.nan]), np.array([0.0]), ["k"])
