"""The Contriever claim on made articles: it holds, and wrong implementations fail it."""

from __future__ import annotations

import gzip

import pytest

pytest.importorskip("torch")

from sememe.claims import p24_contriever as p24
from sememe.claims.cut_articles import cut, planted
from sememe.claims.foldoc import FILE, articles
from sememe.claims.running import run
from sememe.errors import InputError
from sememe.objectives.contriever import Contriever
from sememe.objectives.momentum_contrast import MomentumQueue

DOUBLES, NEEDS_MOMENTUM, MASKING_GAINS, DELETING, SEARCHES = p24.CLAIM.threshold


@pytest.mark.slow
def test_the_claim_holds_on_made_articles(tmp_path):
    result = run(p24.CLAIM, "tiny", work_dir=tmp_path / "work", results_dir=tmp_path)
    assert result.holds, result.conditions
    assert result.figures["SYM: bm25: ndcg@10"] > result.figures["SYM: crop, queue: ndcg@10"]


def figures_of(monkeypatch, trained) -> dict[str, list[float]]:
    """The figures of some variants only."""
    monkeypatch.setattr(p24, "TRAINED", trained)
    with p24.prepare(type("Setting", (), {"scale": "tiny"})()) as prepared:
        return {name: [value] for name, value in p24.measure(prepared, 0).items()}


def test_keys_of_other_texts_do_not_pass(monkeypatch):
    right = Contriever.loss

    def wrong(self, representations, batch):
        return right(self, {**representations, "key": representations["key"].roll(1, 0)}, batch)

    monkeypatch.setattr(Contriever, "loss", wrong)
    figures = figures_of(monkeypatch, {"": (0, (p24.IN_BATCH,))})
    assert not DOUBLES.holds(figures)


def test_a_mask_that_masks_nothing_does_not_pass(monkeypatch):
    right = MomentumQueue.owned_by
    monkeypatch.setattr(MomentumQueue, "owned_by", lambda self, owners: right(self, owners) & False)
    figures = figures_of(monkeypatch, {"": (0, (p24.MASKED, p24.UNMASKED))})
    assert not MASKING_GAINS.holds(figures)


@pytest.mark.slow
def test_a_momentum_encoder_without_momentum_does_not_pass(monkeypatch):
    right = MomentumQueue.follow

    def wrong(self):
        self._momentum = 0.0
        right(self)

    monkeypatch.setattr(MomentumQueue, "follow", wrong)
    figures = figures_of(monkeypatch, {p24.TRANSFORMER: (1, (p24.MASKED, p24.NO_MOMENTUM))})
    assert not NEEDS_MOMENTUM.holds(figures)


def test_cutting_keeps_questions_out_of_training_and_halves_whole():
    texts = [f"This is sentence number {n} of them. " + " ".join(f"w{n}x{k}" for k in range(60)) for n in range(20)]
    made = cut([*texts, "Too short. Really."], 5)
    assert (len(made.train), len(made.test)) == (10, 5)
    trained = " ".join(document.text for document in made.documents())
    for article in made.test:
        assert article.first not in trained
        assert article.rest not in trained
    tasks = made.tasks()
    for number, article in enumerate(made.test):
        first, second = tasks["SYM"].queries[str(number)], tasks["SYM"].texts[str(number)]
        assert f"{first} {second}" == article.rest
        assert tasks["ASYM"].queries[str(number)] == article.first
    again = planted(30, 10, 3)
    assert again == planted(30, 10, 3) != planted(30, 10, 4)


def test_the_dictionary_is_read_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("sememe.claims.foldoc.INSTALLED", tmp_path / "nowhere")
    with pytest.raises(InputError, match="apt install dict-foldoc"):
        articles(tmp_path)
    folder = tmp_path / "data" / "foldoc"
    folder.mkdir(parents=True)
    text = (
        "00-database-info\n\nAbout it.\n\n"
        "word\nsecond name\n\n   <subject, other> A {definition} of\n   the word.  And more.\n\n   (2014-09-11)\n\n"
        "next\n\n   Another one.\n"
    )
    (folder / FILE).write_bytes(gzip.compress(text.encode()))
    assert articles(tmp_path) == ["A definition of the word. And more.", "Another one."]


def test_crops_must_win_on_every_collection():
    rows = {"untrained": 1, "crop and delete": 3, "ict": 2, "masked-lm": 1, "masked-lm, then crop and delete": 2}
    figures = {
        f"{name}: from scratch: {row}: recall@100": [value, value + 1.0]
        for name in p24.COLLECTIONS["small"]
        for row, value in rows.items()
    } | {f"{name}: bm25: recall@100": [60.0, 60.0] for name in p24.COLLECTIONS["small"]}
    assert SEARCHES.holds(figures)
    assert not SEARCHES.holds({**figures, "cacm: from scratch: ict: recall@100": [3.0, 4.0]})
