"""The trained half of the Revela claim: every way is trained and measured, and a stopped run goes on."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

pytest.importorskip("torch")

from sememe.claims import p26_revela_trained as p26
from sememe.claims.claim import Setting
from sememe.models.language import LanguageModel

LEARNS, BEATS_CONTRIEVER, BEATS_REPLUG, LOUDNESS = p26.CLAIM.threshold


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The figures of a run, those of a second one that finds its parts, and how often each trained."""
    folder, trained = tmp_path_factory.mktemp("p26"), []
    right = p26.fit

    def counting(*arguments):
        trained.append(arguments[2].name)
        return right(*arguments)

    def tiny(*_arguments, **_options):
        return LanguageModel(causal_model("llama"), byte_pairs(), name="tiny")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "load", tiny)
        patch.setattr(p26, "fit", counting)
        setting = Setting("tiny", folder, folder, folder)
        with p26.prepare(setting) as prepared:
            return p26.measure(prepared, 0), list(trained), p26.measure(prepared, 0), trained


def test_every_way_is_measured(runs):
    figures, trained, _, _ = runs
    assert trained == ["revela", "replug", "contriever"]
    for row in ("bm25", "scratch, untrained", *(f"scratch, {way} on made" for way in p26.SIZES["tiny"].variants)):
        assert 0 <= figures[f"made: {row}: ndcg@10"] <= 100
    assert all(np.isfinite(value) for value in figures.values())
    assert figures["scratch, contriever on made: steps"] < figures["scratch, revela, V-normalised on made: steps"]


def test_what_is_measured_is_kept(runs):
    figures, trained, again, trained_in_all = runs
    assert again == figures
    assert list(again) == list(figures)
    assert trained_in_all == trained


@pytest.mark.parametrize("prose", p26.PROSE)
def test_conditions_ask_for_prose_and_code(prose):
    rows = {corpus: f"{p26.LANGUAGE_MODEL} on {corpus}: {p26.OWN[corpus]} above" for corpus in (prose, p26.CODE)}
    other = {prose: p26.LOUD, p26.CODE: p26.NORMALIZED}
    good = {}
    for corpus, row in rows.items():
        for rival in (p26.UNTRAINED, p26.CONTRIEVER, p26.REPLUG, other[corpus]):
            good |= {f"{row} {rival}": [1.0, 2.0], f"{row} {rival}, lower end": [0.5, 0.3]}
    for condition, rival, ending in (
        (LEARNS, p26.UNTRAINED, ", lower end"),
        (BEATS_CONTRIEVER, p26.CONTRIEVER, ""),
        (BEATS_REPLUG, p26.REPLUG, ""),
    ):
        assert condition.holds(good)
        for row in rows.values():
            assert not condition.holds({**good, f"{row} {rival}{ending}": [0.3, -0.1]})
    assert LOUDNESS.holds(good)
    assert not LOUDNESS.holds({**good, f"{rows[p26.CODE]} {p26.NORMALIZED}": [-0.1]})


def test_what_was_not_measured_does_not_hold():
    on_code = f"{p26.LANGUAGE_MODEL} on {p26.CODE}: {p26.LOUD} above"
    alone = {f"{on_code} {rival}{end}": [1.0] for rival in (p26.UNTRAINED, p26.CONTRIEVER, p26.NORMALIZED, p26.REPLUG)
             for end in ("", ", lower end")}  # fmt: skip
    for figures in ({}, alone):
        assert not any(condition.holds(figures) for condition in (LEARNS, BEATS_CONTRIEVER, LOUDNESS))
    assert not BEATS_REPLUG.holds(alone)
    assert BEATS_REPLUG.holds({})  # as it says: where it is measured
