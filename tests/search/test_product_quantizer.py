"""Product codes: the arithmetic by hand, agreement with faiss, filters, ties, growth in pieces, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.product import ProductCodes, ProductQuantizer

HAND = ProductQuantizer(np.array([[(0, 0), (1, 1)], [(1, 0), (0, 1)]], np.float32))


def clustered(n, d=24, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((12, d))
    X = centres[rng.integers(0, 12, n)] + 0.5 * rng.standard_normal((n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    X = clustered(700)
    return X, ProductQuantizer.fit(X, 6, n_centroids=16)


@pytest.fixture
def bank(tmp_path):
    with Bank.create(tmp_path / "bank", 24, provenance={"model_fingerprint": "a"}) as bank:
        bank.append(clustered(700))
        bank.commit()
        yield bank


@pytest.fixture
def empty(tmp_path):
    with Bank.create(tmp_path / "empty", 24, provenance={"model_fingerprint": "b"}) as bank:
        yield bank


def test_the_example_by_hand():
    v, q = np.array([[0.9, 0.8, 0.2, 0.9]], np.float32), np.array([1, 0.5, -1, 2], np.float32)
    codes = HAND.encode(v)
    assert codes.tolist() == [[1, 1]]
    assert HAND.decode(codes).tolist() == [[1, 1, 0, 1]]
    assert ((v - HAND.decode(codes)) ** 2).sum() == pytest.approx(0.10)
    assert HAND.tables(q).tolist() == [[0, 1.5], [-1, 2]]
    scores, rows = HAND.search(q[None], codes, 1)
    assert scores.tolist() == [[3.5]]
    assert rows.tolist() == [[0]]


def test_codes_are_nearest_codewords(fitted):
    X, quantizer = fitted
    rotated = (X @ quantizer.rotation.T).reshape(len(X), 6, 1, 4)
    distances = ((rotated - quantizer.codebook) ** 2).sum(axis=3)
    chosen = np.take_along_axis(distances, quantizer.encode(X)[:, :, None].astype(int), axis=2)[:, :, 0]
    np.testing.assert_allclose(chosen, distances.min(axis=2), atol=1e-6)


def test_scores_are_inner_products_with_decoded_vectors_and_those_of_faiss(fitted):
    import faiss

    X, quantizer = fitted
    queries, codes = clustered(5, seed=1), quantizer.encode(X)
    scores, rows = quantizer.search(queries, codes, len(X))
    exact = queries @ quantizer.decode(codes).T
    np.testing.assert_allclose(scores, np.take_along_axis(exact, rows, axis=1), atol=1e-5)
    looked_up = quantizer.tables(queries[0])[np.arange(6), codes].sum(axis=1)
    np.testing.assert_allclose(scores[0], looked_up[rows[0]], atol=1e-5)

    peer = faiss.IndexPQ(24, 6, 4, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(quantizer.codebook.reshape(-1), peer.pq.centroids)
    peer.is_trained = True
    peer.add(np.ascontiguousarray(X @ quantizer.rotation.T))
    theirs, _ = peer.search(np.ascontiguousarray(queries @ quantizer.rotation.T), len(X))
    np.testing.assert_allclose(scores, theirs, atol=1e-5)


def test_the_rotation_is_orthogonal_and_helps(fitted):
    X, quantizer = fitted
    np.testing.assert_allclose(quantizer.rotation @ quantizer.rotation.T, np.eye(24), atol=1e-4)
    stretched = X * np.linspace(0.1, 2, 24).astype(np.float32)  # its energy lies in the last slices
    errors = {}
    for rotation in ("opq", "none"):
        learned = ProductQuantizer.fit(stretched, 6, n_centroids=16, rotation=rotation)
        errors[rotation] = ((stretched - learned.decode(learned.encode(stretched))) ** 2).sum()
    assert errors["opq"] < 0.95 * errors["none"]


def test_fitting_twice_gives_the_same_and_seeds_differ(fitted):
    X, quantizer = fitted
    assert ProductQuantizer.fit(X, 6, n_centroids=16).fingerprint == quantizer.fingerprint
    assert ProductQuantizer.fit(X, 6, n_centroids=16, random_state=1).fingerprint != quantizer.fingerprint


def test_a_code_does_not_depend_on_the_other_rows(fitted):
    X, quantizer = fitted
    codes = quantizer.encode(X)
    pieces = [quantizer.encode(X[start:stop]) for start, stop in ((0, 1), (1, 300), (300, 700))]
    np.testing.assert_array_equal(np.concatenate(pieces), codes)
    assert quantizer.encode(X[:0]).shape == (0, 6)


def test_equal_scores_come_by_row_however_many_are_asked_for():
    codes = np.tile(np.array([[1, 1], [0, 0], [1, 0]], np.uint8), (50, 1))
    q = np.array([[1, 0.5, -1, 2]], np.float32)
    expected = np.lexsort((np.arange(150), -(q @ HAND.decode(codes).T)[0]))
    for k in (1, 2, 49, 50, 51, 149, 150, 999):
        assert HAND.search(q, codes, k)[1][0].tolist() == expected[:k].tolist()


def test_a_query_map_changes_queries_only(fitted):
    X, quantizer = fitted
    W = np.random.default_rng(2).standard_normal((24, 24)).astype(np.float32)
    mapped = ProductQuantizer(quantizer.codebook, quantizer.rotation, W)
    codes = mapped.encode(X)
    np.testing.assert_array_equal(codes, quantizer.encode(X))
    assert mapped.fingerprint == quantizer.fingerprint
    q = clustered(3, seed=3)
    np.testing.assert_array_equal(mapped.search(q, codes, 9)[1], quantizer.search(q @ W.T, codes, 9)[1])


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.2, 0.01, 0.0])
def test_only_allowed_rows_are_proposed_and_the_best_of_them(fitted, share):
    X, quantizer = fitted
    stage = ProductCodes(quantizer, quantizer.encode(X))
    allowed = np.random.default_rng(5).random(700) < share
    for query in clustered(4, seed=6):
        scores = quantizer.decode(quantizer.encode(X)) @ query
        for n in (1, 10, 700):
            rows, given = stage.scored_candidates(query, n, allowed)
            assert rows.dtype == np.int64
            assert len(rows) == min(n, allowed.sum())
            assert allowed[rows].all()
            np.testing.assert_allclose(given, scores[rows], atol=1e-5)
            np.testing.assert_allclose(given, np.sort(scores[allowed])[::-1][: len(rows)], atol=1e-5)


def test_growing_in_pieces_gives_the_same_bytes(empty, tmp_path):
    X, whole = clustered(1000), empty
    whole.append(X[:600])
    whole.commit()
    at_once, in_pieces = ProductCodes.fit(whole, 6), ProductCodes.fit(whole, 6)
    in_pieces.extend(whole)
    assert in_pieces.n_rows == 600
    for stop in (601, 777, 1000):
        whole.append(X[len(whole) : stop])
        whole.commit()
        in_pieces.extend(whole)
    at_once.extend(whole)
    at_once.save(tmp_path / "a")
    in_pieces.save(tmp_path / "b")
    ProductCodes.load(tmp_path / "a").save(tmp_path / "c")
    for name in ("card.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    reopened = ProductCodes.load(tmp_path / "c")
    assert reopened.nbytes == at_once.nbytes == 1000 * 6 + (256 * 24 + 24 * 24) * 4
    everything = np.ones(1000, bool)
    np.testing.assert_array_equal(reopened.candidates(X[3], 20, everything), at_once.candidates(X[3], 20, everything))


@pytest.mark.parametrize(("n", "n_centroids"), [(1, 1), (20, 16), (70, 64)])
def test_a_small_bank_gets_fewer_codewords_and_an_empty_one_is_refused(empty, n, n_centroids):
    bank = empty
    with pytest.raises(InputError, match="holds no vectors to learn a codebook from"):
        ProductCodes.fit(bank, None)
    bank.append(clustered(n))
    bank.commit()
    stage = ProductCodes.fit(bank, None)
    assert stage.quantizer.n_centroids == n_centroids
    assert stage.quantizer.n_subvectors == 3  # an eighth of 24
    stage.extend(bank)
    assert len(stage.candidates(clustered(1)[0], 100, np.ones(n, bool))) == n


def test_what_does_not_fit_is_refused(fitted, bank):
    X, quantizer = fitted
    with pytest.raises(InputError, match="24 dimensions cannot be cut into 7 equal slices"):
        ProductQuantizer.fit(X, 7, n_centroids=16)
    with pytest.raises(InputError, match="7 equal slices"):
        ProductCodes.fit(bank, 7)
    with pytest.raises(InputError, match="15 vectors cannot give 16 codewords"), pytest.warns(UserWarning, match="few"):
        ProductQuantizer.fit(X[:15], 6, n_centroids=16)
    with pytest.warns(UserWarning, match="30 vectors are few for 16 codewords: faiss asks for 624"):
        ProductQuantizer.fit(X[:30], 6, n_centroids=16)
    with pytest.raises(InputError, match="20 vectors of 24 dimensions are too few for rotation 'opq': use 'none'"):
        ProductQuantizer._learned(X[:20], 6, 16, "opq", 0)
    with pytest.raises(InputError, match=r"a power of two up to 256, not 100.*rotation must be one of opq, none"):
        ProductQuantizer.fit(np.repeat(X, 6, axis=0), 6, n_centroids=100, rotation="pca")
    with pytest.raises(InputError, match=r"for vectors of \(n, 24\)"):
        quantizer.encode(X[:, :12])
    with pytest.raises(InputError, match="NaN"):
        quantizer.encode(np.full((1, 24), np.nan))
    with pytest.raises(InputError, match="not codes of this quantiser"):
        quantizer.decode(np.zeros((3, 5), np.uint8))
    with pytest.raises(InputError, match="codes of another quantiser: 16 of 16 codewords"):
        quantizer.decode(np.full((3, 6), 16, np.uint8))
    with pytest.raises(InputError, match="holds vectors of 24 dimensions, the codebook is for 4"):
        ProductCodes(HAND).extend(bank)


def test_rows_of_another_model_are_refused(fitted, bank, empty):
    stage = ProductCodes(fitted[1])
    stage.extend(bank)
    with pytest.raises(InputError, match="made by another model"):
        stage.extend(empty)


def test_codes_of_another_quantiser_are_refused(fitted, bank, tmp_path):
    stage = ProductCodes(fitted[1])
    stage.extend(bank)
    stage.save(tmp_path / "codes")
    arrays, card = artifact.load(tmp_path / "codes", "coarse-pq")
    artifact.save(tmp_path / "mixed", "coarse-pq", {**arrays, "codebook": arrays["codebook"] + 1}, card)
    with pytest.raises(ArtifactError, match="codes of another quantiser"):
        ProductCodes.load(tmp_path / "mixed")
    assert json.loads((tmp_path / "codes" / "card.json").read_text())["encoder"] == "a"
