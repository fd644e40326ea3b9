"""The feedback claim on planted collections: right formulas pass, wrong ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from sememe.claims import p17_ance_prf as p17
from sememe.claims.judged_vectors import planted_judged
from sememe.claims.p17_ance_prf import CLAIM
from sememe.claims.running import run

HELPS = CLAIM.threshold[0].text


def run_tiny(tmp_path):
    return run(CLAIM, "tiny", work_dir=tmp_path / "work", results_dir=tmp_path)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("p17"))


def test_the_claim_holds_on_planted_collections(result):
    assert result.holds, result.conditions
    assert (tmp := result.figures)["planted-many: 3 known relevant, rocchio .4/.6: map"] > tmp[
        "planted-many: base: map"
    ]


def test_every_setting_is_shown(result):
    for name in ("planted-many", "planted-one"):
        for row in ("base", *(f"{kind} k={k}" for kind in p17.MOVES for k in p17.DEPTHS)):
            for metric in p17.METRICS:
                assert 0 <= result.figures[f"{name}: {row}: {metric}"] <= 1
        paired = f"{name}: average k=3 minus base: map"
        counts = [result.figures[f"{paired}, {part}"] for part in ("queries up", "equal", "down")]
        assert sum(counts) == 64
        difference = result.figures[f"{name}: average k=3: map"] - result.figures[f"{name}: base: map"]
        assert result.figures[paired] == pytest.approx(difference)
        assert result.figures[f"{paired}, lower end"] <= difference <= result.figures[f"{paired}, upper end"]


def test_what_the_user_ticked_is_no_longer_counted(result):
    """One relevant document a query: where the first ten hold it, nothing is left to find."""
    judged = planted_judged("planted-one", several=False)
    top = judged.rank(judged.Q, p17.N_TICKED)
    missed = sum(int(number * 5 not in top[number]) for number in range(len(judged.queries)))
    assert result.figures["planted-one: unseen: queries with relevant texts left"] == missed
    more, base = (result.figures[f"planted-many: unseen: {row}: map"] for row in ("more like these", "base"))
    assert more > base


def test_feeding_nothing_back_does_not_pass(tmp_path, monkeypatch):
    for name in ("average", "rocchio .4/.6"):
        monkeypatch.setitem(p17.MOVES, name, lambda q0, V: q0)
    assert set(run_tiny(tmp_path).conditions.values()) == {False}


def test_the_wrong_sign_does_not_pass(tmp_path, monkeypatch):
    monkeypatch.setitem(p17.MOVES, "average", lambda q0, V: q0 - V.mean(axis=0))
    assert not run_tiny(tmp_path).conditions[HELPS]


def test_planted_collections_are_what_they_say():
    for several, relevant in ((True, 5), (False, 1)):
        judged = planted_judged("x", several=several)
        np.testing.assert_allclose(np.linalg.norm(judged.D, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(judged.Q, axis=1), 1, atol=1e-6)
        assert {len(grades) for grades in judged.qrels.values()} == {relevant}
        run_of = judged.run(judged.Q, 7)
        top = judged.rank(judged.Q, 7)
        for number, query in enumerate(judged.queries[:5]):
            assert list(run_of[query]) == [judged.documents[row] for row in top[number]]
            assert run_of[query][judged.documents[top[number, 0]]] == pytest.approx(
                float(judged.D[top[number, 0]] @ judged.Q[number]), abs=1e-6
            )
