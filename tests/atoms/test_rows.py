"""Which vectors are trained on, which are held out, and how those on disk are read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sememe import Atoms, Bank
from sememe.atoms import rows as rows_module
from sememe.atoms.rows import held_out_rows, prepare
from sememe.errors import InputError


@pytest.fixture
def bank(tmp_path):
    rng = np.random.default_rng(0)
    with Bank.create(tmp_path / "bank", 6, provenance={"model": "made"}) as bank:
        bank.append(rng.standard_normal((5000, 6)).astype(np.float32), documents=np.arange(5000) // 7)
        bank.commit()
        yield bank


def test_the_split_is_whole_and_splits_no_document(bank):
    rows = prepare(bank, 0.1, 0)
    assert sorted([*rows.train, *rows.held_out]) == list(range(5000))
    assert len(rows.held_out) == pytest.approx(500, abs=7)
    documents = bank.documents
    assert not set(documents[rows.train]) & set(documents[rows.held_out])
    assert not rows.splits_a_document


def test_mean_and_scale_are_those_of_the_training_rows():
    X = (np.random.default_rng(0).standard_normal((300, 5)) * [1, 2, 3, 4, 5] + 100).astype(np.float32)
    rows = prepare(X, 0.2, 0)
    train = X[rows.train].astype(np.float64)
    np.testing.assert_allclose(rows.mean, train.mean(0), rtol=1e-6)
    assert rows.scale == pytest.approx(np.sqrt(np.square(train - train.mean(0)).sum(1).mean()), rel=1e-5)


def test_one_document_is_split_and_that_is_said(tmp_path):
    with Bank.create(tmp_path / "bank", 4, provenance={}) as bank:
        bank.append(np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32), documents=[0] * 200)
        bank.commit()
        card = Atoms.fit(bank, 8, target_active=2, steps=20, batch_size=32).card
    assert card["n_held_out"] == 20
    assert any("one document" in warning for warning in card["warnings"])


def test_every_training_row_comes_once_a_round_and_no_other():
    X = np.arange(1000, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    rows = prepare(X, 0.1, 0)
    batches = list(itertools.islice(rows.shuffled(90, 1), 20))
    first, second = (np.concatenate(part)[:, 0] for part in (batches[:10], batches[10:]))
    np.testing.assert_array_equal(np.sort(first), rows.train)
    np.testing.assert_array_equal(np.sort(second), rows.train)
    assert (first != second).any()


def test_a_bank_that_does_not_fit_into_memory_is_streamed(bank, monkeypatch):
    monkeypatch.setattr(rows_module, "MEMORY_LIMIT", 0)
    monkeypatch.setattr(rows_module, "_BLOCK_ROWS", 100)
    monkeypatch.setattr(rows_module, "_BUFFER_BLOCKS", 4)
    largest = 0
    read = Bank.__getitem__

    def watched(self, which):
        nonlocal largest
        found = read(self, which)
        largest = max(largest, len(found))
        return found

    monkeypatch.setattr(Bank, "__getitem__", watched)
    rows = prepare(bank, 0.1, 0)
    whole = np.asarray(bank[rows.train])
    largest = 0
    n_batches = -(-len(rows.train) // 50)
    batches = list(itertools.islice(rows.shuffled(50, 1), n_batches))
    seen = np.concatenate(batches)
    assert largest <= 4 * 101
    assert set(map(bytes, seen)) <= set(map(bytes, whole))
    assert len(set(map(bytes, seen[: len(rows.train)]))) >= len(rows.train) - 50

    streamed = Atoms.fit(bank, 12, target_active=2, steps=200, batch_size=64).card
    monkeypatch.undo()
    in_memory = Atoms.fit(bank, 12, target_active=2, steps=200, batch_size=64).card
    assert streamed["n_train"] == in_memory["n_train"]
    assert streamed["r2"] == pytest.approx(in_memory["r2"], abs=0.1)


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_vectors_are_refused(n):
    with pytest.raises(InputError, match="too few"):
        prepare(np.random.default_rng(0).standard_normal((n, 3)), 0.1, 0)


def test_vectors_that_differ_only_by_rounding_are_refused():
    X = np.full((50, 3), 1000.0, np.float32)
    X[7, 1] = np.nextafter(np.float32(1000), np.float32(1001))
    with pytest.raises(InputError, match="the same"):
        prepare(X, 0.1, 0)


def test_massive_vectors_are_left_out_and_that_is_said():
    X = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)
    X[::250] *= 300
    rows = prepare(X, 0.2, 0)
    assert rows.left_out == 4
    assert not set(range(0, 1000, 250)) & (set(rows.train) | set(rows.held_out))
    assert len(rows.train) + len(rows.held_out) == 996
    for found, expected in zip(held_out_rows(X, 0.2, 0), (rows.train, rows.held_out), strict=True):
        np.testing.assert_array_equal(found, expected)
    atoms = Atoms.fit(X, 16, target_active=3, steps=60, batch_size=64)
    assert atoms.card["left_out"] == 4
    assert atoms.card["norm_limit"] < 100
    assert any("longer than 8 times" in warning for warning in atoms.card["warnings"])
    assert atoms.card["r2"] > 0


def test_where_many_vectors_are_long_none_is_left_out():
    X = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)
    X[::10] *= 300
    assert prepare(X, 0.2, 0).left_out == 0
    assert prepare(X[:0:-1] / np.linalg.norm(X[:0:-1], axis=1, keepdims=True), 0.2, 0).left_out == 0
