"""The feed's claim on made papers: it holds, and wrong rankings and wrong senders are found out."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.claims import feed_digests, feed_rivals
from sememe.claims.feed import CLAIM
from sememe.claims.feed_digests import MAILBOX, kill_digests
from sememe.claims.feed_planted import planted_field
from sememe.claims.feed_readers import Reader, readers, serve
from sememe.claims.feed_similar import Alike, features_of, similar_figures
from sememe.claims.running import run
from sememe.lexical.bm25 import Lexical
from sememe.papers import PaperStore


@pytest.fixture(scope="module")
def field():
    return planted_field()[0]


def test_the_claim_holds_on_made_papers(tmp_path):
    result = run(CLAIM, "tiny", work_dir=tmp_path / "work", results_dir=tmp_path)
    assert result.holds, result.conditions
    assert result.figures["digests: trials"] == 4


def test_a_ranking_that_learned_nothing_does_not_pass(tmp_path, monkeypatch):
    learn = feed_rivals.learn
    monkeypatch.setattr(feed_rivals, "learn", lambda features, liked, disliked: learn(features, disliked, liked))
    result = run(CLAIM, "tiny", work_dir=tmp_path / "work", results_dir=tmp_path)
    assert [held for text, held in result.conditions.items() if "svm" in text] == [False, False]


def test_readers_mark_early_papers_only_and_categories_are_apart(field):
    assert not set(field.development) & set(field.held_out)
    assert set(field.early) | set(field.late) == set(range(len(field.features)))
    assert field.days[field.early].max() < field.days[field.late].min()
    for reader in readers(field, field.held_out, 2, 0):
        liked, disliked = field.features.rows(reader.liked), field.features.rows(reader.disliked)
        assert (len(set(liked)), len(set(disliked))) == (5, 3)
        assert field.members[reader.category][liked].all()
        assert not field.members[reader.category][disliked].any()
        assert set(liked) | set(disliked) <= set(field.early)


def test_how_well_a_ranking_serves(field):
    category = field.held_out[0]
    reader = Reader(category, (), ())
    member = field.members[category].astype(float)
    assert serve(field, reader, lambda _: member) == {"ndcg@20": 1.0, "map": 1.0}
    n, relevant = len(field.late), int(member[field.late].sum())
    worst = np.arange(n - relevant + 1, n + 1)
    assert serve(field, reader, lambda _: -member)["ndcg@20"] == 0.0
    assert serve(field, reader, lambda _: -member)["map"] == pytest.approx(np.mean(np.arange(1, relevant + 1) / worst))


def test_a_sender_that_writes_down_what_it_sent_afterwards_is_found_out(tmp_path, monkeypatch):
    def careless(folder, address, ids, rng, step):
        with PaperStore.open(folder) as store:
            known = {id for digest in store.sent(address) for id in digest.papers}
            todo = [id for id in ids if id not in known]
            while todo:
                batch, todo = todo[:5], todo[5:]
                step()
                feed_digests.hand_over(folder, address, batch)
                step()
                digest = f"{rng.getrandbits(64):016x}"
                store.claim_for_sending(address, batch, digest)
                step()
                store.finish_sending(digest, ok=True)
            while True:
                step()

    monkeypatch.setattr(feed_digests, "send_digests", careless)
    assert kill_digests(tmp_path, 10, 0).twice > 0


def test_killed_digests_are_counted(tmp_path):
    killed = kill_digests(tmp_path, 5, 1)
    lines = (tmp_path / MAILBOX).read_text().splitlines()
    assert killed.mails == len(lines) == len(set(lines))
    assert (killed.twice, killed.said_sent) == (0, 0)
    assert killed.lost <= 5 * killed.in_the_middle


def test_similar_papers_are_judged_by_what_they_share():
    rng = np.random.default_rng(0)
    topic = np.repeat(np.arange(6), 12)
    texts = [f"topic{t} " + " ".join(f"w{t}{w}" for w in rng.integers(0, 4, 6)) for t in topic]
    vectors = np.eye(6, dtype=np.float32)[topic] + 0.01 * rng.standard_normal((72, 6)).astype(np.float32)
    lexical = Lexical.fit(texts, "none")

    class OneAtomEach:
        @staticmethod
        def transform(X):
            from scipy.sparse import csr_matrix

            return csr_matrix(np.where(X > 0.5, X, 0))

    features = features_of([str(n) for n in range(72)], vectors, lexical)
    alike = Alike.of("made", features, lexical, [frozenset({str(t)}) for t in topic], OneAtomEach())
    figures = similar_figures(alike, 20, 0)
    for way in ("hybrid", "dense", "words", "bm25", "atoms only"):
        assert figures[f"similar, made: {way}: ndcg@10"] == 1.0
    shuffled = Alike.of("made", features, lexical, [frozenset({str(t)}) for t in rng.permutation(topic)], OneAtomEach())
    assert similar_figures(shuffled, 20, 0)["similar, made: dense: ndcg@10"] < 0.4
