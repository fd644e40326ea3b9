"""The trained half of the CRISP claim: small runs, and a second stage that does not cluster fails it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from sememe.claims import p25_crisp_trained as p25
from sememe.claims.claim import Setting
from sememe.objectives.crisp import Crisp

THROUGH, WARD, TAIL, LIGHTER = p25.CLAIM.threshold


def figures_of(tmp_path, monkeypatch, steps=(8, 6)):
    monkeypatch.setattr(p25, "N_TEST_PAIRS", 60)
    monkeypatch.setitem(p25.SIZES, "tiny", p25._Size(0, 200, 16, steps, (2e-3, 1e-3), 48))
    with p25.prepare(Setting("tiny", tmp_path, tmp_path, tmp_path)) as prepared:
        return {name: [value] for name, value in p25.measure(prepared, 0).items()}


def test_every_row_is_measured_and_counts_its_vectors(tmp_path, monkeypatch):
    figures = figures_of(tmp_path, monkeypatch)
    rows = [row for rows in p25.ROWS.values() for row in rows]
    assert {f"mean: {row}" for row in [*rows, "bm25"]} <= set(figures)
    few = figures["docstrings: vectors a document: C4x8"][0]
    assert few == pytest.approx(figures["docstrings: vectors a document: mv, then C4x8"][0], abs=0.1)
    assert few <= 8 < figures["docstrings: vectors a document: C8x32"][0] <= 32
    assert all(np.isfinite(values).all() for values in figures.values())


def test_a_second_stage_that_does_not_cluster_does_not_pass(tmp_path, monkeypatch):
    right = Crisp.__init__

    def wrong(self, config=None, **options):
        right(self, config, **{**options, "pruning": "mv"})

    monkeypatch.setattr(Crisp, "__init__", wrong)
    figures = figures_of(tmp_path, monkeypatch)
    assert figures["mean: C4x8 minus mv, then C4x8"] == [0]
    assert not THROUGH.holds(figures)


def test_conditions_compare_means_over_seeds():
    name = "mean: C4x8 minus mv, then C4x8"
    light = "mean: C8x32 minus mv, then C8x32"
    figures = {name: [0.04, 0.02], f"{name}, lower end": [0.01, -0.005], light: [0.01, 0.0]}
    assert THROUGH.holds(figures)
    assert LIGHTER.holds(figures)
    assert not THROUGH.holds({**figures, f"{name}, lower end": [0.01, -0.02]})
    assert not LIGHTER.holds({**figures, light: [0.05, 0.05]})
    for condition, difference in ((WARD, "C4x8, then ward 4x8 minus mv, then ward 4x8"), (TAIL, "C4x8 minus T4x8")):
        assert condition.holds({f"mean: {difference}": [0.01]})
        assert not condition.holds({f"mean: {difference}": [-0.01]})
