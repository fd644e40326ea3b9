"""Distillation: worked examples, the losses against loops, and where a teacher's scores come from."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import config, documents, small_encoder

torch = pytest.importorskip("torch")

from sememe.corpus import Document  # noqa: E402
from sememe.errors import InputError  # noqa: E402
from sememe.objectives.distillation import Distillation, DistillationConfig, list_divergence, margin_mse  # noqa: E402
from sememe.training.encoders import train_encoder  # noqa: E402


def overlap(query: str, texts) -> np.ndarray:
    words = set(query.split())
    return np.array([len(words & set(text.split())) for text in texts], np.float32)


def pairs(n: int = 60, *, scored: bool = False) -> list[Document]:
    """One, two or three negatives each."""
    all_texts, found = documents(n), []
    for number, each in enumerate(all_texts):
        negatives = [all_texts[(number + k) % n].text for k in range(1, 2 + number % 3)]
        more = {"scores": overlap(each.text[:15], [each.text[15:], *negatives]).tolist()} if scored else {}
        found.append(
            Document(each.id, each.text[15:], metadata={"query": each.text[:15], "negatives": negatives} | more)
        )
    return found


def test_the_worked_examples():
    s, t = torch.tensor([[0.9, 0.4]]), torch.tensor([[5.0, 2.0]])
    assert margin_mse(s, t).item() == pytest.approx(6.25)
    s, t = torch.tensor([[1, 0.5, 0]], dtype=torch.float64), torch.tensor([[2, 1, -1]], dtype=torch.float64)
    assert list_divergence(s, t).item() == pytest.approx(0.131271, abs=1e-6)
    assert list_divergence(t, s).item() == pytest.approx(0.194988, abs=1e-6)
    assert list_divergence(s, s + 3).item() == pytest.approx(0, abs=1e-12)


def test_lists_of_different_lengths_are_what_they_are_alone():
    inf = float("inf")
    s = torch.tensor([[1.0, 0.5, 0.0], [0.3, 0.9, -inf]], dtype=torch.float64)
    t = torch.tensor([[2.0, 1.0, -1.0], [1.0, 0.0, -inf]], dtype=torch.float64)
    alone = [(s[:1], t[:1]), (s[1:, :2], t[1:, :2])]
    assert list_divergence(s, t).item() == pytest.approx(np.mean([list_divergence(*each).item() for each in alone]))
    squares = [((1 - 0.5) - 1) ** 2, ((1 - 0) - 3) ** 2, ((0.3 - 0.9) - 1) ** 2]
    assert margin_mse(s, t).item() == pytest.approx(np.mean(squares))


@pytest.mark.parametrize("kind", ["margin-mse", "kl"])
def test_the_loss_is_the_papers_written_as_loops(tmp_path, kind):
    rows = pairs()
    objective = Distillation(teacher=overlap, loss=kind, negatives=3, temperature=0.5, teacher_temperature=2.0)
    encoder = small_encoder(dropout=0.0)
    objective.prepare(encoder, 8, 0)
    batch = objective.data(rows, encoder, 8, 0, tmp_path).batch(1)
    found = {view: encoder.vectors(texts) for view, texts in batch.views.items()}
    by_id, losses, start = {row.id: row for row in rows}, [], 0
    for n, document in enumerate(batch.documents):
        row = by_id[document]
        mine = np.flatnonzero(batch.arrays["negative_of"] == n)
        assert len(mine) == len(row.metadata["negatives"])
        q = found["query"][n].detach()
        candidates = torch.cat([found["positive"][n : n + 1], found["negative"][mine]]).detach()
        s = ((candidates @ q) / 0.5).numpy()
        known = {tuple(encoder.framed(encoder.tokenize([text])[0])): text for text in row.metadata["negatives"]}
        texts = [row.text, *(known[tuple(batch.views["negative"][each])] for each in mine)]
        t = overlap(row.metadata["query"], texts) / 2.0
        if kind == "margin-mse":
            losses += [((s[0] - s[j]) - (t[0] - t[j])) ** 2 for j in range(1, len(s))]
        else:
            p, r = np.exp(t) / np.exp(t).sum(), np.exp(s) / np.exp(s).sum()
            losses.append((p * np.log(p / r)).sum())
        start += len(mine)
    assert float(objective.loss(found, batch).value.detach()) == pytest.approx(np.mean(losses), abs=1e-5)


def test_gradients_are_right():
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    t = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    for loss in (margin_mse, list_divergence):
        assert torch.autograd.gradcheck(lambda x, f=loss: f(x, t), s)


def test_scores_of_records_are_those_of_the_teacher(tmp_path):
    taught = []
    for rows, teacher in ((pairs(), overlap), (pairs(scored=True), None)):
        folder = tmp_path / str(teacher is None)
        folder.mkdir()
        data = Distillation(teacher=teacher).data(rows, small_encoder(dropout=0.0), 8, 0, folder)
        taught.append(data.batch(0).arrays["teacher"])
    np.testing.assert_array_equal(*taught)


def test_the_teacher_is_asked_once_and_kept_beside_the_run(tmp_path):
    asked = []

    def teacher(query, texts):
        asked.append(query)
        return overlap(query, texts)

    fingerprints = []
    for _ in range(2):
        data = Distillation(teacher=teacher, mine="bm25", mined=2).data(pairs(), small_encoder(), 8, 0, tmp_path)
        fingerprints.append(data.fingerprint)
    assert len(asked) == 60
    assert fingerprints[0] == fingerprints[1]
    other = [*pairs()[:-1], Document("x", "ca cb cc", metadata={"query": "cd", "negatives": ["ce"]})]
    Distillation(teacher=teacher, mine="bm25", mined=2).data(other, small_encoder(), 8, 0, tmp_path)
    assert len(asked) == 120


def test_a_student_comes_to_agree_with_its_teacher(tmp_path):
    objective, encoder = Distillation(teacher=overlap, negatives=3), small_encoder(dropout=0.0)
    done = train_encoder(
        encoder, pairs(), objective, tmp_path / "out", config(steps=60, learning_rate=1e-2, held_out=0)
    )
    assert done.card["loss"]["last"] < 0.6 * done.card["loss"]["first"]


def test_what_cannot_be_distilled_is_refused(tmp_path):
    encoder = small_encoder()
    with pytest.raises(InputError, match="pair 'd0': has no scores"):
        Distillation().data(pairs(), encoder, 8, 0, tmp_path)
    bad = [
        Document("bad", "ca cb", metadata={"query": "cc", "negatives": ["cd"], "scores": [1.0]}),
        *pairs(scored=True),
    ]
    with pytest.raises(InputError, match="pair 'bad': has scores that are not 2 numbers"):
        Distillation().data(bad, encoder, 8, 0, tmp_path)
    alone = [Document(row.id, row.text, metadata={"query": row.metadata["query"]}) for row in pairs()]
    with pytest.raises(InputError, match="60 pairs have no negatives"):
        Distillation(teacher=overlap).data(alone, encoder, 8, 0, tmp_path)
    with pytest.raises(InputError, match=r"refresh must be 0.*; temperature must be"):
        DistillationConfig(mine="self", refresh=3, temperature=0.0)
