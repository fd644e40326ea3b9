"""Mined negatives: what is chosen from a ranking, who ranks, and that a stopped run goes on with the same ones."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import assert_same_bits, config, documents, small_encoder, weights_of

torch = pytest.importorskip("torch")

from sememe.corpus import Document  # noqa: E402
from sememe.errors import InputError  # noqa: E402
from sememe.lexical.bm25 import Lexical  # noqa: E402
from sememe.objectives.hard_negatives import choose_negatives  # noqa: E402
from sememe.objectives.pair_data import NOTHING  # noqa: E402
from sememe.objectives.pairs import Pairs, PairsConfig  # noqa: E402
from sememe.training.loop import train  # noqa: E402


def pairs() -> list[Document]:
    return [Document(each.id, each.text[15:], metadata={"query": each.text[:15]}) for each in documents()]


def data_of(tmp_path, rows, batch_size=4, denoiser=None, **options):
    objective, encoder = Pairs(denoiser=denoiser, **options), small_encoder(dropout=0.0)
    objective.prepare(encoder, batch_size, 0)
    return objective, objective.data(rows, encoder, batch_size, 0, tmp_path), encoder


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_random_ones_of_the_best_are_taken_and_the_rest_fills_up():
    ranked = list(range(100, 160))
    assert set(choose_negatives(ranked, 5, 10, rng())) < set(range(100, 110))
    few = choose_negatives(ranked, 8, 3, rng())
    assert set(few[:3]) == {100, 101, 102}
    assert set(few[3:]) < set(range(103, 160))
    assert len(set(few)) == 8
    assert choose_negatives([1, 2], 5, 10, rng()) in ([1, 2], [2, 1])


def test_with_a_teacher_the_ranking_is_walked_down_in_order():
    asked = []

    def accepts(others):
        asked.extend(others)
        return np.array([each % 2 == 0 for each in others])

    assert choose_negatives(list(range(60)), 4, 50, rng(), accepts=accepts) == [0, 2, 4, 6]
    assert max(asked) < 16  # no text is read that nobody needs
    found = choose_negatives(list(range(60)), 4, 6, rng(), accepts=lambda o: np.array([each == 5 for each in o]))
    assert found[0] == 5
    assert set(found[1:]) < set(range(6, 60))  # unfiltered, from behind the depth


def test_a_duplicated_answer_is_never_a_negative_when_the_teacher_knows_it(tmp_path):
    """The case that denoising is for: the best ranked text that is not labelled says the same as the answer."""
    rows = [
        Document("p0", "taa tab tac", metadata={"query": "taa tab"}),
        Document("p1", "taa tab tac .", metadata={"query": "tba"}),  # the answer of p0 again, with a full stop
        *(Document(f"q{n}", f"taa c{chr(97 + n)}", metadata={"query": f"tc{chr(97 + n)}"}) for n in range(6)),
    ]

    def teacher(query, texts):  # log odds: 0.9 for the same words, 0.01 for others
        return np.array([2.2 if "tab tac" in text else -4.6 for text in texts])

    noisy, denoised = (
        data_of(tmp_path, rows, mine="bm25", mined=2, depth=3, denoiser=denoiser)[1] for denoiser in (None, teacher)
    )
    duplicate = denoised.rows_of(1)[0]
    seeds = [data_of(tmp_path, rows, mine="bm25", mined=3, depth=3)[1].mined[0] for _ in range(1)]
    assert duplicate in seeds[0]
    assert duplicate not in denoised.mined[0]
    assert (denoised.mined[0] != NOTHING).all()
    assert denoised.about["mined"]["rejected"] > 0
    assert noisy.about["mined"]["rejected"] == 0


def test_bm25_negatives_are_the_best_texts_of_others(tmp_path):
    rows = pairs()
    _, data, _ = data_of(tmp_path, rows, mine="bm25", mined=4, depth=4)
    words = Lexical.fit([row.text for row in rows], "english")
    for pair, row in enumerate(rows):
        scores = words.score(row.metadata["query"])
        best = [int(other) for other in np.lexsort((np.arange(len(rows)), -scores)) if other != pair]
        # Its own text was among the four best that are asked for, so three are left and one fills up.
        own = pair in np.lexsort((np.arange(len(rows)), -scores))[:4]
        found = {int(each) for each in data.mined[pair]}
        assert {data.rows_of(other)[0] for other in best[: 4 - own]} <= found
        assert data.rows_of(pair)[0] not in found


def test_mined_negatives_reach_the_batch_and_answers_are_masked(tmp_path):
    rows = [*pairs()[:10], Document("twin", pairs()[0].text, metadata={"query": "another query"})]
    _, data, _ = data_of(tmp_path, rows, batch_size=11, mine="bm25", mined=3, depth=5, negatives=2)
    batch = data.batch(0)
    assert len(batch.views["negative"]) == 22
    for place, row in zip(batch.arrays["negative_of"], batch.arrays["negatives"], strict=True):
        assert row in data.mined[batch.arrays["pairs"][place]]
    text = {data.rows_of(pair)[0]: rows[pair].text for pair in range(11)}
    for i, pair in enumerate(batch.arrays["pairs"]):
        for j, row in enumerate(batch.arrays["negatives"]):
            assert batch.arrays["answers"][i, 11 + j] == (text[row] == rows[pair].text)


def test_the_models_own_negatives_are_its_own_ranking_again_and_again(tmp_path):
    objective, data, encoder = data_of(tmp_path, pairs(), mine="self", mined=3, depth=3, refresh=2)
    first = data.mined.copy()
    with torch.no_grad():
        for weight in encoder.parameters().values():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    for step, changed in ((1, False), (2, False), (3, True)):
        encoder.train()
        objective.before_step(step)
        assert encoder.module.training
        assert (not np.array_equal(first, data.mined)) == changed
    encoder.train(False)
    with torch.no_grad():
        q = encoder.vectors([data.framed_query(pair) for pair in range(60)])
        d = encoder.vectors([data.framed_text(pair) for pair in range(60)])
    scores = (q @ d.T).numpy()
    for pair in range(60):
        best = np.argsort(-scores[pair])[:3]
        assert {data.rows_of(int(other))[0] for other in best if other != pair} <= set(data.mined[pair].tolist())
    assert torch.equal(objective.arrays()["mined"], torch.from_numpy(data.mined))


def test_a_stopped_run_goes_on_with_the_negatives_it_had(tmp_path):
    def run(folder, steps):
        objective, data, encoder = data_of(tmp_path, pairs(), 8, mine="self", mined=3, depth=4, refresh=2)
        settings = config(steps=6, checks=1)

        def stop(_):
            raise KeyboardInterrupt

        class Stopping(type(objective)):
            def after_step(self, step, seen):
                if step == steps:
                    raise KeyboardInterrupt

        objective.__class__ = Stopping
        try:
            train(encoder, objective, data, settings, work=folder, seconds=0.0)
        except KeyboardInterrupt:
            return None
        return weights_of(encoder), data.mined.copy()

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole, mined = run(tmp_path / "a", None)
    assert run(tmp_path / "b", 4) is None  # after the refresh of step 3
    again, again_mined = run(tmp_path / "b", None)
    assert_same_bits(whole, again)
    assert np.array_equal(mined, again_mined)


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match=r"mine must be one of.*; mined and depth.*; denoise_below"):
        PairsConfig(mine="x", mined=0, denoise_below=2.0)
    with pytest.raises(InputError, match="refresh must be 0 or more, and belongs to mine self; denoise needs"):
        PairsConfig(refresh=5, denoise="some/model")
