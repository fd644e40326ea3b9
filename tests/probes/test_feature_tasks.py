"""Features are balanced, independent, and what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.errors import InputError
from sememe.probes.feature_tasks import BIT_KINDS, check_independence, make_boolean, make_sequences

SLOW = {
    "linear": lambda x: x[0],
    "and": lambda x: x[0] and x[1],
    "or": lambda x: x[0] or x[1],
    "xor": lambda x: x[0] != x[1],
    "parity3": lambda x: sum(x) in (1, 3),
    "parity4": lambda x: sum(x) in (1, 3),
    "xor_of_ands": lambda x: (x[0] and x[1]) != (x[2] and x[3]),
    "sum_mod3_is0": lambda x: sum(x) in (0, 3),
    "majority5": lambda x: sum(x) > 2.5,
}


@pytest.mark.parametrize("kind", BIT_KINDS)
def test_a_feature_of_bits_is_balanced_and_right(kind):
    task = make_boolean(4096, {"easy": "linear", "hard": kind}, random_state=3)
    bits = task.sub_features("hard")
    assert bits.shape[1] == BIT_KINDS[kind][0]
    assert [bool(SLOW[kind](row)) for row in bits.tolist()] == task.F[:, 1].astype(bool).tolist()
    assert abs(task.F.mean(axis=0) - 0.5).max() < 0.04
    check_independence(task.F, task.names)
    assert set(np.unique(task.X)) == {0.0, 1.0}


def test_features_read_the_bits_of_the_specification():
    task = make_boolean(8)
    assert (list(task.places["easy"]), list(task.places["hard"])) == ([0], [16, 17, 18, 19])
    assert task.X.shape == (8, 32)


def test_the_bits_that_no_feature_reads_are_fair_and_inputs_do_not_repeat():
    task = make_boolean(4096)
    rest = [bit for bit in range(32) if bit not in (0, 16, 17, 18, 19)]
    assert abs(task.X[:, rest].mean(axis=0) - 0.5).max() < 0.04
    assert len(np.unique(task.X, axis=0)) > 4090


def test_tokens_hold_markers_and_equal_tokens():
    task = make_sequences(2000, random_state=1)
    marked = (task.X[:, :8] == 0).any(axis=1)
    assert (marked == (task.F[:, 0] == 1)).all()
    assert ((task.X[:, 8] == task.X[:, 15]) == (task.F[:, 1] == 1)).all()
    assert not np.isin(task.X[:, 8:], (0, 1)).any()  # markers stand nowhere else
    check_independence(task.F)


def test_the_same_seed_gives_the_same_inputs():
    for make in (make_boolean, make_sequences):
        assert (make(50, random_state=5).X == make(50, random_state=5).X).all()
        assert (make(50, random_state=5).X != make(50, random_state=6).X).any()


def test_correlated_and_constant_features_are_refused():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2, 4000)
    b = np.where(rng.random(4000) < 0.2, a, rng.integers(0, 2, 4000))
    with pytest.raises(InputError, match=r"x and y are correlated \(r = \+0\.2"):
        check_independence(np.column_stack([a, b]), ("x", "y"))
    with pytest.raises(InputError, match="always the same: y"):
        check_independence(np.column_stack([a, np.ones(4000)]), ("x", "y"))


def test_bad_tasks_are_refused():
    with pytest.raises(InputError, match=r"feature f: there is no kind 'nand'"):
        make_boolean(10, {"f": "nand"})
    with pytest.raises(InputError, match="bits are too few"):
        make_boolean(10, {str(n): "parity4" for n in range(9)})
    with pytest.raises(InputError, match="0 inputs"):
        make_boolean(0)
    with pytest.raises(InputError, match="too short or too few tokens"):
        make_sequences(10, length=3)
