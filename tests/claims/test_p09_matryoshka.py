"""The Matryoshka claim: its tiny run on planted pairs and digits, and that its conditions can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sememe.claims import nested_text
from sememe.claims.nested_digits import nearest_accuracy
from sememe.claims.nested_text import DIMS, planted_pairs, principal_basis, quality, search_name, text_figures
from sememe.claims.p09_matryoshka import CLAIM
from sememe.claims.running import run
from sememe.errors import InputError
from sememe.evaluation.docstring_pairs import docstring_pairs, file_pairs
from sememe.search import adaptive


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claim")
    one_seed = replace(CLAIM, seeds={"tiny": (1,)})
    return run(one_seed, "tiny", work_dir=folder / "work", results_dir=folder / "results")


@pytest.mark.slow
def test_the_tiny_run_holds(result):
    assert result.holds, result.conditions
    for name in ("raw prefix", "SVD", "full-only", "separate", "MRL"):
        assert all(f"text {name}@{m}" in result.figures for m in DIMS)
    for name in ("MRL", "MRL-E", "FF", "prefix of FF-64", "SVD of FF-64"):
        assert f"digits {name}@4" in result.figures
    # All dimensions of a basis are the vectors themselves.
    assert result.figures["text SVD@384"] == pytest.approx(result.figures["text raw prefix@384"], abs=0.2)
    assert result.figures["digits SVD of FF-64@64"] == result.figures["digits prefix of FF-64@64"]


@pytest.mark.slow
def test_a_size_between_two_trained_ones_is_between_them(result):
    low, between, high = (result.figures[f"text MRL@{m}"] for m in (32, 48, 64))
    assert low - 1 <= between <= high + 1


def split(seed=0):
    pairs, order = planted_pairs(650, 0), np.random.default_rng([seed, 7]).permutation(650)
    return pairs[order[:400]], pairs[order[400:]]


def decide(figures, part):
    by_seed = {name: [value] for name, value in figures.items()}
    return [condition.holds(by_seed) for condition in CLAIM.threshold if condition.text.startswith(part)]


def test_an_adapter_that_is_not_nested_does_not_pass(monkeypatch):
    train, test = split()
    full_only = nested_text._adapted(DIMS[-1:], train, test, 0)
    monkeypatch.setattr(nested_text, "_adapted", lambda *_: full_only)
    figures = text_figures(train, test, 0)
    assert decide(figures, "text")[::2] == [False, False]
    assert figures["text MRL@384"] == figures["text full-only@384"]


def test_untrained_vectors_and_a_search_that_does_not_reorder_do_not_pass(monkeypatch):
    train, test = split()
    monkeypatch.setattr(nested_text, "_adapted", lambda *_: test)
    search = adaptive.adaptive_search

    def short_only(queries, database, k, d_short, d_rerank, **options):
        return search(queries, database, k, d_short, d_short, **options)

    monkeypatch.setattr(adaptive, "adaptive_search", short_only)
    figures = text_figures(train, test, 0)
    assert not any(decide(figures, "text")[:3])
    assert not decide(figures, "search")[0]
    assert figures[search_name(64, 100)] == figures["text raw prefix@64"]


@pytest.mark.slow
def test_every_condition_can_fail_and_can_hold(result):
    good = {name: [50.0] for name in result.by_seed}
    good |= {"text MRL@16": [60.0], "text MRL@32": [57.0], "digits MRL@4": [58.0], "digits MRL@2": [50.1]}
    good |= {"digits MRL@8": [95.5], "cascade: expected dimension": [8.0]}
    assert all(condition.holds(good) for condition in CLAIM.threshold)
    bad = {name: [50.0] for name in result.by_seed}
    bad |= {"text MRL@384": [48.9], "digits MRL@64": [47.9], "cascade: accuracy": [48.4], search_name(32, 50): [50.6]}
    assert not any(condition.holds(bad) for condition in CLAIM.threshold)


def test_quality_is_ndcg_of_the_pairs():
    found = [np.array([0, 1, 2]), np.array([2, 0, 1]), np.array([0, 1])]  # ranks 1, 3 and none
    assert quality(found) == pytest.approx(100 * (1 + 0.5 + 0) / 3)


def test_the_basis_is_the_svd():
    X = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32) * [5, 4, 3, 2, 1, 0.5] + 1
    rows = np.linalg.svd(X, full_matrices=False)[2]
    np.testing.assert_allclose(np.abs((principal_basis(X).T * rows).sum(axis=1)), 1, atol=1e-5)


def test_nearest_accuracy_is_brute_force():
    rng = np.random.default_rng(1)
    train, test, y, y_test = (
        rng.random((30, 5)),
        rng.random((20, 5)),
        rng.integers(3, size=30),
        rng.integers(3, size=20),
    )
    right = 0
    for row, label in zip(test[:, :3], y_test, strict=True):
        cosines = [row @ other[:3] / np.linalg.norm(row) / np.linalg.norm(other[:3]) for other in train]
        right += y[int(np.argmax(cosines))] == label
    assert nearest_accuracy(train, test, y, y_test, 3) == pytest.approx(100 * right / 20)


SOURCE = '''
def documented(x):
    """Say what the function is for,
    in two lines.

    More about it.
    """
    if x:  # a comment
        return "something" * len(x)
    return None

def _private(x):
    """This one is not for others to use."""
    return "something that is long enough to be a body"

def short():
    """A docstring that is long enough."""
    pass

def one_line(): """A docstring that is long enough."""; return "something that is long enough to be a body"

def bare(x):
    return "something that is long enough to be a body"

class Thing:
    async def method(self):
        """Methods are functions, too."""
        await self.something_that_is_long_enough_to_be_a_body()
'''


def test_pairs_of_a_file(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(SOURCE)
    first, second = file_pairs(file)
    assert first.docstring == "Say what the function is for, in two lines."
    assert first.body == 'if x:  # a comment\n    return "something" * len(x)\nreturn None'
    assert second.docstring == "Methods are functions, too."
    assert second.body == "await self.something_that_is_long_enough_to_be_a_body()"
    file.write_text("def broken(:")
    assert list(file_pairs(file)) == []
    file.write_bytes(b"\xff\xfe\x00")
    assert list(file_pairs(file)) == []


def test_pairs_of_a_package():
    pairs = docstring_pairs(10, "json")
    assert pairs == docstring_pairs(10, "json")
    assert pairs != docstring_pairs(10, "json", random_state=1)
    assert len({pair.docstring for pair in pairs}) == len({pair.body for pair in pairs}) == 10
    for pair in pairs:
        assert len(pair.body) <= 600
        assert pair.docstring[:30] not in pair.body
    with pytest.raises(InputError, match=r"json: has \d+ pairs of docstring and function, not 5000"):
        docstring_pairs(5000, "json")
