"""RM3 against a computation by hand, and its edges."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.lexical.bm25 import Lexical
from sememe.search.expansion import RM3, score_words

TEXTS = ["wing wing drag lift", "wing stall flutter flutter", "heat flow", "flow heat flow", "rivet", "bolt"]


@pytest.fixture
def lexical():
    return Lexical.fit(TEXTS, "none")


def text(item: int) -> str:
    return TEXTS[item]


def test_the_expanded_query_by_hand(lexical):
    """Two documents hold `wing`. P(w|feedback) = sum over both of share x score, the best two words kept."""
    scores = lexical.score("wing")
    s0, s1 = float(scores[0]), float(scores[1])
    assert s0 > s1 > 0
    assert (scores[2:] == 0).all()
    # Of each document the two most frequent words are read, ties in the order of the alphabet: wing and drag (counts
    # 2 and 1 of 3), flutter and stall (2 and 1 of 3).
    read = {"wing": 2 / 3 * s0, "drag": 1 / 3 * s0, "flutter": 2 / 3 * s1, "stall": 1 / 3 * s1}
    kept = sorted(read, key=lambda word: -read[word])[:2]
    assert kept == ["wing", "flutter"]
    total = sum(read[word] for word in kept)
    expected = {"wing": 0.3 + 0.7 * read["wing"] / total, "flutter": 0.7 * read["flutter"] / total}
    found = RM3(n_words=2, original_weight=0.3, max_share=1.0).expand(lexical, "wing", text)
    assert list(found) == ["wing", "flutter"]
    assert found == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(1.0)


def test_all_words_of_a_document_when_none_are_pruned(lexical):
    scores = lexical.score("wing")
    s0, s1 = float(scores[0]), float(scores[1])
    read = {"wing": s0 / 2 + s1 / 4, "flutter": s1 / 2, "drag": s0 / 4, "lift": s0 / 4, "stall": s1 / 4}
    expected = {word: 0.5 * weight / (s0 + s1) for word, weight in read.items()}
    expected["wing"] += 0.5
    assert RM3(max_share=1.0).expand(lexical, "wing", text) == pytest.approx(expected)


def test_only_the_best_documents_are_read(lexical):
    found = RM3(n_documents=1, max_share=1.0).expand(lexical, "wing", text)
    assert set(found) == {"wing", "drag", "lift"}
    excluding = np.arange(len(TEXTS)) != 0
    found = RM3(max_share=1.0).expand(lexical, "wing", text, allowed=excluding)
    assert set(found) == {"wing", "stall", "flutter"}


def test_common_and_odd_words_are_not_added(lexical):
    """`wing` is in 2 of 6 documents: above 0.2 it is not added, but the query keeps it."""
    found = RM3(max_share=0.2).expand(lexical, "wing", text)
    assert found["wing"] == 0.5
    assert set(found) == {"wing", "drag", "lift", "stall", "flutter"}
    assert RM3().expand(lexical, "wing", text) == {"wing": 1.0}  # every word is in more than a tenth of six documents
    odd = [f"{'x' * 21} a bb cat", "dog", "cow"]
    found = RM3(max_share=1.0).expand(Lexical.fit(odd, "none"), "cat", odd.__getitem__)
    assert set(found) == {"bb", "cat"}


def test_a_weight_of_one_is_the_plain_ranking(lexical):
    scores = RM3(original_weight=1.0, max_share=1.0).score(lexical, "wing flow flow", text)
    plain = lexical.score("wing flow flow")
    np.testing.assert_allclose(scores * 3, plain, rtol=1e-5)


def test_expansion_finds_what_the_query_does_not_name(lexical):
    assert lexical.score("drag")[1] == 0
    assert RM3(max_share=1.0).score(lexical, "drag", text)[1] > 0  # through `wing`


def test_scores_are_weighted_sums_of_bm25(lexical):
    weights = {"wing": 0.5, "heat": 2.0, "unknown": 9.0}
    expected = 0.5 * lexical.score("wing") + 2.0 * lexical.score("heat")
    np.testing.assert_allclose(score_words(lexical, weights), expected, rtol=1e-6)


def test_a_query_that_matches_nothing_stays(lexical):
    assert RM3().expand(lexical, "xyz xyz abc", text) == pytest.approx({"xyz": 2 / 3, "abc": 1 / 3})
    assert not RM3().score(lexical, "xyz", text).any()
    assert RM3().expand(lexical, "", text) == {}
    assert RM3().score(Lexical.fit([], "none"), "wing", text).shape == (0,)


def test_settings_out_of_range_are_refused_together():
    with pytest.raises(
        InputError, match=r"n_documents must be at least 1, not 0; .*original_weight must be from 0 to 1"
    ):
        RM3(n_documents=0, original_weight=1.5)
