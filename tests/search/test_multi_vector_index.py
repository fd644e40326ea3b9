"""The index of several vectors a text: search equals brute force, changes are durable, shares add up."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults import ERRORS, KILLS, contents, count_points, fault, killed_at, leftovers
from hash_encoder import HashEncoder, HashTokens
from sememe import Document, Index
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError, LockedError, ModelError
from sememe.models.multi_vector import TokenVectors
from sememe.search.multi_vector import MultiVectorIndex
from sememe.search.multi_vector.explaining import SPECIAL, Match, MaxSimExplanation, words_of
from sememe.search.multi_vector.lists import Lists

pytest.importorskip("torch")
WORDS = ["red", "green", "blue", "cat", "dog", "bird", "runs", "sleeps", "flies", "over", "under", "big", "house"]
QUERIES = ["red cat", "the big house", "bird flies over a dog", "nothing known"]


def make_documents(n: int, seed: int = 0, prefix: str = "d", longest: int = 12) -> list[Document]:
    rng = random.Random(seed)
    return [
        Document(
            f"{prefix}{i}",
            " ".join(rng.choices(WORDS, k=rng.randint(0, longest))),
            title=rng.choice(["", "Title " + rng.choice(WORDS)]),
            metadata={"year": 2000 + i},
        )
        for i in range(n)
    ]


def build(path, documents=None, **options) -> MultiVectorIndex:
    documents = make_documents(60) if documents is None else documents
    return MultiVectorIndex.build(documents, HashTokens(), path, **options)


@pytest.fixture
def index(tmp_path):
    with build(tmp_path / "i") as built:
        yield built


def answers(index, query: str, k: int = 100) -> list[tuple[str, float]]:
    return [(hit.document.id, hit.score) for hit in index.search(query, k)]


def brute_force(index, query) -> list[tuple[str, float]]:
    """From the vectors that the bank holds, one document after another."""
    vectors, _ = index._query(query)
    found = []
    for document_id in index.ids():
        rows = index.bank[index._generation.rows(index._by_id()[document_id])].astype(np.float64)
        found.append((document_id, (vectors.astype(np.float64) @ rows.T).max(axis=1).sum()))
    return sorted(found, key=lambda pair: (-round(pair[1], 12), index._by_id()[pair[0]]))


@pytest.mark.parametrize("pruning", ["mv", "sv", "T2x3", "K2", "C2x3", "C50%"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_search_equals_brute_force(tmp_path, pruning, dtype):
    with build(tmp_path / "i", pruning=pruning, dtype=dtype) as index:
        for query in QUERIES:
            expected = brute_force(index, query)[:10]
            found = index.search(query, 10)
            assert [hit.document.id for hit in found] == [document_id for document_id, _ in expected]
            assert [hit.score for hit in found] == pytest.approx([score for _, score in expected], abs=1e-9)
            assert [hit.rank for hit in found] == list(range(1, 11))


def test_vectors_are_those_of_the_encoder(tmp_path):
    documents = make_documents(60)
    with build(tmp_path / "i", dtype="float32") as index:
        records = HashTokens().encode([document.content for document in documents], "document")
        assert np.allclose(index.bank[:], np.concatenate([record.vectors for record in records]), atol=1e-7)
        expected = np.repeat(np.arange(60), [len(record.vectors) for record in records])
        assert np.array_equal(index.bank.documents, expected)
        assert index.info()["tokens"] == index.info()["vectors"] == len(expected)


def test_a_query_may_be_its_vectors(index):
    record = HashTokens().encode(["red cat"], "query")[0]
    assert [(hit.document.id, hit.score) for hit in index.search(record.vectors, 100)] == answers(index, "red cat")


def test_the_batch_ranks_as_the_search(index):
    for query, ranking in zip(QUERIES, index.rank_batch(QUERIES, 7), strict=True):
        found = index.search(query, 7)
        assert list(ranking) == [hit.document.id for hit in found]
        assert list(ranking.values()) == pytest.approx([hit.score for hit in found], abs=1e-5)


# ── explanations ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pruning", ["mv", "sv", "T2x3", "K2", "C2x3", "C25%"])
def test_shares_sum_to_the_score_exactly(tmp_path, pruning):
    with build(tmp_path / "i", pruning=pruning) as index:
        for query in QUERIES:
            vectors, _ = index._query(query)
            for hit in index.search(query, 20, explain=True):
                assert hit.explanation.score == hit.score == math.fsum(m.share for m in hit.explanation.matches)
                assert len(hit.explanation.matches) == len(vectors)
                for match, vector in zip(hit.explanation.matches, vectors, strict=True):
                    assert index._generation.records.ids[index.bank.documents[match.row]] == hit.document.id
                    product = vector.astype(np.float64) @ index.bank[[match.row]][0].astype(np.float64)
                    assert match.share == pytest.approx(product, abs=1e-12)
                assert all(match.query_words and match.document_words for match in hit.explanation.matches)
                parts = hit.explanation.as_dict()["matches"]
                assert math.fsum(part["share"] for part in parts) == hit.score
                words = hit.explanation.by_words()
                assert math.fsum(word.share for word in words) == pytest.approx(hit.score, abs=1e-12)
                assert len({word.words for word in words}) == len(words)


def test_a_word_finds_itself(tmp_path):
    documents = [Document("a", "green house under"), Document("b", "blue bird, blue dog")]
    with build(tmp_path / "i", documents) as index:
        hit = index.search("green house", 1, explain=True)[0]
        assert hit.document.id == "a"
        assert [match.query_words for match in hit.explanation.matches] == [(SPECIAL,), ("green",), ("house",)]
        assert hit.explanation.matches[2].document_words == ("house",)
        assert [share.words for share in hit.explanation.by_words()] == [("green",), ("house",), (SPECIAL,)]
        assert hit.explanation.by_words()[1][1:] == (("house",), hit.explanation.matches[2].share)
        assert hit.explanation.top(1)[0].share == max(match.share for match in hit.explanation.matches)


def test_words_of_clusters_are_whole_and_in_order():
    text = "unbelievably-red cats"
    tokens = np.array([[0, 0, 0], [0, 2, 1], [2, 7, 1], [12, 13, -1], [13, 16, 0], [17, 20, 0], [20, 21, 0]], np.int32)
    assert words_of(text, tokens, 2) == [(SPECIAL, "red", "cats"), ("unbelievably",)]


# ── the first stage ──────────────────────────────────────────────────────────────────────────────────────────


def test_all_candidates_are_all_documents(tmp_path):
    with build(tmp_path / "i", make_documents(300), coarse="lists") as index:
        index.delete(["d3", "d4"])
        assert sorted(index.candidates("red cat", 300)) == sorted(index.ids())
        found, expected = answers(index, "red cat", 298), brute_force(index, "red cat")
        assert [document_id for document_id, _ in found] == [document_id for document_id, _ in expected]
        assert len(index.search("red cat", 10, candidates=298)) == 10


def test_candidates_hold_the_best(tmp_path):
    with build(tmp_path / "i", make_documents(600, longest=30), coarse="lists") as index:
        assert index.info()["coarse"]["kind"] == "lists"
        shares = []
        for query in QUERIES[:3]:
            best = {document_id for document_id, _ in brute_force(index, query)[:10]}
            proposed = index.candidates(query, 120)
            assert len(proposed) == 120
            shares.append(len(best & set(proposed)) / 10)
        assert np.mean(shares) >= 0.8


def test_the_score_of_a_candidate_is_exact(tmp_path):
    with build(tmp_path / "i", make_documents(600, longest=30), coarse="lists") as index:
        exact = dict(brute_force(index, "red cat"))
        for hit in index.search("red cat", 10):
            assert hit.score == pytest.approx(exact[hit.document.id], abs=1e-9)


def test_lists_grow_in_pieces(tmp_path):
    documents = make_documents(400, longest=20)
    with build(tmp_path / "i", documents, coarse="lists") as index:
        lists = Lists.fit(index.bank)
        whole = Lists(lists.centroids, np.zeros(0, np.int32), lists.fitted_rows)
        pieces = Lists(lists.centroids, lists.codes[:50], lists.fitted_rows)
        for part in (whole, pieces):
            part.extend(index.bank)
        assert np.array_equal(pieces.codes, whole.codes)
        lists.save(tmp_path / "saved")
        loaded = Lists.load(tmp_path / "saved")
        loaded.extend(index.bank)
        query, allowed = HashTokens().encode(["red cat"], "query")[0].vectors, np.ones(400, bool)
        assert np.array_equal(loaded.candidates(query, 50, allowed), lists.candidates(query, 50, allowed))
        loaded.save(tmp_path / "again")
        assert contents(tmp_path / "again") == contents(tmp_path / "saved")
        assert loaded.fitted_rows == len(index.bank)
        allowed[::2] = False
        assert not set(lists.candidates(query, 50, allowed)) & set(range(0, 400, 2))
        assert lists.nbytes > 0


def test_lists_follow_what_is_added(tmp_path):
    with build(tmp_path / "i", make_documents(100, longest=20), coarse="lists") as index:
        index.add(make_documents(100, seed=1, prefix="more", longest=20))
        assert len(index.candidates("red cat", 150)) == 150
        assert any(i.startswith("more") for i in index.candidates("red cat", 50))
        fitted = index._parts.lists().fitted_rows
        index.add(make_documents(700, seed=2, prefix="many", longest=20))
        index.search("red cat")
        assert index._parts.lists().fitted_rows > fitted
        index.prepare()
    with MultiVectorIndex.open(tmp_path / "i", encoder=HashTokens()) as index:
        assert len(index._parts.lists().codes) == len(index.bank)
        assert len(index.candidates("red cat", 150)) == 150


def test_lists_are_kept_for_one_state_and_stale_ones_go(tmp_path):
    with build(tmp_path / "i", make_documents(100), coarse="lists") as index:
        before = [path.name for path in (tmp_path / "i" / "g000001").glob("lists-*")]
        index.add(make_documents(10, seed=5, prefix="more"))
        index.prepare()
        after = [path.name for path in (tmp_path / "i" / "g000001").glob("lists-*")]
        assert (len(before), len(after)) == (1, 1)
        assert before != after
        index.compact()
        assert not (tmp_path / "i" / "g000001").exists()
        assert len(list((tmp_path / "i" / "g000002").glob("lists-*"))) == 1


def test_small_collections_are_scanned(index):
    assert index.info()["coarse"] == {"kind": "exact"}
    with pytest.raises(InputError, match="no first stage"):
        index.candidates("red cat", 10)


# ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_any_changes_it_is_like_a_fresh_one(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("changes")
    pool = make_documents(12)
    current = {document.id: document for document in pool[:4]}
    coarse = data.draw(st.sampled_from(["exact", "lists"]))
    index = build(folder / "i", pool[:4], coarse=coarse, pruning="C2x3")
    try:
        for _ in range(data.draw(st.integers(0, 8))):
            action = data.draw(st.sampled_from(["add", "delete", "replace", "compact", "reopen"]))
            chosen = data.draw(st.lists(st.sampled_from(pool), max_size=4, unique_by=lambda d: d.id))
            if action == "add":
                new = [document for document in chosen if document.id not in current]
                assert index.add(new) == len(new)
                current.update({document.id: document for document in new})
            elif action == "delete":
                gone = [document.id for document in chosen]
                assert index.delete(gone) == len(current.keys() & set(gone))
                current = {i: document for i, document in current.items() if i not in gone}
            elif action == "replace":
                index.replace(chosen)
                for document in chosen:
                    current.pop(document.id, None)
                    current[document.id] = document
            elif action == "compact":
                index.compact()
            else:
                index.close()
                index = MultiVectorIndex.open(folder / "i", writable=True, encoder=HashTokens())
            assert index.ids() == list(current)
        with build(folder / "fresh", list(current.values()), coarse=coarse, pruning="C2x3") as fresh:
            for query in QUERIES:
                assert answers(index, query) == answers(fresh, query)
            index.verify()
    finally:
        index.close()


def test_equal_builds_are_equal_bytes(tmp_path):
    for name in ("a", "b"):
        build(tmp_path / name, coarse="lists", pruning="C2x3").close()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_reopening_finds_the_same(tmp_path, index):
    index.delete(["d1"])
    before = answers(index, "red cat")
    index.close()
    with MultiVectorIndex.open(tmp_path / "i", encoder=HashTokens()) as again:
        assert answers(again, "red cat") == before
        assert again.document("d2") == make_documents(3)[2]
        assert "d1" not in again
        assert again.info()["deleted"] == 1


def test_a_reader_keeps_its_version(tmp_path, index):
    index.add(make_documents(3, seed=8, prefix="more"))
    with MultiVectorIndex.open(tmp_path / "i", encoder=HashTokens()) as reader:
        before = answers(reader, "red cat")
        index.delete(["d0", "d5"])
        index.compact()
        index.add(make_documents(3, seed=9, prefix="new"))
        assert answers(reader, "red cat") == before


def test_a_stopped_build_goes_on(tmp_path):
    documents = make_documents(600, longest=4)

    class Stops(HashTokens):
        def encode(self, texts, kind):
            if documents[300].content in texts:
                raise KeyboardInterrupt
            return super().encode(texts, kind)

    documents[300] = Document("d300", "stop here")
    with pytest.raises(KeyboardInterrupt):
        MultiVectorIndex.build(documents, Stops(), tmp_path / "i")
    with pytest.raises(ArtifactError, match=r"256 documents.*--resume"):
        MultiVectorIndex.open(tmp_path / "i")
    with pytest.raises(ArtifactError, match="corpus has changed"):
        build(tmp_path / "i", documents[1:], resume=True)
    with build(tmp_path / "i", documents, resume=True) as index:
        assert index.ids() == [document.id for document in documents]


def test_a_killed_build_ends_like_one_that_was_not(tmp_path):
    documents = make_documents(600, longest=4)
    build(tmp_path / "whole", documents, coarse="lists").close()
    points = count_points(lambda: build(tmp_path / "counted", documents, coarse="lists").close())
    for point in range(1, points + 1, 9):
        path = tmp_path / f"killed{point}"
        assert killed_at(point, lambda path=path: build(path, documents, coarse="lists").close())
        build(path, documents, coarse="lists", resume=True).close()
        assert contents(path) == contents(tmp_path / "whole")


def test_resuming_something_else_is_refused(tmp_path):
    documents = make_documents(20)
    build(tmp_path / "i", documents).close()
    build(tmp_path / "i", documents, resume=True).close()
    with pytest.raises(ArtifactError, match="pruning was 'mv' and is now 'C2x3'"):
        build(tmp_path / "i", documents, resume=True, pruning="C2x3")
    with pytest.raises(ArtifactError, match="already"):
        build(tmp_path / "i", documents)


ACTIONS = {
    "add": lambda index: index.add(make_documents(5, seed=3, prefix="new")),
    "delete": lambda index: index.delete(["d1", "d2", "d7"]),
    "replace": lambda index: index.replace(make_documents(3, seed=4)),
    "compact": lambda index: index.compact(),
    "prepare": lambda index: index.prepare(),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_fault_at_every_write_leaves_the_state_before_or_after(tmp_path, action):
    with build(tmp_path / "reference", make_documents(12), coarse="lists") as index:
        index.delete(["d0"])

    def fresh(name: str) -> Path:
        shutil.copytree(tmp_path / "reference", tmp_path / name)
        return tmp_path / name

    def act(path: Path) -> None:
        with MultiVectorIndex.open(path, writable=True, encoder=HashTokens()) as index:
            ACTIONS[action](index)

    def state(path: Path):
        with MultiVectorIndex.open(path, encoder=HashTokens()) as index:
            index.verify()
            return index.ids(), [answers(index, query) for query in QUERIES]

    counted = fresh("counted")
    before = state(counted)
    points = count_points(lambda: act(counted))
    after = state(counted)
    for point in range(1, points + 1, 5 if action == "compact" else 1):
        for kind in KILLS:
            path = fresh(f"{point}-{kind}")
            assert killed_at(point, lambda path=path: act(path), kind)
            assert state(path) in (before, after), (point, kind)
        for kind in ERRORS:
            path = fresh(f"{point}-{kind}")
            with fault(kind, point), pytest.raises((ArtifactError, OSError)):
                act(path)
            assert state(path) in (before, after), (point, kind)
        with MultiVectorIndex.open(path, writable=True, encoder=HashTokens()) as index:
            index.compact()
        assert not leftovers(path)
        assert not [left for left in leftovers(tmp_path) if f".{path.name}." in left]


def test_a_second_writer_is_refused(tmp_path, index):
    with pytest.raises(LockedError, match="pid"):
        MultiVectorIndex.open(tmp_path / "i", writable=True)
    assert len(index) == 60


def test_a_flipped_byte_is_found(tmp_path):
    build(tmp_path / "i", coarse="lists").close()
    rng = random.Random(0)
    files = [file for file in (tmp_path / "i").rglob("*") if file.is_file() and file.stat().st_size > 20]
    files.remove(tmp_path / "i" / "card.json")  # which is for people; no program reads it
    for file in files:
        data = file.read_bytes()
        place = rng.randrange(len(data))
        file.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(ArtifactError), MultiVectorIndex.open(tmp_path / "i", encoder=HashTokens()) as index:
            index.verify()
        file.write_bytes(data)


# ── what cannot be used ──────────────────────────────────────────────────────────────────────────────────────


def test_the_encoder_is_found_again_with_its_lengths(tmp_path):
    pytest.importorskip("transformers")
    from tiny_models import bert_folder

    from sememe.models.multi_vector import MultiVectorEncoder

    encoder = MultiVectorEncoder.load(bert_folder(tmp_path / "bert"), document_length=7)
    documents = [Document(f"d{n}", text) for n, text in enumerate(["the cat sat on the mat " * 5, "warm", "small"])]
    with MultiVectorIndex.build(documents, encoder, tmp_path / "i", pruning="C2x3") as index:
        before = answers(index, "a warm cat")
        assert index.info()["tokens"] == 7 + 2 * 3
    with MultiVectorIndex.open(tmp_path / "i") as index:
        assert answers(index, "a warm cat") == before
        hit = index.search("a warm cat", 1, explain=True)[0]
        assert hit.explanation.score == hit.score
        assert {"a", "warm", "cat"} <= {word for match in hit.explanation.matches for word in match.query_words}


def test_a_document_without_tokens_is_named(tmp_path):
    class NoSpecials(HashTokens):
        def _one(self, text, kind):
            record = super()._one(text, kind)
            return TokenVectors(record.vectors[1:], record.spans[1:])

    documents = [Document("full", "red cat"), Document("empty", "")]
    with pytest.raises(InputError, match=r"text 'empty': has no tokens"):
        MultiVectorIndex.build(documents, NoSpecials(), tmp_path / "i")


def test_nan_is_named(tmp_path):
    class Broken(HashTokens):
        def _one(self, text, kind):
            record = super()._one(text, kind)
            if "dog" in text:
                record.vectors[0, 0] = np.nan
            return record

    with pytest.raises(InputError, match=r"text 'b': .*NaN"):
        MultiVectorIndex.build([Document("a", "cat"), Document("b", "dog")], Broken(), tmp_path / "i")


def test_another_encoder_or_pruning_is_refused_with_both_cards(tmp_path):
    with build(tmp_path / "i", pruning="C2x3"):
        pass
    other = HashTokens()
    other.fingerprint, other.name = "other", "other-tokens"
    with pytest.raises(ModelError, match=r"hash-tokens.*C2x3.*other-tokens"):
        MultiVectorIndex.open(tmp_path / "i", encoder=other)
    trained = HashTokens()
    trained.pruning = "C8x32"
    with pytest.raises(ModelError, match=r"pruning C2x3.*pruning C8x32"):
        MultiVectorIndex.open(tmp_path / "i", encoder=trained)


def test_an_encoder_brings_its_pruning(tmp_path):
    encoder = HashTokens()
    encoder.pruning = "C2x3"
    with MultiVectorIndex.build(make_documents(10), encoder, tmp_path / "i") as index:
        assert index.pruning.method == "C2x3"
        assert index.info()["vectors"] <= 30


def test_arguments_are_checked(tmp_path, index):
    with pytest.raises(InputError, match=r"16 dimensions.*pruning mv"):
        index.search(np.zeros((2, 5), np.float32))
    with pytest.raises(InputError, match="query"):
        index.search(np.full((2, 16), np.nan, np.float32))
    with pytest.raises(InputError, match="k: is 0"):
        index.search("red", 0)
    with pytest.raises(InputError, match="no document 'x'"):
        index.document("x")
    with pytest.raises(InputError, match="'d1' is already there"):
        index.add([Document("d1", "cat")])
    with pytest.raises(InputError, match="already there"):
        index.add([Document("new", "cat"), Document("new", "dog")])
    with pytest.raises(InputError, match="C25%"):
        build(tmp_path / "j", pruning="C8")
    with pytest.raises(InputError, match="lists"):
        build(tmp_path / "j", coarse="fast")
    with pytest.raises(ArtifactError, match="does not exist"):
        MultiVectorIndex.open(tmp_path / "none")
    Bank.create(tmp_path / "bank", 4, provenance={}).close()
    with pytest.raises(ArtifactError, match="is not an index"):
        MultiVectorIndex.open(tmp_path / "bank")
    with pytest.raises(ArtifactError, match="is a multi-vector index"):
        Index.open(tmp_path / "i")
    Index.build(make_documents(3), HashEncoder(), tmp_path / "plain").close()
    with pytest.raises(ArtifactError, match="not a multi-vector index"):
        MultiVectorIndex.open(tmp_path / "plain")


def test_nothing_is_found_in_nothing(tmp_path):
    with build(tmp_path / "i", [], coarse="lists") as index:
        assert index.search("red cat") == []
        index.add(make_documents(2))
        assert len(index.search("red cat")) == 2


def test_vectors_of_the_same_words_are_taken_together():
    pieces = [
        Match((SPECIAL,), (SPECIAL,), 0, 0.5),
        Match(("hypersonic",), ("hypersonic",), 1, 0.75),
        Match(("flow",), ("flow", "air"), 2, 0.25),
        Match(("hypersonic",), ("hypersonic", "body"), 3, -0.125),
    ]
    assert MaxSimExplanation(tuple(pieces)).by_words() == [
        (("hypersonic",), ("hypersonic", "body"), 0.625),
        (("flow",), ("flow", "air"), 0.25),
        ((SPECIAL,), (SPECIAL,), 0.5),
    ]


def test_a_filter_leaves_what_brute_force_over_the_rest_finds(tmp_path):
    with build(tmp_path / "i", make_documents(300, longest=30), coarse="lists") as index:
        index.delete(["d250"])
        allowed = {f"d{i}" for i in range(240, 300)} - {"d250"}
        expected = [pair for pair in brute_force(index, "red cat") if pair[0] in allowed]
        for view in (index, index.using("exact")):
            hits = view.search("red cat", 100, where={"year": {">=": 2240}})
            assert [hit.document.id for hit in hits] == [document_id for document_id, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-9)
        assert [stage.stage for stage in index.search("red cat").stages] == [
            "encode",
            "lists",
            "maxsim",
            "fine",
            "read",
        ]
        assert index.info()["coarse"]["kind"] == "lists"
        with pytest.raises(InputError, match="coarse must be one of"):
            index.using("pq:8")
