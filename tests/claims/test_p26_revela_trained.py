"""The trained half of the Revela claim: every way is trained and measured, and a stopped run goes on."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

pytest.importorskip("torch")

from sememe.claims import p26_revela_trained as p26
from sememe.claims.claim import Setting
from sememe.models.language import LanguageModel
from sememe.training.search_task import SearchTask

LEARNS, BEATS_CONTRIEVER, SHARED, SHARED_BEATS_CONTRIEVER, BEATS_REPLUG, LOUDNESS = p26.CLAIM.threshold


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
    corpora = (prose, p26.CODE)
    paper = {corpus: f"{p26.LANGUAGE_MODEL} on {corpus}: {p26.OWN[corpus]} above" for corpus in corpora}
    ours = {corpus: f"{p26.LANGUAGE_MODEL} on {corpus}: {p26.SHARED} above" for corpus in corpora}
    needed = {
        LEARNS: [f"{row} {p26.UNTRAINED}, lower end" for row in paper.values()],
        BEATS_CONTRIEVER: [f"{row} {p26.CONTRIEVER}" for row in paper.values()],
        SHARED: [f"{row} {p26.OWN[corpus]}" for corpus, row in ours.items()],
        SHARED_BEATS_CONTRIEVER: [f"{row} {p26.CONTRIEVER}" for row in ours.values()],
        BEATS_REPLUG: [f"{row} {p26.REPLUG}" for row in paper.values()],
    }
    good = {name: [0.5, 0.3] for names in needed.values() for name in names}
    good |= {name.removesuffix(", lower end"): [1.0, 2.0] for name in needed[LEARNS]}
    for condition, names in needed.items():
        assert condition.holds(good)
        for name in names:
            assert not condition.holds({**good, name: [0.3, -0.1]})
            measured_once = {each: values for each, values in good.items() if prose not in each}
            assert not condition.holds(measured_once)


def test_loudness_is_asked_of_prose_and_code():
    prose, code = (f"{p26.LANGUAGE_MODEL} on {corpus}: {p26.OWN[corpus]} above" for corpus in ("scifact", p26.CODE))
    good = {f"{prose} {p26.LOUD}": [0.0], f"{code} {p26.NORMALIZED}": [1.0]}
    assert LOUDNESS.holds(good)
    assert not LOUDNESS.holds({**good, f"{code} {p26.NORMALIZED}": [-0.1]})
    assert not LOUDNESS.holds({**good, f"{prose} {p26.LOUD}": [-0.1]})


def test_a_scale_is_asked_for_what_it_measures_only():
    asked = {scale: [each for each in p26.CLAIM.threshold if scale in each.scales] for scale in ("small", "full")}
    assert asked["full"] == list(p26.CLAIM.threshold)
    assert asked["small"] == [LEARNS, BEATS_CONTRIEVER, SHARED, SHARED_BEATS_CONTRIEVER]


def test_fewer_documents_are_searched_but_all_answers():
    texts = {f"d{n}": f"text {n}" for n in range(20)}
    task = SearchTask({"q": "text"}, texts, {"q": {"d3": 1, "d7": 0}})
    found = p26._thinned(task, 4)
    assert list(found.texts) == ["d0", "d3", "d5", "d7", "d10", "d14", "d18"]
    assert list(p26._thinned(task, 1).texts) == list(texts)
