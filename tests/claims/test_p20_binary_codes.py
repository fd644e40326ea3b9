"""The claim about binary codes: its tiny run, that its conditions can fail, and the parts it is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from sememe.claims import topic_retrieval
from sememe.claims.latent_semantics import LatentSemantics
from sememe.claims.p20_binary_codes import CLAIM
from sememe.claims.running import run
from sememe.claims.topic_retrieval import Topics, by_cosine, by_hamming, unit
from sememe.claims.topic_texts import planted_news


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("p20")
    return run(replace(CLAIM, seeds={"tiny": (0,)}), "tiny", work_dir=folder / "work", results_dir=folder)


@pytest.fixture(scope="module")
def texts():
    return planted_news(120, 30, 40, 5)


def test_on_made_texts_learned_bits_beat_signs(result):
    held = dict(zip([condition.text for condition in CLAIM.threshold], result.conditions.values(), strict=True))
    assert len(held) == len(CLAIM.threshold) == 6
    assert list(held.values())[:2] == [True, True]
    figures = result.figures
    assert figures["binary 32: MAP"] > 0.3  # a random order gives a quarter
    assert figures["binary 32: dead bits"] == 0
    assert 25 < figures["binary 32: bits used (entropy)"] <= 32
    assert figures["real-binary 28, nearest 200, then cosine: NDCG@10"] > 0.5
    balls = [figures[f"real-binary 28, radius {radius}: documents"] for radius in (1, 2, 3, 5)]
    assert balls == sorted(balls)
    assert figures["binary 32: MAP, greatest minus least of these"] < 0.02
    # These texts are what LSI models: the figures say so.
    assert figures["LSI + ITQ 32: MAP"] > figures["binary 32: MAP"]


def test_every_condition_can_hold_and_can_fail(result):
    best = {"binary 32": 0.5, "real-binary 28": 0.6, "binary 32, learned elsewhere": 0.4}
    good = {name: [best.get(name.split(": ")[0], 0.3)] for name in result.figures}
    assert all(condition.holds(good) for condition in CLAIM.threshold)
    for name in result.figures:
        if name.startswith("sign of real 32: MAP"):
            assert not CLAIM.threshold[0].holds({**good, name: [0.481]})
            assert CLAIM.threshold[0].holds({**good, name: [0.479]})
    bad = {name: [0.6 - best.get(name.split(": ")[0], 0.3)] for name in result.figures}
    assert not any(condition.holds(bad) for condition in CLAIM.threshold)


def test_average_precision_and_ndcg_of_a_worked_case():
    topics = Topics(np.array([1, 0, 1, 0, 1]), np.array([1]))
    found = topics.measure([(np.arange(5), np.array([5.0, 4, 3, 2, 1]))])
    assert found["MAP"] == pytest.approx(0.755556, abs=1e-6)
    assert found["NDCG@10"] == pytest.approx(0.885460, abs=1e-6)


def test_ties_go_by_row_or_in_a_random_order_and_never_by_topic():
    rng = np.random.default_rng(0)
    topics = Topics(rng.integers(2, size=200), np.array([0, 1]))
    codes = rng.integers(0, 2, (200, 1), np.uint8)  # two distances for all
    rows = np.arange(200)
    by_row = [(rows, (codes[:, 0] == bit) - rows / 1000) for bit in (0, 1)]
    ranked = list(by_hamming(np.array([[0], [1]], np.uint8), codes))
    assert topics.measure(ranked) == topics.measure(by_row)
    assert topics.measure(ranked) != topics.shuffled(0).measure(ranked)
    assert topics.shuffled(0).measure(by_row) == topics.measure(by_row)  # without ties the order is nothing
    shuffled = [topics.shuffled(seed).measure(ranked)["MAP"] for seed in range(20)]
    assert np.mean(shuffled) == pytest.approx(0.5, abs=0.05)


def test_pieces_of_queries_are_averaged_as_a_whole(monkeypatch):
    rng = np.random.default_rng(1)
    topics = Topics(rng.integers(3, size=50), rng.integers(3, size=7))
    ranked = list(by_cosine(rng.standard_normal((7, 4)), rng.standard_normal((50, 4))))
    whole = topics.measure(ranked)
    monkeypatch.setattr(topic_retrieval, "QUERIES_AT_ONCE", 3)
    assert topics.measure(ranked) == pytest.approx(whole)
    # What is not retrieved counts as not found.
    assert topics.measure([(rows[:5], scores[:5]) for rows, scores in ranked])["MAP"] < whole["MAP"]


def test_latent_semantics_are_those_of_scikit_learn(texts):
    ours = LatentSemantics(texts.documents, 8)
    theirs = TfidfVectorizer(vocabulary={word: i for i, word in enumerate(ours.vocabulary.words)})
    expected = theirs.fit_transform(texts.documents)
    np.testing.assert_allclose(ours.tf_idf(texts.queries).toarray(), theirs.transform(texts.queries).toarray())
    svd = TruncatedSVD(8, algorithm="arpack", random_state=0).fit(expected)
    cosines = unit(svd.transform(expected)[:, :5])
    found = ours.vectors(texts.documents, 5)
    np.testing.assert_allclose(found @ found.T, cosines @ cosines.T, atol=1e-5)


def test_made_texts_are_seeded_and_the_validation_split_keeps_queries_out(texts):
    again = planted_news(120, 30, 40, 5)
    assert again.documents == texts.documents
    assert again.foreign == texts.foreign
    split = texts.validation(20, 0)
    assert (len(split.documents), len(split.queries)) == (100, 20)
    assert sorted([*split.documents, *split.queries]) == sorted(texts.documents)
    where = dict(zip(texts.documents, texts.document_topics, strict=True))
    assert [where[text] for text in split.queries] == split.query_topics.tolist()
