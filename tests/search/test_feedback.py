"""Feedback: the formulas by hand, what the second search gives, and what is told of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_explanations import random_atoms
from test_index import make_documents

from sememe import Document, Index
from sememe.errors import InputError, ModelError
from sememe.search.explaining import explain_rows
from sememe.search.feedback import Feedback, average, rocchio
from sememe.search.second_search import Move, atom_changes, feed_back, refine

Q0 = np.array([1.0, 0.0, 0.0], np.float32)
V = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 1]], np.float32)


@pytest.fixture
def index(tmp_path, hash_encoder):
    with Index.build(make_documents(60), hash_encoder, tmp_path / "i") as built:
        yield built


def rank_in(index):
    """The search that feedback repeats; vectors that are searched with are kept in `.asked`."""

    def rank(vectors, depth):
        rank.asked.append((vectors.copy(), depth))
        return index.search_batch(vectors, depth)

    rank.asked = []
    return rank


def answer(index, feedback, query="red cat", k=10, atoms=None):
    vectors = index.query_vector(query)[None]
    return feed_back(index, feedback, [query], vectors, rank_in(index), k=k, atoms=atoms)[0]


def ids(hits):
    return [hit.document.id for hit in hits]


# ── the formulas ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_average_and_rocchio_by_hand():
    np.testing.assert_allclose(average(Q0, V), [0.25, 0.5, 0.5])
    np.testing.assert_allclose(rocchio(Q0, V, 0.25, 0.75), [0.25, 0.5, 0.5])
    np.testing.assert_allclose(rocchio(Q0, V), [0.4, 0.4, 0.4], rtol=1e-6)
    negative = np.array([[0, 2, 0], [2, 0, 0]], np.float32)
    np.testing.assert_allclose(rocchio(Q0, V, 0.4, 0.6, V_neg=negative, gamma=0.1), [0.3, 0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(rocchio(Q0, V[:0], 0.5, 0.5, V_neg=negative, gamma=0.1), [0.4, -0.1, 0], rtol=1e-6)
    assert average(Q0, V).dtype == rocchio(Q0, V).dtype == np.float32


def test_no_passages_leave_the_query():
    np.testing.assert_array_equal(average(Q0, V[:0]), Q0)
    np.testing.assert_array_equal(rocchio(Q0, V, 1.0, 0.0), Q0)


def test_inputs_are_not_changed():
    q0, passages = Q0.copy(), V.copy()
    average(q0, passages)
    rocchio(q0, passages, V_neg=passages, gamma=0.5)
    np.testing.assert_array_equal(q0, Q0)
    np.testing.assert_array_equal(passages, V)


@given(
    arrays(np.float32, 5, elements=st.floats(-1, 1, width=32)),
    arrays(np.float32, (4, 5), elements=st.floats(-1, 1, width=32)),
)
@settings(max_examples=50, deadline=None)
def test_the_order_of_passages_does_not_matter_and_average_is_a_rocchio(q0, passages):
    np.testing.assert_allclose(average(q0, passages), average(q0, passages[::-1]), atol=1e-6)
    np.testing.assert_allclose(average(q0, passages), rocchio(q0, passages, 0.2, 0.8), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rocchio(Q0, V, 0, 0), "alpha and beta are both 0"),
        (lambda: rocchio(Q0, V, -1, 0.5), "alpha must be a number from 0, not -1"),
        (lambda: rocchio(Q0, V, 1, float("nan")), "beta must be a number from 0, not nan"),
        (lambda: average(Q0, V[0]), r"shape \(3,\) does not fit passages of shape \(3,\)"),
        (lambda: average(Q0[:2], V), r"shape \(2,\) does not fit"),
        (lambda: average(Q0 * np.nan, V), "NaN or infinity"),
        (lambda: rocchio(Q0, V, V_neg=V[:, :2], gamma=0.1), "does not fit"),
    ],
)
def test_formulas_refuse_what_does_not_fit(call, message):
    with pytest.raises(InputError, match=message):
        call()


# ── what a user asks for ─────────────────────────────────────────────────────────────────────────────────────────────


def test_settings_report_all_problems_together():
    with pytest.raises(InputError) as caught:
        Feedback("median", k=-1, alpha=0, beta=0)
    for part in ("alpha and beta are both 0", "k must not be negative, not -1", "method must be one of none, average"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relevant": "d1"}, "relevant must be a list of ids, not one text"),
        ({"method": "rocchio", "gamma": 0.1, "relevant": ["a"], "irrelevant": ["a"]}, "'a' is both relevant and"),
        ({"method": "average", "irrelevant": ["a"]}, "need the method rocchio and a gamma above 0"),
        ({"method": "rocchio", "irrelevant": ["a"]}, "need the method rocchio and a gamma above 0"),
        ({"method": "none", "relevant": ["a"]}, "need a method"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Feedback(**options)


def test_defaults():
    assert Feedback().n_passages == 3
    assert Feedback("rocchio", k=5).depth == 5
    assert Feedback("none").depth == Feedback.chosen(["a"]).depth == 0
    liked = Feedback.chosen(["a"], ["b"])
    assert (liked.method, liked.alpha, liked.beta, liked.gamma) == ("rocchio", 0.4, 0.6, 0.15)
    assert Feedback.chosen(["a"]).gamma == 0
    assert Feedback().as_read("WHAT") == "WHAT"


# ── searching twice ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("feedback", [Feedback("none"), Feedback("average", k=0), Feedback("rocchio", alpha=1, beta=0)])
def test_feedback_that_adds_nothing_gives_the_first_ranking(index, feedback):
    found = answer(index, feedback, k=20)
    assert ids(found.found) == ids(index.search("red cat", 20))
    assert {move.change for move in found.record.moves} == {"same"}


def test_average_searches_with_the_unit_mean_of_query_and_top_passages(index):
    query = index.query_vector("red cat")
    rank = rank_in(index)
    found = feed_back(index, Feedback("average", k=4), ["red cat"], query[None], rank, k=2)[0]
    top = index.search("red cat", 4)
    expected = query + index.bank[[hit.row for hit in top]].sum(axis=0)
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(found.vector, expected, atol=1e-6)
    assert [depth for _, depth in rank.asked] == [4, 2]
    np.testing.assert_array_equal(rank.asked[1][0][0], found.vector)
    assert ids(found.found) == ids(index.search(found.vector, 2))
    assert [passage.id for passage in found.record.passages] == ids(top)
    assert all(passage.relevant for passage in found.record.passages)


def test_rocchio_rankings_depend_only_on_the_proportion(index):
    queries = ["red cat", "the big tree", "small dog"]
    vectors = np.stack([index.query_vector(query) for query in queries])
    for index_is_unit in (True, False):
        rankings = [
            [
                np.argsort(-(index.bank[:] @ moved), kind="stable")[:20].tolist()
                for moved in (
                    refine(index, Feedback("rocchio", alpha=a, beta=b), queries, vectors, [[1, 2, 3]] * 3)[0]
                    if index_is_unit
                    else [rocchio(vector, index.bank[[1, 2, 3]], a, b) for vector in vectors]
                )
            ]
            for a, b in ((0.4, 0.6), (4, 6))
        ]
        assert rankings[0] == rankings[1]


def test_results_are_unique_and_moves_tell_the_truth(index):
    first = ids(index.search("red cat", 10))
    found = answer(index, Feedback("rocchio", alpha=0.1, beta=0.9, k=5))
    second = ids(found.found)
    assert len(set(second)) == len(second) == 10
    assert second != first
    moves = found.record.moves
    assert [move.id for move in moves[:10]] == second
    assert [move.id for move in moves[10:]] == [document for document in first if document not in second]
    for move in moves:
        assert move.before == (first.index(move.id) + 1 if move.id in first else None)
        assert move.after == (second.index(move.id) + 1 if move.id in second else None)


def test_names_of_moves():
    changes = [Move("a", *ranks).change for ranks in ((None, 1), (1, None), (2, 1), (1, 2), (2, 2))]
    assert changes == ["new", "gone", "up", "down", "same"]


def test_documents_the_user_likes_are_followed_and_others_are_left(index):
    target, other = ids(index.search("green house", 1))[0], ids(index.search("red cat", 1))[0]
    places = {}
    for name, feedback in (
        ("before", Feedback("none")),
        ("liked", Feedback.chosen([target])),
        ("both", Feedback.chosen([target], [other])),
    ):
        found = answer(index, feedback, k=60)
        places[name] = {document: rank for rank, document in enumerate(ids(found.found))}
        scores = {hit.document.id: hit.score for hit in found.found}
        places[name + " score"] = scores
    assert places["liked"][target] < places["before"][target]
    assert places["both score"][other] < places["liked score"][other]
    record = answer(index, Feedback.chosen([target], [other])).record
    assert [(passage.id, passage.relevant) for passage in record.passages] == [(target, True), (other, False)]


def test_only_disliked_documents_push_the_query_away(index):
    query, other = index.query_vector("red cat"), ids(index.search("red cat", 1))[0]
    moved, _, _ = refine(index, Feedback.chosen(irrelevant=[other]), ["red cat"], query[None], [[]])
    expected = 0.4 * query - 0.15 * index.bank[index.rows_of(other)][0]
    np.testing.assert_allclose(moved[0], expected / np.linalg.norm(expected), atol=1e-6)


def test_the_best_window_of_a_chosen_document_is_fed_back(tmp_path, hash_encoder):
    long = Document("long", " ".join(["filler"] * 40 + ["red", "cat"] * 16))
    with Index.build([long, *make_documents(5)], hash_encoder, tmp_path / "i", overlap=0) as index:
        rows = index.rows_of("long")
        assert len(rows) > 1
        passage = answer(index, Feedback.chosen(["long"]), k=3).record.passages[0]
        assert passage.row == rows[np.argmax(index.bank[rows] @ index.query_vector("red cat"))] != rows[0]


def test_unknown_documents_are_refused(index):
    with pytest.raises(InputError, match="has no document 'nothing'"):
        answer(index, Feedback.chosen(["nothing"]))


def test_a_query_that_cancels_is_refused(index):
    document = index.search("red cat", 1)[0].document.id
    query = index.bank[index.rows_of(document)]
    feedback = Feedback("rocchio", alpha=0.5, beta=0.5, gamma=0.5, irrelevant=[document])
    with pytest.raises(InputError, match="cancelled the query"):
        refine(index, feedback, ["any"], query, [[]])


def test_too_few_results_are_used_and_told_once(tmp_path, hash_encoder):
    with Index.build(make_documents(2), hash_encoder, tmp_path / "i") as index:
        queries = ["red cat", "dog", "tree"]
        vectors = np.stack([index.query_vector(query) for query in queries])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = feed_back(index, Feedback(k=5), queries, vectors, rank_in(index), k=2)
        assert [str(warning.message) for warning in caught] == [
            "feedback wanted 5 passages and the first search found 2; it used what there is"
        ]
        assert [len(one.record.passages) for one in found] == [2, 2, 2]


def test_an_index_whose_vectors_have_any_length_keeps_the_formula(tmp_path, hash_encoder):
    hash_encoder.normalizes, hash_encoder.similarity = False, "dot"
    with Index.build(make_documents(20), hash_encoder, tmp_path / "i") as index:
        query = index.query_vector("red cat")
        moved, _, _ = refine(index, Feedback("rocchio"), ["red cat"], query[None], [[1, 2, 3]])
        np.testing.assert_array_equal(moved[0], rocchio(query, index.bank[[1, 2, 3]]))


def test_many_queries_are_what_they_are_alone(index):
    queries = ["red cat", "the big tree", "green"]
    vectors = np.stack([index.query_vector(query) for query in queries])
    together = feed_back(index, Feedback("rocchio"), queries, vectors, rank_in(index), k=10)
    for query, found in zip(queries, together, strict=True):
        alone = answer(index, Feedback("rocchio"), query)
        assert ids(found.found) == ids(alone.found)
        np.testing.assert_allclose(found.vector, alone.vector, atol=1e-6)


# ── what is told of atoms ────────────────────────────────────────────────────────────────────────────────────────────


def test_atom_changes_are_what_documents_gained(index):
    atoms = random_atoms(40, 16)
    found = answer(index, Feedback("rocchio"), atoms=atoms)
    q0 = index.query_vector("red cat")
    changes = {atom.atom: atom.change for atom in found.record.atoms}
    rows = [hit.row for hit in found.found]
    codes = atoms.pursue(index.bank[rows]).toarray()
    before, after = (explain_rows(atoms, vector, index.bank[rows]) for vector in (q0, found.vector))
    told = 0
    for code, old, new in zip(codes, before, after, strict=True):
        parts = [dict(zip(part.atoms.tolist(), part.contributions, strict=True)) for part in (old, new)]
        for atom in np.flatnonzero(code):
            if atom in changes:
                told += 1
                gained = parts[1].get(atom, 0) - parts[0].get(atom, 0)
                assert gained == pytest.approx(code[atom] * changes[atom], abs=1e-6)
    assert told > 20


def test_atom_changes_are_of_the_query_and_the_passages(index):
    atoms = random_atoms(40, 16)
    q0, rows = index.query_vector("red cat"), [1, 2]
    q1 = rocchio(q0, index.bank[rows])
    changes = atom_changes(atoms, q0, q1, index.bank[rows])
    codes = atoms.pursue(np.concatenate([q0[None], index.bank[rows]]))
    assert {change.atom for change in changes} == set(codes.indices.tolist())
    for change in changes:
        assert change.change == pytest.approx(float(atoms.decoder[change.atom] @ (q1 - q0)), abs=1e-6)
        assert change.label == f"label {change.atom}"
    sizes = [abs(change.change) for change in changes]
    assert sizes == sorted(sizes, reverse=True)


def test_a_record_as_people_and_programs_read_it(index):
    record = answer(index, Feedback("rocchio"), atoms=random_atoms(40, 16)).record
    raised, lowered = record.raised(3), record.lowered(3)
    assert len(raised) == len(lowered) == 3
    assert all(atom.change > 0 for atom in raised)
    assert all(atom.change < 0 for atom in lowered)
    shown = record.as_dict()
    assert set(shown) == {"passages", "tokens_used", "moves", "atoms"}
    assert shown["moves"][0]["change"] in {"new", "up", "down", "same"}
    assert answer(index, Feedback("rocchio")).record.atoms == []


# ── a learned encoder ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    pytest.importorskip("transformers")
    from tiny_models import bert_folder

    from sememe.models import Encoder

    return Encoder.load(bert_folder(tmp_path_factory.mktemp("bert") / "bert"), device="cpu")


@pytest.fixture
def small_index(transformer, tmp_path):
    texts = ["the cat sat on a mat", "sparse vectors", "memory is cached", "warm and soft mats", "documents"]
    documents = [Document(str(number), text, title="Cats" if number == 0 else "") for number, text in enumerate(texts)]
    with Index.build(documents, transformer, tmp_path / "small") as index:
        yield index


def test_an_encoder_reads_the_passages_in_their_order(small_index, transformer):
    from sememe.models.feedback_encoder import PrfEncoder

    prf = PrfEncoder.from_encoder(transformer, k=2)
    found = answer(small_index, Feedback(prf), "soft cat", k=3)
    top = small_index.search("soft cat", 2)
    vector, used = prf.encode("soft cat", [small_index.text(hit.row) for hit in top])
    np.testing.assert_allclose(found.vector, vector / np.linalg.norm(vector), atol=1e-6)
    assert found.record.n_tokens_used == used > 0
    assert [passage.id for passage in found.record.passages] == ids(top)


def test_an_encoder_reads_what_the_user_chose(small_index, transformer):
    from sememe.models.feedback_encoder import PrfEncoder

    prf = PrfEncoder.from_encoder(transformer, k=2)
    found = answer(small_index, Feedback(prf, relevant=["0"]), "soft cat", k=3)
    vector, _ = prf.encode("soft cat", ["Cats\nthe cat sat on a mat"])
    np.testing.assert_allclose(found.vector, vector / np.linalg.norm(vector), atol=1e-6)
    with pytest.raises(InputError, match="reads 2 passages, not 3"):
        answer(small_index, Feedback(prf, relevant=["0", "1", "2"]))


def test_an_encoder_of_another_k_or_another_index_is_refused(small_index, index, transformer):
    from sememe.models.feedback_encoder import PrfEncoder

    prf = PrfEncoder.from_encoder(transformer, k=2)
    with pytest.raises(InputError, match="made for k = 2, not 3"):
        Feedback(prf, k=3)
    assert Feedback(prf).n_passages == Feedback(prf, k=2).n_passages == 2
    with pytest.raises(ModelError, match="built with another encoder"):
        answer(index, Feedback(prf))
    with pytest.raises(InputError, match="reads texts"):
        refine(small_index, Feedback(prf), [np.zeros(32, np.float32)], np.zeros((1, 32), np.float32), [[0, 1]])
    assert Feedback(PrfEncoder.from_encoder(transformer, lowercase=True)).as_read("WHAT") == "what"


def test_an_index_as_small_as_that_gives_the_encoder_what_there_is(small_index, transformer):
    from sememe.models.feedback_encoder import PrfEncoder

    prf = PrfEncoder.from_encoder(transformer, k=7)
    with pytest.warns(UserWarning, match="wanted 7 passages and the first search found 5"):
        found = answer(small_index, Feedback(prf), "soft cat")
    assert len(found.record.passages) == 5
