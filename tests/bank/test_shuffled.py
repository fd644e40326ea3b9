"""Shuffled batches: every row once an epoch, the same again with the same seed, and any place to go on from."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.bank import Bank
from sememe.bank.rows import shuffled_groups
from sememe.errors import InputError


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    bank = Bank.create(tmp_path_factory.mktemp("shuffled") / "b", 2, provenance={})
    bank.append(np.stack([np.arange(1000.0), np.arange(1000.0) * 2], axis=1))
    bank.commit()
    yield bank
    bank.close()


@given(st.integers(1, 1200), st.integers(1, 1200), st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_every_row_exactly_once_an_epoch(bank, batch_size, buffer_rows, seed, epochs):
    batches = list(bank.shuffled(batch_size, seed, epochs, buffer_rows=buffer_rows))
    per_epoch = -(-1000 // batch_size)
    assert len(batches) == per_epoch * epochs
    for epoch in range(epochs):
        mine = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert all(len(batch) == batch_size for batch in mine[:-1])
        rows = np.concatenate(mine)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(np.sort(rows[:, 0]), np.arange(1000))
        np.testing.assert_array_equal(rows[:, 1], rows[:, 0] * 2)


@given(st.integers(1, 400), st.integers(1, 1200), st.data())
@settings(max_examples=20, deadline=None)
def test_it_goes_on_anywhere(bank, batch_size, buffer_rows, data):
    whole = list(bank.shuffled(batch_size, 3, 2, buffer_rows=buffer_rows))
    start = data.draw(st.integers(0, len(whole) + 2))
    rest = list(bank.shuffled(batch_size, 3, 2, start_batch=start, buffer_rows=buffer_rows))
    assert len(rest) == max(0, len(whole) - start)
    for one, other in zip(whole[start:], rest, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_order_depends_on_seed_and_epoch(bank):
    def order(seed, epochs=1):
        return np.concatenate(list(bank.shuffled(64, seed, epochs, buffer_rows=256)))[:, 0]

    np.testing.assert_array_equal(order(0), order(0))
    assert (order(0) != order(1)).mean() > 0.9
    two = order(0, epochs=2)
    np.testing.assert_array_equal(two[:1000], order(0))
    assert (two[1000:] != two[:1000]).mean() > 0.9


def test_a_bank_that_fits_the_buffer_is_shuffled_completely(bank):
    order = np.concatenate(list(bank.shuffled(1000)))[:, 0]
    # Neighbours in the file should not stay neighbours: for a random order about 2 of 999 pairs do.
    assert (np.abs(np.diff(order)) == 1).sum() < 10
    places = np.empty(1000)
    places[order.astype(int)] = np.arange(1000)
    assert abs(np.corrcoef(places, np.arange(1000))[0, 1]) < 0.1


def test_groups_spread_over_the_whole_bank(bank):
    *groups, last = shuffled_groups(100_000, 10_000, 0, 0)
    assert len(last[1]) < len(groups[0][1]) <= 10_000
    for slices, _ in groups:
        starts = np.array([part.start for part in slices])
        assert (np.diff(starts) > 0).all()
        assert starts.min() < 10_000
        assert starts.max() > 90_000


def test_only_the_buffer_is_held(tmp_path):
    with Bank.create(tmp_path / "b", 256, provenance={}) as bank:
        for _ in range(20):
            bank.append(np.ones((2000, 256), np.float32))
        bank.commit()
        whole = len(bank) * 256 * 4
        tracemalloc.start()
        n_rows = sum(len(batch) for batch in bank.shuffled(100, buffer_rows=2000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert n_rows == 40_000
    assert peak < whole / 4


def test_a_batch_is_the_callers_own(bank):
    batches = list(bank.shuffled(300))
    batches[0][:] = -1
    assert (np.concatenate(batches[1:]) >= 0).all()


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"random_state": -1}, {"epochs": -1}, {"start_batch": -2}, {"buffer_rows": -5}]
)
def test_nonsense_is_refused(bank, options):
    with pytest.raises(InputError):
        next(bank.shuffled(**{"batch_size": 10, **options}))
