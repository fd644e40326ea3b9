"""ANCE-PRF: the loss by hand, what a batch is made of, and a run that leaves the index as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_training import config, documents, small_encoder

torch = pytest.importorskip("torch")

from sememe import Encoder, Index  # noqa: E402
from sememe.cli import main  # noqa: E402
from sememe.errors import InputError  # noqa: E402
from sememe.models.feedback_encoder import PrfEncoder  # noqa: E402
from sememe.objectives.ance_prf import AncePrf, AncePrfConfig, FeedbackData, Judged  # noqa: E402
from sememe.search.feedback import Feedback  # noqa: E402
from sememe.search.feedback_training import train_feedback  # noqa: E402
from sememe.training.objective import Batch  # noqa: E402

SCORES = torch.tensor([[2.0, 1.0, 0.5], [0.3, 0.1, 0.9]])


def batch_of(scores, repeated=None) -> tuple[dict, Batch]:
    """Queries along the first axis, so that a candidate's first number is its score."""
    n, m = scores.shape
    candidates = np.zeros((n, m, 2), np.float32)
    candidates[..., 0] = scores
    arrays = {"candidates": candidates, "repeated": np.zeros((n, m), bool) if repeated is None else repeated}
    return {"query": torch.tensor([[1.0, 0.0]] * n)}, Batch({"query": [[]] * n}, (), arrays)


def objective(**options) -> AncePrf:
    return AncePrf([], None, None, None, AncePrfConfig(**options))


def test_the_loss_of_a_worked_example():
    found, batch = batch_of(SCORES[:1])
    assert objective().loss(found, batch).value.item() == pytest.approx(0.464369, abs=1e-6)
    alone, only = batch_of(SCORES[:1, :1])
    assert objective().loss(alone, only).value.item() == 0
    twice, batch = batch_of(SCORES[:1, [0, 1, 2, 1]], np.array([[False, False, False, True]]))
    assert objective().loss(twice, batch).value.item() == pytest.approx(0.464369, abs=1e-6)


def test_other_queries_of_the_batch_are_no_negatives():
    each = [objective().loss(*batch_of(SCORES[n : n + 1])).value.item() for n in range(2)]
    for order in ([0, 1], [1, 0]):
        assert objective().loss(*batch_of(SCORES[order])).value.item() == pytest.approx(np.mean(each), abs=1e-6)


def test_a_batch_is_what_the_first_search_found():
    prf = PrfEncoder.from_encoder(small_encoder().encoder, k=2)
    judged = [Judged(f"ta{n}", n, [n, 7, 8, 9, 10, 6], frozenset({n, 8})) for n in range(4)]
    vectors = np.random.default_rng(0).standard_normal((12, 16)).astype(np.float32)
    texts = [f"c{chr(97 + n)}" for n in range(12)]
    for hide, passages in ((0.0, lambda n: [texts[n], texts[7]]), (1.0, lambda _: [texts[7], texts[8]])):
        settings = AncePrfConfig(negatives=2, depth=5, hide=hide)
        data = FeedbackData(judged, prf, lambda r: vectors[r], texts.__getitem__, settings, batch_size=4, seed=0)
        walked = {n: [] for n in range(4)}
        for number in range(3):
            batch = data.batch(number)
            for row, query, found in zip(
                batch.views["query"], batch.documents, batch.arrays["candidates"], strict=True
            ):
                n = int(query[2:])
                assert row == prf.framed(query, passages(n))
                assert np.array_equal(found[0], vectors[n])
                walked[n] += [int((vectors == each).all(1).argmax()) for each in found[1:]]
        # Rank 8 answers, rank 6 is too deep; the three that are left are walked through from epoch to epoch.
        assert all(sorted(rows) == [7, 7, 9, 9, 10, 10] for rows in walked.values())


@pytest.fixture
def world(tmp_path):
    small_encoder().save(tmp_path / "small")
    texts = documents(80)
    index = Index.build(texts, Encoder.load(tmp_path / "small", device="cpu"), tmp_path / "my.index")
    return index, [(each.text[:15], each.id) for each in texts], tmp_path


def test_training_changes_neither_index_nor_its_encoder(world):
    index, pairs, tmp_path = world
    with index:
        before = np.asarray(index.bank[np.arange(80)]).tobytes()
        asked = index.encoder.encode_query(["taa tab"]).tobytes()
        settings = config(steps=4, checks=2, learning_rate=1e-3)
        done = train_feedback(
            index, pairs, tmp_path / "prf", k=2, training=settings, objective=AncePrfConfig(negatives=5)
        )
        assert np.asarray(index.bank[np.arange(80)]).tobytes() == before
        assert index.encoder.encode_query(["taa tab"]).tobytes() == asked
        assert set(done.table) == {"plain", "average", "untrained", "trained"}
        assert (done.queries, done.steps[0], done.change.n_queries) == (64, 4, 8)
        loaded = PrfEncoder.load(tmp_path / "prf")
        assert loaded.k == 2
        start = PrfEncoder.from_encoder(index.encoder, 2)
        texts = ["ca cb", "cc"]
        assert np.abs(loaded.encode("taa", texts).vector - start.encode("taa", texts).vector).max() > 1e-4
        assert len(index.search("taa tab", 5, feedback=Feedback(loaded))) == 5
        assert sorted(path.name for path in tmp_path.iterdir()) == ["my.index", "prf", "small"]
        with pytest.raises(InputError, match="6 queries leave 1 to measure"):
            train_feedback(index, pairs[:6], tmp_path / "few", training=settings)


def test_the_command(world, capsys):
    index, pairs, tmp_path = world
    index.close()
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"_id": d, "text": q}) + "\n" for q, d in pairs))
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{d}\t{d}\t1\n" for _, d in pairs))
    words = ["--queries", tmp_path / "q.jsonl", "--out", tmp_path / "prf", "--steps", 2, "--batch-size", 8]
    command = ["train", "feedback", str(tmp_path / "my.index"), *map(str, words)]
    assert main([*command, "--qrels", str(tmp_path / "missing.tsv")]) == 2
    assert "missing.tsv" in capsys.readouterr().err
    assert main([*command, "--qrels", str(tmp_path / "qrels.tsv"), "--negatives", "5"]) == 0
    out = capsys.readouterr().out
    for said in ("reads 3 passages", "64 trained on", "8 held-out queries", "untrained", "Against plain search"):
        assert said in out
    assert PrfEncoder.load(tmp_path / "prf").k == 3


def test_options_are_checked_together():
    with pytest.raises(InputError, match=r"negatives must be at least 1; temperature.*; hide"):
        AncePrfConfig(negatives=0, temperature=-1.0, hide=2.0)
