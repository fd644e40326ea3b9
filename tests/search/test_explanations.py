"""Explanations add up exactly, and steering moves a query as its formula says."""

from __future__ import annotations

import numpy as np
import pytest
from test_index import make_documents

from sememe import Atoms, Index
from sememe.atoms import Weights
from sememe.errors import InputError


def random_atoms(n_atoms: int, dimensions: int, seed: int = 0) -> Atoms:
    rng = np.random.default_rng(seed)
    decoder = rng.standard_normal((n_atoms, dimensions)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    bias = 0.1 * rng.standard_normal(dimensions).astype(np.float32)
    weights = Weights(decoder, decoder.copy(), np.zeros(n_atoms, np.float32), bias, np.full(n_atoms, 0.2, np.float32))
    return Atoms(weights, np.ones(n_atoms), {}, [f"label {i}" for i in range(n_atoms)])


@pytest.fixture
def index(tmp_path, hash_encoder):
    with Index.build(make_documents(80), hash_encoder, tmp_path / "i") as built:
        yield built


@pytest.fixture
def atoms():
    return random_atoms(40, 16)


def test_parts_sum_to_the_score(index, atoms):
    for query in ("red cat", "the big tree", "never seen words"):
        for hit in index.search(query, 80, explain=atoms):
            assert hit.explanation.score == pytest.approx(hit.score, rel=1e-4, abs=1e-6)
            listed = hit.explanation.as_dict()
            total = sum(atom["contribution"] for atom in listed["atoms"]) + listed["bias"] + listed["residual"]
            assert total == pytest.approx(hit.score, rel=1e-4, abs=1e-6)
            sizes = np.abs(hit.explanation.contributions)
            assert (np.diff(sizes) <= 0).all()


def test_parts_are_what_their_formula_says(index, atoms):
    hit = index.search("red cat", 1, explain=atoms)[0]
    query = index.query_vector("red cat").astype(np.float64)
    vector = index.bank[[hit.row]].astype(np.float64)
    code = atoms.pursue(vector.astype(np.float32)).toarray()[0]
    expected = code * (atoms.decoder.astype(np.float64) @ query)
    np.testing.assert_allclose(hit.explanation.contributions, expected[hit.explanation.atoms], atol=1e-6)
    assert set(hit.explanation.atoms) == set(np.flatnonzero(code))
    assert hit.explanation.bias == pytest.approx(float(atoms.bias @ query), abs=1e-6)
    remainder = vector[0] - code @ atoms.decoder - atoms.bias
    assert hit.explanation.residual == pytest.approx(float(remainder @ query), abs=1e-6)
    assert hit.explanation.top(2)[0].label == f"label {hit.explanation.atoms[0]}"


def test_hybrid_explains_its_dense_part(index, atoms):
    for hit in index.search("red cat", 10, mode="hybrid", explain=atoms):
        assert hit.explanation.score == pytest.approx(hit.parts["dense"], rel=1e-4, abs=1e-6)


def test_an_explanation_does_not_change_the_ranking(index, atoms):
    plain = [(hit.document.id, hit.score) for hit in index.search("red cat", 20)]
    assert [(hit.document.id, hit.score) for hit in index.search("red cat", 20, explain=atoms)] == plain


def test_steering_follows_its_formula(index, atoms):
    query = index.query_vector("red cat").astype(np.float64)
    moved = query + 0.7 * atoms.decoder[3] - 0.2 * atoms.decoder[5]
    expected = moved / np.linalg.norm(moved)
    found = index.query_vector("red cat", explain=atoms, steer={3: 0.7, 5: -0.2})
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [h.document.id for h in index.search("red cat", 10, explain=atoms, steer={3: 0.7, 5: -0.2})] == [
        h.document.id for h in index.search(found, 10)
    ]


def test_steering_far_enough_brings_the_atom_to_the_top(index, atoms):
    before = index.search("red cat", 1)[0]
    hits = index.search("red cat", 80, explain=atoms, steer={7: 50.0})
    aligned = index.bank[np.arange(80)] @ atoms.decoder[7]
    assert hits[0].row == int(np.argmax(aligned))
    assert hits[0].document.id != before.document.id


def test_no_steering_is_no_change(index, atoms):
    np.testing.assert_array_equal(
        index.query_vector("red", explain=atoms, steer={}), index.query_vector("red", explain=atoms)
    )


@pytest.mark.parametrize(
    ("steer", "message"), [({40: 1.0}, "no atom 40"), ({-1: 1.0}, "no atom -1"), ({1: float("nan")}, "amount")]
)
def test_wrong_steering_is_named(index, atoms, steer, message):
    with pytest.raises(InputError, match=message):
        index.search("red", explain=atoms, steer=steer)


def test_atoms_of_another_width_are_refused(index):
    with pytest.raises(InputError, match="8 dimensions, the index has 16"):
        index.search("red", explain=random_atoms(5, 8))


def test_lexical_scores_have_no_atoms(index, atoms):
    with pytest.raises(InputError, match="has no atoms"):
        index.search("red", mode="lexical", explain=atoms)
