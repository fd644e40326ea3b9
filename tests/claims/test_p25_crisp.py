"""The claim on planted topics: right pruning passes, wrong pruning does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sememe.claims import pruned_tokens
from sememe.claims.claim import Setting
from sememe.claims.p25_crisp import CLAIM, PRUNINGS, planted
from sememe.claims.pruned_tokens import Ragged
from sememe.claims.running import run
from sememe.claims.token_vectors import encode_tokens_once
from sememe.models.multi_vector import TokenVectors

pytest.importorskip("torch")
ONE_SEED = replace(CLAIM, seeds={"tiny": (0,)})


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claim")
    return run(CLAIM, "tiny", work_dir=folder, results_dir=folder)


def test_the_claim_holds_on_planted_topics(result):
    assert result.holds, result.conditions
    assert result.seeds == [0, 1, 2]
    assert result.figures["mean: mv"] > 0.8
    assert set(PRUNINGS) <= {name.removeprefix("mean: ") for name in result.figures}


def test_vectors_are_counted(result):
    assert result.figures["vectors a document: sv"] == 1
    assert result.figures["vectors a document: C4x8"] <= 8
    assert 60 <= result.figures["vectors a document: mv"] <= 100
    quarter = result.figures["vectors a document: C25%"] / result.figures["vectors a document: mv"]
    assert quarter == pytest.approx(0.25, abs=0.03)


def test_clusters_that_are_only_the_last_tokens_do_not_pass(tmp_path, monkeypatch):
    right = pruned_tokens.pruned
    wrong = {"C4x8": "T4x8", "C8x32": "T8x32"}
    monkeypatch.setattr(
        pruned_tokens,
        "pruned",
        lambda texts, method, kind, by_ward: right(
            texts, method if by_ward else wrong.get(method, method), kind, by_ward
        ),
    )
    assert not run(ONE_SEED, "tiny", work_dir=tmp_path, results_dir=tmp_path).holds


def test_padding_that_counts_does_not_pass(tmp_path, monkeypatch):
    right = pruned_tokens.pruned

    def wrong(texts, method, kind, by_ward):
        kept = right(texts, method, kind, by_ward)
        if method not in ("C4x8", "C8x32") or kind == "query":
            return kept
        return [np.concatenate([part[:1], np.zeros_like(part[1:])]) for part in kept]

    monkeypatch.setattr(pruned_tokens, "pruned", wrong)
    assert not run(ONE_SEED, "tiny", work_dir=tmp_path, results_dir=tmp_path).holds


def test_planted_collections_are_their_seeds():
    first, again, other = planted(0), planted(0), planted(1)
    assert np.array_equal(first.document_tokens.vectors, again.document_tokens.vectors)
    assert not np.array_equal(first.document_tokens.vectors[:9], other.document_tokens.vectors[:9])
    assert [len(text) for text in first.query_tokens.texts(0, 3)] == np.diff(first.query_tokens.starts[:4]).tolist()


class Letters:
    name, fingerprint, dimensions = "letters", "letters-1", 2

    def __init__(self):
        self.seen = []

    def encode(self, texts, kind):
        self.seen += texts
        return [
            TokenVectors(np.array([[1.0, ord(c)] for c in text], np.float32), np.zeros((len(text), 2), np.int32))
            for text in texts
        ]


def test_token_vectors_are_encoded_once(tmp_path):
    setting, encoder, texts = Setting("tiny", tmp_path, tmp_path, tmp_path), Letters(), ["ab", "c", "def"]
    for _ in range(2):
        with encode_tokens_once(setting, encoder, texts, "document") as bank:
            ragged = Ragged.of_bank(bank)
            assert [text[:, 1].tolist() for text in ragged.texts(0, 3)] == [[97, 98], [99], [100, 101, 102]]
            assert ragged.texts(1, 2)[0].shape == (1, 2)
    assert encoder.seen == texts
    encode_tokens_once(setting, encoder, texts, "query").close()
    assert encoder.seen == texts * 2
