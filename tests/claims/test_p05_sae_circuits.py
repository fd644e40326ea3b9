"""The claim about circuits: its tiny run, that its conditions can fail, and its measurements on a tiny model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_circuits import tiny_model

from sememe.claims import head_circuits
from sememe.claims.head_circuits import (
    Size,
    code_figures,
    gradient_figures,
    patching_reference,
    reference_figures,
    same_pairs_figures,
)
from sememe.claims.p05_sae_circuits import CLAIM, CODES, OURS
from sememe.claims.planted_heads import N_CIRCUIT, planted_heads
from sememe.claims.running import run


def test_planted_heads_are_found_and_permuted_labels_show_what_counting_measures(tmp_path):
    result = run(replace(CLAIM, seeds={"tiny": (0,)}), "tiny", work_dir=tmp_path / "work", results_dir=tmp_path)
    assert result.holds
    figures = result.figures
    assert figures["planted heads: normalised: AUC"] >= 0.97
    assert figures["planted heads: unique codes, official decoder: AUC"] >= 0.9
    # Nothing is left to find, and raw counts still point at the circuit: they count diversity.
    assert 0.6 < figures["planted heads: labels permuted, unique codes: AUC"] < 0.95


def test_planted_heads_are_as_described():
    outputs, truth = planted_heads(30, 1)
    assert outputs.shape == (60, 48, 64)
    assert truth.sum() == N_CIRCUIT
    again, _ = planted_heads(30, 1)
    np.testing.assert_array_equal(outputs, again)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Every figure of the claim, on a tiny random model with few pairs."""
    work = tmp_path_factory.mktemp("work")
    # In a random model nearly every head does a tenth of what the best one does.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_circuits, "true_heads", lambda effect: np.abs(effect) > np.median(np.abs(effect)))
        figures, reference = _measure(work)
        assert figures["ioi: heads in the circuit"] == reference.truth.sum() == 6
    return figures, reference, work


def _measure(work):
    lm, size = tiny_model(), Size(("ioi",), patched=9, pairs=16, n_train=4, varied=("ioi",))
    reference = patching_reference(lm, "ioi", 9, work)
    figures = reference_figures("ioi", reference) | same_pairs_figures(lm, "ioi", reference, work)
    figures |= gradient_figures(lm, "ioi", reference, size, seed=0, work=work)
    return figures | code_figures(lm, "ioi", reference, size, seed=0, work=work), reference


def test_the_reference_is_kept_and_found_again(measured, monkeypatch):
    _, reference, work = measured
    monkeypatch.setattr(head_circuits, "patch_heads", None)  # would fail if it were called
    again = patching_reference(tiny_model(), "ioi", 9, work)
    np.testing.assert_array_equal(again.effects, reference.effects)
    assert reference.effects.shape == (9, 12)


def test_all_figures_are_finite_and_cover_what_the_conditions_ask(measured):
    figures = {name: [value] for name, value in measured[0].items()}
    assert np.isfinite(list(measured[0].values())).all()
    figures |= {f"planted heads: {name}: AUC": [1.0] for name in ("normalised", "unique codes")}
    for condition in CLAIM.threshold:
        assert condition.holds(figures) in (True, False)
    assert figures["ioi: ours, the patched pairs: AUC"][0] > 0.5
    for name in ("50 codes", "50 codes, last position", "4 pairs", "8 pairs"):
        assert f"ioi: {CODES}, {name}: AUC" in figures


def test_every_condition_can_hold_and_can_fail(measured):
    good = {name: [0.5] for name in measured[0]}
    good |= {"planted heads: normalised: AUC": [0.99], "planted heads: unique codes: AUC": [0.95]}
    good |= {f"ioi: {CODES}: AUC": [0.85, 0.8], f"ioi: {OURS}: AUC": [0.95], f"ioi: {OURS}: times faster": [120]}
    good |= {"ioi: ours keeps of the logit difference": [0.9]}
    assert [condition.holds(good) for condition in CLAIM.threshold] == [True] * 7
    worse = {
        "planted heads: normalised: AUC": 0.96,
        f"ioi: {CODES}: AUC": 0.4,
        f"ioi: {OURS}: AUC": 0.89,
        f"ioi: {OURS}: times faster": 99,
        "ioi: ours keeps of the logit difference": 0.7,
    }
    failed = [[c.holds({**good, name: [value]}) for c in CLAIM.threshold].count(False) for name, value in worse.items()]
    assert failed == [1, 3, 1, 1, 1]
