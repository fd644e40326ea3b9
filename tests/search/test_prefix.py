"""Prefixes in memory propose what brute force over prefixes proposes, to the rounding of eight bits."""

from __future__ import annotations

import numpy as np
import pytest

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.prefix import Prefix

D, N = 48, 2000


def make_bank(path, X, dtype="float32"):
    with Bank.create(path, X.shape[1], dtype=dtype, provenance={}) as bank:
        bank.append(X)
        bank.commit()
    return Bank.open(path)


@pytest.fixture(scope="module")
def vectors():
    X = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def bank(vectors, tmp_path_factory):
    with make_bank(tmp_path_factory.mktemp("bank") / "bank", vectors) as bank:
        yield bank


def fitted(bank, m=None):
    stage = Prefix.fit(bank, m)
    stage.extend(bank)
    return stage


@pytest.mark.parametrize("m", [1, 5, 16, D])
def test_candidates_are_nearly_those_of_float_prefixes(bank, vectors, m):
    stage = fitted(bank, m)
    cut = vectors[:, :m].astype(np.float64)
    cut /= np.linalg.norm(cut, axis=1, keepdims=True)
    everything = np.ones(N, bool)
    for query in np.random.default_rng(1).standard_normal((10, D)).astype(np.float32):
        scores = cut @ query[:m]
        found = stage.candidates(query, 100, everything)
        best = np.sort(scores)[::-1][:100]
        lost = np.linalg.norm(query[:m]) * np.sqrt(m) / 255  # half a step a dimension, both sides of the cut
        assert scores[found].min() >= best[-1] - lost
        assert np.all(np.diff(scores[found]) <= lost)
    assert stage.nbytes == m * N
    assert stage.n_rows == N


def test_every_allowed_row_is_given_when_as_many_are_asked_for(bank):
    stage = fitted(bank, 8)
    allowed = np.random.default_rng(2).random(N) < 0.3
    query = np.ones(D, np.float32)
    found = stage.candidates(query, N, allowed)
    assert sorted(found) == np.flatnonzero(allowed).tolist()
    assert found.dtype == np.int64
    assert stage.candidates(query, 5, allowed).tolist() == found[:5].tolist()
    assert stage.candidates(query, 5, np.zeros(N, bool)).tolist() == []


def test_equal_rows_come_in_their_order(tmp_path):
    X = np.tile(np.random.default_rng(3).standard_normal((2, D)).astype(np.float32), (50, 1))
    with make_bank(tmp_path / "bank", X) as bank:
        found = fitted(bank, 8).candidates(X[0], 100, np.ones(100, bool))
    assert found.tolist() == [*range(0, 100, 2), *range(1, 100, 2)]


def test_growing_in_pieces_is_growing_at_once(vectors, tmp_path):
    with Bank.create(tmp_path / "bank", D, provenance={}) as bank:
        bank.append(vectors[:1500])
        bank.commit()
        pieces = Prefix.fit(bank, 16)
        pieces.extend(bank)
        whole = Prefix.fit(bank, 16)
        bank.append(vectors[1500:])
        bank.commit()
        pieces.extend(bank)
        pieces.extend(bank)
        whole.extend(bank)
    pieces.save(tmp_path / "pieces")
    whole.save(tmp_path / "whole")
    for file in ("card.json", "model.safetensors"):
        assert (tmp_path / "pieces" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_what_was_saved_is_what_is_loaded(bank, tmp_path):
    stage = fitted(bank, 12)
    stage.save(tmp_path / "a")
    loaded = Prefix.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    for file in ("card.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    query, everything = np.ones(D, np.float32), np.ones(N, bool)
    np.testing.assert_array_equal(stage.candidates(query, 50, everything), loaded.candidates(query, 50, everything))
    loaded.extend(bank)
    assert loaded.n_rows == N


def test_an_empty_stage_is_saved_and_grows(bank, tmp_path):
    Prefix.fit(bank, 12).save(tmp_path / "empty")
    stage = Prefix.load(tmp_path / "empty")
    assert (stage.n_rows, stage.dimensions, stage.nbytes) == (0, 12, 0)
    assert stage.candidates(np.ones(D, np.float32), 5, np.zeros(0, bool)).tolist() == []
    stage.extend(bank)
    stage.save(tmp_path / "grown")
    fitted(bank, 12).save(tmp_path / "at-once")
    name = "model.safetensors"
    assert (tmp_path / "grown" / name).read_bytes() == (tmp_path / "at-once" / name).read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_unit_vectors_are_recognised_in_every_bank(vectors, tmp_path, dtype):
    X = vectors.copy()
    X[7] = 0  # a text without tokens
    with make_bank(tmp_path / "unit", X, dtype) as bank:
        stage = fitted(bank, 8)
        assert stage.normalize
        assert len(stage.candidates(X[0], N, np.ones(N, bool))) == N
    with make_bank(tmp_path / "other", 3 * X, dtype) as bank:
        assert not Prefix.fit(bank, 8).normalize


def test_lengths_count_when_vectors_have_lengths(tmp_path):
    X = np.random.default_rng(5).standard_normal((500, D)).astype(np.float32)
    X *= np.linspace(0.5, 3, 500, dtype=np.float32)[:, None]
    with make_bank(tmp_path / "bank", X) as bank:
        found = fitted(bank, 16).candidates(X[3], 20, np.ones(500, bool))
    expected = np.argsort(-(X[:, :16] @ X[3, :16]))[:20]
    assert len(set(found) & set(expected)) >= 18


def test_the_default_is_a_quarter(bank, tmp_path):
    assert Prefix.fit(bank).dimensions == 16
    with make_bank(tmp_path / "wide", np.eye(256, dtype=np.float32)) as wide:
        assert Prefix.fit(wide).dimensions == 64
    with make_bank(tmp_path / "narrow", np.eye(3, dtype=np.float32)) as narrow:
        assert Prefix.fit(narrow).dimensions == 3


def test_what_does_not_fit_is_refused(bank, tmp_path):
    with pytest.raises(InputError, match=f"cannot keep {D + 1} of {D}"):
        Prefix.fit(bank, D + 1)
    with pytest.raises(InputError, match="cannot keep 0"):
        Prefix.fit(bank, 0)
    with pytest.raises(InputError, match="the query has shape"):
        fitted(bank, 8).candidates(np.ones(8, np.float32), 5, np.ones(N, bool))
    with make_bank(tmp_path / "wide", np.eye(64, dtype=np.float32)) as wide, pytest.raises(InputError, match="64"):
        fitted(bank, 8).extend(wide)
    with Bank.create(tmp_path / "none", D, provenance={}) as empty, pytest.raises(InputError, match="no vectors"):
        Prefix.fit(empty, 8)


def test_damage_is_named(bank, tmp_path):
    path = tmp_path / "stage"
    fitted(bank, 8).save(path)
    data = bytearray((path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        Prefix.load(path)
    artifact.save(tmp_path / "other", "coarse-prefix", {"codes": np.zeros((3, 4), np.uint8)}, {"width": 8})
    with pytest.raises(ArtifactError, match="does not hold prefixes"):
        Prefix.load(tmp_path / "other")
