"""The claim about held-out questions: its tiny run, that its conditions can fail, and what advice is."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from sememe.claims import held_out_task as claim
from sememe.claims.running import run

GOOD, BEATS_FIXED, PAIRS, ORDER = claim.CLAIM.threshold


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held_out_task")
    return run(claim.CLAIM, "tiny", folder, work_dir=folder, results_dir=folder)


def test_the_tiny_run_holds_and_measures_every_system_twice(result):
    assert result.holds, result.conditions
    assert list(result.conditions) == [PAIRS.text, ORDER.text]
    for system in ("bm25", "scratch 32", "scratch 8", "scratch 32, hybrid", "scratch 8, hybrid"):
        for of in ("held out", "real"):
            assert 0 <= result.figures[f"made: {system}: {of}"] <= 100


def test_advice_is_the_mode_that_held_out_questions_find_best(result):
    figures = result.figures
    lost = figures["lost by advice: made: scratch 32"]
    modes = claim._by_mode("scratch", 32).values()
    advised = max(modes, key=lambda system: figures[f"made: {system}: held out"])
    best = max(figures[f"made: {system}: real"] for system in modes)
    assert lost == pytest.approx(best - figures[f"made: {advised}: real"])
    assert figures["mean of real queries: advised"] <= figures["mean of real queries: best"]


def test_agreement_is_that_of_two_orders():
    real = {"bm25": 50.0, "a": 40.0, "a, hybrid": 45.0, "b": 30.0, "c": 29.0}
    same = claim._agreement(real, real)
    assert same == pytest.approx(dict.fromkeys(same, 1.0))
    assert list(same) == ["tau of all systems", "tau of encoders", "pairs of encoders in the right order"]
    wrong = claim._agreement({**real, "b": 41.0}, real)  # above a; c is too near to b to count
    assert wrong["pairs of encoders in the right order"] == 0.5
    assert wrong["tau of encoders"] == pytest.approx(1 / 3)
    turned = claim._agreement({system: -value for system, value in real.items()}, real)
    assert turned["tau of all systems"] == pytest.approx(-1.0)


def test_every_condition_can_hold_and_can_fail():
    good = {
        "lost by advice: cisi: minilm 384": [0.0, 1.0],
        "lost by advice: cisi: minilm 32": [9.0, 9.0],
        "lost by advice: cisi: wordllama 256": [0.5, 0.0],
        "mean of real queries: advised": [50.0, 51.0],
        **{f"mean of real queries: always {mode}": [49.0, 50.0] for mode in claim.MODES},
        "agreement: cisi: pairs of encoders in the right order": [1.0, 1.0],
        "agreement: cisi: tau of all systems": [0.5, 0.9],
    }
    assert all(condition.holds(good) for condition in claim.CLAIM.threshold)
    for condition, name, values in (
        (GOOD, "lost by advice: cisi: wordllama 256", [0.5, 1.1]),
        (BEATS_FIXED, "mean of real queries: always hybrid", [49.0, 51.0]),
        (PAIRS, "agreement: cisi: pairs of encoders in the right order", [1.0, 0.9]),
        (ORDER, "agreement: cisi: tau of all systems", [0.49, 0.9]),
    ):
        assert not condition.holds({**good, name: values})
        assert all(each.holds({**good, name: values}) for each in claim.CLAIM.threshold if each is not condition)
