"""Binary codes: distances, ties, balls, reports, and the first stages that make codes from vectors."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.hamming import (
    ball_size,
    bit_report,
    code_neighbours,
    hamming_distances,
    hamming_search,
)
from sememe.search.coarse.itq import IterativeQuantization, learn_itq, quantization_error
from sememe.search.coarse.learned import LearnedCodes
from sememe.search.coarse.signs import RandomRotation, Signs, random_rotation

KINDS = [(Signs, None), (RandomRotation, 40), (RandomRotation, 12), (IterativeQuantization, 20)]
D = 24


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(0).integers(0, 256, (500, 5), np.uint8)


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(1)
    return (rng.standard_normal((2500, 8)) @ rng.standard_normal((8, D)) + rng.standard_normal(D)).astype(np.float32)


def make_bank(path, vectors):
    with Bank.create(path, vectors.shape[1], provenance={}) as bank:
        bank.append(vectors)
        bank.commit()
    return Bank.open(path)


@pytest.mark.parametrize("n_bytes", [1, 3, 4, 5, 8, 16, 17, 32, 48, 64, 100])
def test_distances_are_those_of_unpacked_bits(n_bytes):
    codes = np.random.default_rng(n_bytes).integers(0, 256, (300, n_bytes), np.uint8)
    bits = np.unpackbits(codes, axis=1).astype(int)
    for row in (0, 7):
        np.testing.assert_array_equal(hamming_distances(codes[row], codes), np.abs(bits - bits[row]).sum(axis=1))
        assert hamming_distances(codes[row], codes)[row] == 0
    np.testing.assert_array_equal(
        hamming_distances(codes[0], codes[::2]), hamming_distances(codes[0], codes)[::2]
    )  # not contiguous
    assert len(hamming_distances(codes[0], codes[:0])) == 0


def test_search_is_that_of_faiss_with_ties_by_row(codes):
    index = faiss.IndexBinaryFlat(40)
    index.add(codes)
    distances, _ = index.search(codes[:20], 30)
    for code, theirs, ours in zip(codes[:20], distances, hamming_search(codes[:20], codes, k=30), strict=True):
        np.testing.assert_array_equal(ours.distances, theirs)
        every = hamming_distances(code, codes)
        np.testing.assert_array_equal(ours.rows, np.lexsort((np.arange(500), every))[:30])
        limit, found, ids = index.range_search(code[None], 13)  # faiss leaves the radius itself out
        inside = code_neighbours(code, codes, radius=12)
        assert len(inside.rows) == limit[1]
        np.testing.assert_array_equal(np.sort(inside.rows), np.sort(ids))
        np.testing.assert_array_equal(np.sort(inside.distances), np.sort(found))


def test_only_allowed_rows_are_found(codes):
    allowed = np.random.default_rng(2).random(500) < 0.3
    every = np.lexsort((np.arange(500), hamming_distances(codes[3], codes)))
    kept = every[allowed[every]]
    for n in (0, 1, 10, allowed.sum(), 500):
        np.testing.assert_array_equal(code_neighbours(codes[3], codes, n=n, allowed=allowed).rows, kept[:n])
    both = code_neighbours(codes[3], codes, n=5, radius=14, allowed=allowed)
    assert len(both.rows) <= 5
    assert (both.distances <= 14).all()
    assert not len(code_neighbours(codes[3], codes, n=5, allowed=np.zeros(500, bool)).rows)


def test_what_cannot_be_searched_is_refused(codes):
    with pytest.raises(InputError, match="a number of codes, a radius"):
        hamming_search(codes[:1], codes)
    with pytest.raises(InputError, match="a code is 5 bytes"):
        hamming_search(codes[:1, :4], codes, k=3)
    with pytest.raises(InputError, match="a code is 5 bytes"):
        hamming_distances(codes[0].astype(np.int64), codes)


def test_ball_sizes():
    found = {bits: [ball_size(bits, radius) for radius in (1, 2, 3)] for bits in (24, 28, 32)}
    assert found == {24: [25, 301, 2325], 28: [29, 407, 3683], 32: [33, 529, 5489]}
    assert [ball_size(3, radius) for radius in range(5)] == [1, 4, 7, 8, 8]


def test_the_report_sees_dead_unbalanced_and_equal_bits():
    rng = np.random.default_rng(0)
    bits = rng.random((4000, 10)) < [0.5, 0.5, 0.1, 0, 1, 0.5, 0.5, 0.5, 0.5, 0.5]
    free = bit_report(np.packbits(bits, axis=1), 10)
    assert free.dead == 2
    assert free.balance[2] == pytest.approx(0.1, abs=0.02)
    assert free.entropy[2] == pytest.approx(0.469, abs=0.04)  # H(0.1)
    assert free.entropy[[3, 4]].tolist() == [0, 0]
    assert free.bits_used == pytest.approx(7.47, abs=0.06)
    assert free.correlation < 0.03
    bits[:, 5:] = ~bits[:, :1]
    copied = bit_report(np.packbits(bits, axis=1), 10)
    alive = bits[:, [0, 1, 2, 5, 6, 7, 8, 9]].astype(float)
    expected = np.abs(np.corrcoef(alive.T))[np.triu_indices(8, 1)].mean()
    assert copied.correlation == pytest.approx(expected, abs=1e-5)
    assert bit_report(np.zeros((3, 1), np.uint8), 8).correlation == 0
    with pytest.raises(InputError, match="cannot measure"):
        bit_report(np.zeros((0, 1), np.uint8), 8)


@pytest.mark.parametrize(("kind", "parameter"), KINDS)
def test_a_stage_finds_what_a_loop_finds(kind, parameter, vectors, tmp_path):
    bank = make_bank(tmp_path / "bank", vectors)
    stage = kind.fit(bank, parameter)
    assert (stage.n_rows, stage.n_bits) == (0, parameter or D)
    stage.extend(bank)
    assert stage.n_rows == 2500
    bits = (vectors - stage.mean) @ stage.matrix.T > 0
    np.testing.assert_array_equal(np.unpackbits(stage.codes, axis=1, count=stage.n_bits), bits)
    query, allowed = vectors[11] + 0.1, np.arange(2500) % 3 > 0
    own = (query - stage.mean) @ stage.matrix.T > 0
    order = np.lexsort((np.arange(2500), (bits != own).sum(axis=1)))
    order = order[allowed[order]]
    np.testing.assert_array_equal(stage.candidates(query, 50, allowed), order[:50])
    np.testing.assert_array_equal(stage.candidates(query, 2500, allowed), order)
    assert stage.nbytes == 2500 * -(-stage.n_bits // 8) + 4 * (D + stage.n_bits * D)
    # Far better than chance: the nearest tenth by code holds most of the true ten.
    centred = vectors - vectors.mean(axis=0)
    true = np.argsort(-centred @ (query - vectors.mean(axis=0)))[:10]
    assert np.isin(true, stage.candidates(query, 250, np.ones(2500, bool))).mean() > 0.5


@pytest.mark.parametrize(("kind", "parameter"), KINDS)
def test_pieces_are_the_whole_and_files_are_the_same(kind, parameter, vectors, tmp_path):
    whole = make_bank(tmp_path / "whole", vectors)
    stage = kind.fit(whole, parameter, random_state=3)
    again = kind.fit(whole, parameter, random_state=3)
    stage.extend(whole)
    for last in (1, 700, 701, 1024, 2048, 2500):
        again.extend(make_bank(tmp_path / str(last), vectors[:last]))
    np.testing.assert_array_equal(stage.codes, again.codes)
    stage.save(tmp_path / "one")
    loaded = kind.load(tmp_path / "one")
    loaded.save(tmp_path / "two")
    for file in ("model.safetensors", "card.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    allowed = np.ones(2500, bool)
    np.testing.assert_array_equal(loaded.candidates(vectors[5], 40, allowed), stage.candidates(vectors[5], 40, allowed))
    other = RandomRotation if kind is not RandomRotation else Signs
    with pytest.raises(ArtifactError, match="coarse-"):
        other.load(tmp_path / "one")


def test_what_does_not_fit_is_refused(vectors, tmp_path):
    bank = make_bank(tmp_path / "bank", vectors[:50])
    empty = make_bank(tmp_path / "empty", vectors[:0])
    with pytest.raises(InputError, match="one bit a dimension"):
        Signs.fit(bank, 8)
    with pytest.raises(InputError, match="Give 1 to 24"):
        IterativeQuantization.fit(bank, 25)
    with pytest.raises(InputError, match="codes of 0 bits"):
        RandomRotation.fit(bank, 0)
    for kind, parameter in KINDS:
        with pytest.raises(InputError, match="no vectors"):
            kind.fit(empty, parameter)
        stage = kind.fit(bank, parameter)
        with pytest.raises(InputError, match="24"):
            stage.extend(make_bank(tmp_path / f"{stage.kind}-{parameter}", vectors[:5, :10].copy()))
        with pytest.raises(InputError, match="shape"):
            stage.candidates(vectors[0, :10], 3, np.zeros(0, bool))


def test_rotations_are_orthogonal_and_itq_loses_less_than_pca(vectors):
    rotation = random_rotation(D, np.random.default_rng(0))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(D), atol=1e-12)
    mean, matrix = learn_itq(vectors, 8)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-5)
    principal = np.linalg.eigh(np.cov(vectors.T))[1][:, ::-1][:, :8].T
    # The same subspace, and a better rotation of it.
    np.testing.assert_allclose(matrix.T @ matrix, principal.T @ principal, atol=1e-4)
    assert quantization_error(vectors, mean, matrix) < quantization_error(vectors, mean, principal)
    random = random_rotation(8, np.random.default_rng(1)) @ principal
    assert quantization_error(vectors, mean, matrix) < quantization_error(vectors, mean, random)


def test_given_codes_answer_codes_and_with_a_projection_vectors(codes, vectors, tmp_path):
    stage = LearnedCodes.from_codes(codes[:400], 36)
    stage.add(codes[400:])
    found = stage.candidates_of_code(codes[7], n=5)
    np.testing.assert_array_equal(found.rows, code_neighbours(codes[7], codes, n=5).rows)
    stage.save(tmp_path / "codes")
    loaded = LearnedCodes.load(tmp_path / "codes")
    np.testing.assert_array_equal(loaded.codes, codes)
    assert loaded.n_bits == 36
    bank = make_bank(tmp_path / "bank", vectors[:30])
    for call in (lambda: stage.candidates(vectors[0], 3, np.ones(500, bool)), lambda: stage.extend(bank)):
        with pytest.raises(InputError, match="no function of vectors"):
            call()
    with pytest.raises(InputError, match="BinaryParagraphVector"):
        LearnedCodes.fit(bank)
    with pytest.raises(InputError, match="codes have shape"):
        stage.add(codes[:, :3])
    projection = np.random.default_rng(0).standard_normal((12, D))
    mapped = LearnedCodes.from_projection(projection)
    mapped.extend(bank)
    np.testing.assert_array_equal(np.unpackbits(mapped.codes, axis=1, count=12), vectors[:30] @ projection.T > 0)
    assert mapped.candidates(vectors[4], 1, np.ones(30, bool))[0] == 4
