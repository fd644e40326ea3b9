"""The index: search equals brute force, changes are durable, damage is named."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hash_encoder import HashEncoder, LongVectors
from sememe import Document, Index
from sememe.errors import ArtifactError, InputError, LockedError, ModelError
from sememe.search.manifest import _sha256

WORDS = [
    "red",
    "green",
    "blue",
    "cat",
    "dog",
    "bird",
    "runs",
    "sleeps",
    "flies",
    "over",
    "under",
    "the",
    "big",
    "small",
    "house",
    "tree",
]


def make_documents(n: int, seed: int = 0, prefix: str = "d", longest: int = 8) -> list[Document]:
    rng = random.Random(seed)
    return [
        Document(
            f"{prefix}{i}",
            " ".join(rng.choices(WORDS, k=rng.randint(0, longest))),
            title=rng.choice(["", "Title " + rng.choice(WORDS)]),
            metadata={"year": 2000 + i % 7, "tags": rng.sample(WORDS, 2)},
        )
        for i in range(n)
    ]


@pytest.fixture
def index(tmp_path, hash_encoder):
    with Index.build(make_documents(60), hash_encoder, tmp_path / "i") as built:
        yield built


@pytest.mark.parametrize("similarity", ["auto", "cosine", "dot"])
def test_vectors_are_compared_as_the_encoder_says_or_the_user(tmp_path, similarity):
    documents, encoder = make_documents(40), LongVectors()
    with Index.build(documents[:30], encoder, tmp_path / "i", similarity=similarity) as index:
        index.add(documents[30:])
        assert index.normalizes == (similarity != "dot")
        compare = encoder if similarity == "dot" else HashEncoder()
        for query in ("red cat", "the big tree"):
            hits = index.search(query, k=5)
            expected = brute_force(documents, compare, query, 5)
            assert [hit.document.id for hit in hits] == [name for name, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], rel=1e-5)
            assert (abs(np.linalg.norm(index.query_vector(query)) - 1) < 1e-5) == (similarity != "dot")


def test_a_distance_is_no_inner_product(tmp_path):
    encoder = LongVectors()
    encoder.similarity = "euclidean"
    with pytest.raises(ModelError, match=r"long-vectors: its vectors are compared by 'euclidean'.*cosine or dot"):
        Index.build(make_documents(5), encoder, tmp_path / "i")
    assert not (tmp_path / "i").exists()
    with pytest.raises(InputError, match="similarity must be one of auto, cosine, dot, not 'euclidean'"):
        Index.build(make_documents(5), encoder, tmp_path / "i", similarity="euclidean")
    Index.build(make_documents(5), encoder, tmp_path / "i", similarity="dot").close()


def test_an_older_index_keeps_its_inner_products(tmp_path):
    with Index.build(make_documents(20), LongVectors(), tmp_path / "i", similarity="dot") as index:
        before = [(hit.document.id, hit.score) for hit in index.search("red cat", k=5)]
    manifest = tmp_path / "i" / "manifest.json"
    settings = json.loads(manifest.read_text())
    del settings["config"]["similarity"], settings["sha256"]  # it was written when there was no such setting
    manifest.write_text(json.dumps({**settings, "sha256": _sha256(settings)}))
    with Index.open(tmp_path / "i", encoder=LongVectors()) as index:
        assert [(hit.document.id, hit.score) for hit in index.search("red cat", k=5)] == before


def brute_force(documents, encoder, query, k):
    texts = [document.content for document in documents]
    scores = encoder.encode(texts).astype(np.float64) @ encoder.encode(query).astype(np.float64)
    order = sorted(range(len(documents)), key=lambda i: (-np.float32(scores[i]), i))[:k]
    return [(documents[i].id, scores[i]) for i in order]


def answers(index: Index, query: str, k: int, mode: str) -> list[tuple[str, float]]:
    return [(hit.document.id, round(hit.score, 6)) for hit in index.search(query, k, mode=mode)]


def test_dense_search_equals_brute_force(index, hash_encoder):
    for query in ("red cat", "the big house", "nothing known"):
        found = [(hit.document.id, hit.score) for hit in index.search(query, 10)]
        expected = brute_force(make_documents(60), hash_encoder, query, 10)
        assert [i for i, _ in found] == [i for i, _ in expected]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)


def test_batch_equals_one_by_one(index):
    queries = ["red cat", "tree", "small bird flies"]
    for mode in ("dense", "lexical", "hybrid"):
        batch = index.search_batch(queries, 5, mode=mode)
        for query, hits in zip(queries, batch, strict=True):
            assert [(h.document.id, h.score) for h in hits] == [
                (h.document.id, h.score) for h in index.search(query, 5, mode=mode)
            ]


def test_lexical_scores_equal_bm25s(index):
    import bm25s

    from sememe.lexical.words import tokenizer

    documents = make_documents(60)
    tokens = [tokenizer("english")(document.content) for document in documents]
    rival = bm25s.BM25()
    rival.index(tokens, show_progress=False)
    query = "red cat sleeps"
    scores = rival.get_scores(tokenizer("english")(query))
    for hit in index.search(query, 20, mode="lexical"):
        assert hit.score == pytest.approx(scores[int(hit.document.id[1:])], abs=1e-5)
    assert len(index.search(query, 60, mode="lexical")) == int((scores > 0).sum())


def test_hybrid_fuses_ranks_and_shows_both_parts(index):
    dense = [hit.document.id for hit in index.search("red cat", 60)]
    lexical = [hit.document.id for hit in index.search("red cat", 60, mode="lexical")]
    for hit in index.search("red cat", 10, mode="hybrid"):
        ranks = [ranking.index(hit.document.id) + 1 for ranking in (dense, lexical) if hit.document.id in ranking]
        assert hit.score == pytest.approx(sum(1 / (60 + rank) for rank in ranks))
        assert set(hit.parts) == {"dense", "lexical"}


def test_filters_keep_only_matching_documents(index):
    hits = index.search("red cat", 60, where={"year": {">=": 2003, "<": 2005}})
    assert hits
    assert {hit.document.metadata["year"] for hit in hits} == {2003, 2004}
    tagged = index.search("red cat", 60, where={"tags": "cat"})
    assert {hit.document.id for hit in tagged} == {d.id for d in make_documents(60) if "cat" in d.metadata["tags"]}
    assert index.search("red cat", where={"missing": 1}) == []


def test_long_documents_are_found_by_their_best_window(tmp_path, hash_encoder):
    long = Document("long", " ".join(["filler"] * 100 + ["needle", "haystack"] * 10 + ["other"] * 100))
    with Index.build([long, *make_documents(5)], hash_encoder, tmp_path / "i", overlap=4) as index:
        hit = index.search("needle haystack", 1)[0]
        assert hit.document.id == "long"
        assert "needle haystack" in hit.passage
        assert len(index.rows_of("long")) > 3
        assert len(index.search("needle", 10)) == 6  # every document once, though one has many rows


def test_codes_rank_like_the_exact_scan(tmp_path, hash_encoder):
    documents = make_documents(600)
    with (
        Index.build(documents, hash_encoder, tmp_path / "exact", coarse="exact") as exact,
        Index.build(documents, hash_encoder, tmp_path / "binary", coarse="binary") as binary,
    ):
        assert binary.info()["coarse"]["recall@10"] >= 0.95
        same = 0
        for query in WORDS:
            a, b = answers(exact, query, 10, "dense"), answers(binary, query, 10, "dense")
            same += len(set(a) & set(b))
        assert same >= 0.95 * 10 * len(WORDS)


@pytest.mark.parametrize("coarse", ["exact", "binary"])
def test_asking_for_more_than_there_is(tmp_path, hash_encoder, coarse):
    with Index.build(make_documents(7), hash_encoder, tmp_path / "i", coarse=coarse) as index:
        assert len(index.search("red", 100)) == 7
        index.delete(index.ids())
        for mode in ("dense", "lexical", "hybrid"):
            assert index.search("red", 5, mode=mode) == []


def test_an_empty_corpus_makes_an_empty_index(tmp_path, hash_encoder):
    with Index.build([], hash_encoder, tmp_path / "i") as index:
        assert len(index) == 0
        assert index.search("anything") == []


operation = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 30)),
    st.tuples(st.just("delete"), st.integers(0, 30)),
    st.tuples(st.just("replace"), st.integers(0, 30)),
    st.tuples(st.just("reopen"), st.just(0)),
    st.tuples(st.just("compact"), st.just(0)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(operation, max_size=20))
def test_any_changes_leave_what_a_fresh_build_would_find(tmp_path_factory, hash_encoder, operations):
    pool, variants = make_documents(31), make_documents(31, seed=9)
    folder = tmp_path_factory.mktemp("changes")
    index = Index.build(pool[:5], hash_encoder, folder / "i")
    model = {document.id: document for document in pool[:5]}
    for action, number in operations:
        document = pool[number]
        if action == "add" and document.id not in model:
            index.add([document])
            model[document.id] = document
        elif action == "delete":
            assert index.delete([document.id]) == (document.id in model)
            model.pop(document.id, None)
        elif action == "replace":
            index.replace([variants[number]])
            model.pop(document.id, None)
            model[document.id] = variants[number]
        elif action == "reopen":
            index.close()
            index = Index.open(folder / "i", writable=True, encoder=hash_encoder)
        elif action == "compact":
            index.compact()
    assert index.ids() == list(model)
    with Index.build(model.values(), hash_encoder, folder / "fresh") as fresh:
        for query in ("red cat", "the tree"):
            for mode in ("dense", "lexical", "hybrid"):
                assert answers(index, query, 10, mode) == answers(fresh, query, 10, mode)
    index.close()


def test_ids_never_shift_and_missing_ids_change_nothing(index):
    before = answers(index, "red", 60, "dense")
    assert index.delete(["no such id", ""]) == 0
    assert answers(index, "red", 60, "dense") == before
    assert index.delete(["d3", "d3"]) == 1
    assert answers(index, "red", 60, "dense") == [pair for pair in before if pair[0] != "d3"]
    with pytest.raises(InputError, match="'d3'"):
        index.document("d3")
    assert index.document("d4").text == make_documents(60)[4].text


def test_an_id_that_is_there_is_refused(index):
    with pytest.raises(InputError, match="'d1' is already there"):
        index.add([Document("new", "x"), Document("d1", "y")])
    assert "new" not in index
    assert len(index) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": "x", "k": 0}, "k must be at least 1"),
        ({"query": " "}, "is empty"),
        ({"query": "x", "mode": "magic"}, "mode must be one of"),
        ({"query": np.zeros(3, np.float32)}, r"shape \(3,\)"),
        ({"query": np.full(16, np.nan, np.float32)}, "NaN"),
        ({"query": np.zeros(16, np.float32), "mode": "hybrid"}, "only mode dense"),
        ({"query": "x", "steer": {1: 1.0}}, "atoms to steer along"),
        ({"query": "x", "where": {"year": {"~": 1}}}, "unknown comparison"),
    ],
)
def test_wrong_arguments_are_named(index, arguments, message):
    with pytest.raises(InputError, match=message):
        index.search(**arguments)


def test_all_wrong_settings_are_reported_together(tmp_path, hash_encoder):
    with pytest.raises(InputError, match=r"dtype.*coarse.*overlap"):
        Index.build([], hash_encoder, tmp_path / "i", dtype="x", coarse="y", overlap=-1)


def test_one_writer_many_readers(index, hash_encoder):
    with Index.open(index.path, encoder=hash_encoder) as reader:
        before = answers(reader, "red", 60, "dense")
        index.delete(["d0"])
        index.add([Document("new", "red red red")])
        assert answers(reader, "red", 60, "dense") == before
        index.compact()
        assert answers(reader, "red", 60, "dense") == before
        assert reader.ids() == [f"d{i}" for i in range(60)]
        assert [document.id for document in reader.documents()] == reader.ids()
        assert len(answers(reader, "red", 60, "hybrid")) == 60
    with pytest.raises(LockedError, match="pid"):
        Index.open(index.path, writable=True)


def test_an_index_that_is_there_is_not_overwritten(index, hash_encoder):
    with pytest.raises(ArtifactError, match="already exists"):
        Index.build(make_documents(3), hash_encoder, index.path)


def test_resuming_with_other_arguments_names_them(index, hash_encoder):
    path = index.path
    index.close()
    with pytest.raises(ArtifactError, match=r"overlap was 32 and is now 3"):
        Index.build(make_documents(60), hash_encoder, path, resume=True, overlap=3)
    with Index.build(make_documents(60), hash_encoder, path, resume=True) as again:
        assert len(again) == 60


def test_two_builds_are_byte_identical(tmp_path, hash_encoder):
    for name in ("a", "b"):
        Index.build(make_documents(50), hash_encoder, tmp_path / name, coarse="binary").close()
    a = {file.relative_to(tmp_path / "a"): file.read_bytes() for file in (tmp_path / "a").rglob("*") if file.is_file()}
    b = {file.relative_to(tmp_path / "b"): file.read_bytes() for file in (tmp_path / "b").rglob("*") if file.is_file()}
    lock = next(name for name in a if name.name == ".lock")
    assert {k: v for k, v in a.items() if k != lock} == {k: v for k, v in b.items() if k != lock}


def test_another_encoder_under_the_same_name_is_refused(index):
    from hash_encoder import HashEncoder

    other = HashEncoder()
    other.fingerprint = "different"
    with Index.open(index.path, encoder=other) as reader, pytest.raises(Exception, match="fingerprints differ"):
        reader.search("red")


def test_damage_is_named_or_harmless(tmp_path, hash_encoder):
    path = tmp_path / "i"
    with Index.build(make_documents(30), hash_encoder, path, coarse="binary") as index:
        expected = {mode: answers(index, "red cat", 30, mode) for mode in ("dense", "lexical", "hybrid")}
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != ".lock"]
    rng = random.Random(1)
    for _ in range(150):
        file = rng.choice(files)
        original = file.read_bytes()
        if not original:
            continue
        place = rng.randrange(len(original))
        file.write_bytes(original[:place] + bytes([original[place] ^ (1 << rng.randrange(8))]) + original[place + 1 :])
        try:
            with Index.open(path, encoder=hash_encoder) as index:
                index.verify()
                found = {mode: answers(index, "red cat", 30, mode) for mode in expected}
            assert found == expected, f"{file.name} byte {place}"
        except ArtifactError as error:
            assert str(path) in str(error)
        finally:
            file.write_bytes(original)


def test_truncation_names_the_file(tmp_path, hash_encoder):
    path = tmp_path / "i"
    Index.build(make_documents(30), hash_encoder, path).close()
    for name in ("vectors.bin", "records.jsonl", "record_ends.bin", "ids.jsonl", "windows.bin"):
        file = path / "g000001" / name
        original = file.read_bytes()
        file.write_bytes(original[: len(original) // 2])
        with pytest.raises(ArtifactError, match=name):
            Index.open(path)
        file.write_bytes(original)


def test_what_is_not_an_index_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        Index.open(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        Index.open(tmp_path)
