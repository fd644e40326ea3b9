"""The loop: what it learns, what a step is, and that a stopped run ends in the same bits."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal

import numpy as np
import pytest
from tiny_training import assert_same_bits, documents, run, small_encoder, weights_of

torch = pytest.importorskip("torch")

from sememe.errors import ArtifactError, InputError, ModelError  # noqa: E402
from sememe.objectives.contriever import Contriever  # noqa: E402
from sememe.objectives.nested import Nested  # noqa: E402
from sememe.training.config import TrainingConfig  # noqa: E402
from sememe.training.loop import train  # noqa: E402
from sememe.training.objective import Loss  # noqa: E402
from sememe.training.schedule import linear_schedule  # noqa: E402

KINDS = {
    "in batch": Contriever,
    "queue": lambda: Contriever(queue=16, momentum=0.9),
    "nested queue": lambda: Nested(Contriever(queue=16, momentum=0.9), [4, 8]),
}


def test_the_schedule_of_the_paper():
    found = [linear_schedule(step, 5, 20) for step in range(21)]
    np.testing.assert_allclose(found[:7], [0, 0.2, 0.4, 0.6, 0.8, 1, 14 / 15])
    assert found[20] == 0
    assert linear_schedule(0, 0, 4) == 1
    assert linear_schedule(5, 0, 4) == 0


def test_training_lowers_the_loss_and_tells_topics_apart(tmp_path):
    encoder = small_encoder(dropout=0.0)
    own = documents(24, seed=9)

    def margin() -> float:
        vectors = encoder.encoder.encode([each.content for each in own])
        cosines = vectors @ vectors.T
        same = np.array([[i % 12 == j % 12 and i != j for j in range(24)] for i in range(24)])
        return float(cosines[same].mean() - cosines[~same & ~np.eye(24, dtype=bool)].mean())

    before = margin()
    _, trained = run(tmp_path, encoder=encoder, steps=60, batch_size=16, learning_rate=5e-3)
    losses = [row["loss"] for row in trained.log]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])  # others of the topic are in the batch too
    assert margin() > before + 0.08


def test_a_step_is_adamw_on_the_gradient_of_the_batch(tmp_path):
    """Three steps written out with torch's own AdamW and scheduler give the same weights."""
    ours, _ = run(tmp_path, encoder=small_encoder(dropout=0.0), steps=3, warm_up=0.34, chunk=3)
    encoder, objective = small_encoder(dropout=0.0), Contriever()
    objective.prepare(encoder, 8, 0)
    data = objective.data(documents(), encoder, 8, 0, tmp_path)
    optimizer = torch.optim.AdamW(encoder.module.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: linear_schedule(step, 1, 3))
    encoder.train()
    for number in range(3):
        batch = data.batch(number)
        optimizer.zero_grad()
        q, k = (encoder.vectors(batch.views[view]) for view in ("query", "key"))
        logits = q @ k.T / 0.05
        owners = torch.from_numpy(batch.arrays["owners"])
        others = (owners[:, None] == owners) & ~torch.eye(8, dtype=torch.bool)
        torch.nn.functional.cross_entropy(logits.masked_fill(others, -torch.inf), torch.arange(8)).backward()
        optimizer.step()
        schedule.step()
    theirs = weights_of(encoder)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-6)


def test_accumulated_batches_give_the_mean_of_their_gradients(tmp_path):
    encoder, objective = small_encoder(dropout=0.0), Contriever()
    run(tmp_path, encoder=encoder, objective=objective, steps=1, accumulate=3, warm_up=0.0)
    accumulated = {name: p.grad.clone() for name, p in encoder.module.named_parameters() if p.grad is not None}
    plain, objective = small_encoder(dropout=0.0), Contriever()
    objective.prepare(plain, 8, 0)
    data = objective.data(documents(), plain, 8, 0, tmp_path)
    plain.train()
    for number in range(3):
        batch = data.batch(number)
        found = {view: plain.vectors(rows) for view, rows in batch.views.items()}
        (objective.loss(found, batch).value / 3).backward()
    for name, p in plain.module.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(accumulated[name], p.grad, atol=1e-6, rtol=1e-5)


def test_clipping_bounds_the_gradient(tmp_path):
    encoder = small_encoder()
    _, trained = run(tmp_path, encoder=encoder, steps=2, clip=0.01)
    norm = torch.cat([p.grad.flatten() for p in encoder.module.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-4)
    assert trained.log[0]["gradient"] > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path, kind):
    torch.manual_seed(1)
    first, _ = run(tmp_path, objective=KINDS[kind]())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second, _ = run(tmp_path, objective=KINDS[kind]())
    assert torch.equal(torch.get_rng_state(), before)  # the caller's random numbers are his own
    assert_same_bits(first, second)
    other, _ = run(tmp_path, objective=KINDS[kind](), seed=1)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


class StoppedError(Exception):
    pass


class Interrupted(Contriever):
    """Raises in the middle of a step."""

    def __init__(self, at: int, **options):
        super().__init__(**options)
        self.left = at

    def loss(self, representations, batch):
        self.left -= 1
        if self.left < 0:
            raise StoppedError
        return super().loss(representations, batch)


@pytest.mark.parametrize("options", [{}, {"queue": 16, "momentum": 0.9}], ids=["in batch", "queue"])
@pytest.mark.parametrize("at", [0, 1, 4, 9])
def test_a_run_stopped_in_any_step_ends_in_the_same_bits(tmp_path, options, at):
    whole, reference = run(tmp_path, objective=Contriever(**options), accumulate=2, check=lambda step: -step)
    with pytest.raises(StoppedError):
        run(tmp_path, objective=Interrupted(at, **options), work=tmp_path, accumulate=2, check=lambda step: -step)
    stopped = len((tmp_path / "log.jsonl").read_text().splitlines())
    assert stopped == at // 2
    resumed, trained = run(
        tmp_path, objective=Contriever(**options), work=tmp_path, accumulate=2, check=lambda step: -step
    )
    assert_same_bits(whole, resumed)
    assert trained == reference


def test_the_best_check_is_kept_and_patience_stops(tmp_path):
    values = {2: 0.1, 3: 0.5, 4: 0.3, 6: 0.2}
    seen = {}

    encoder = small_encoder()

    def check(step: int) -> float:
        assert not encoder.module.training
        seen[step] = weights_of(encoder)
        return values[step]

    kept, trained = run(tmp_path, encoder=encoder, check=check)
    assert (trained.steps, trained.kept_step, trained.checks) == (6, 3, values)
    assert_same_bits(kept, seen[3])
    seen.clear()
    encoder = small_encoder()
    kept, trained = run(tmp_path, encoder=encoder, check=check, patience=1)
    assert (trained.steps, trained.kept_step) == (4, 3)
    assert_same_bits(kept, seen[3])


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    with pytest.raises(StoppedError):
        run(tmp_path, objective=Interrupted(3), work=tmp_path)
    with pytest.raises(ArtifactError, match="its config differ"):
        run(tmp_path, work=tmp_path, learning_rate=2e-3)
    with pytest.raises(ArtifactError, match="its objective differ"):
        run(tmp_path, work=tmp_path, objective=Contriever(temperature=0.1))
    with pytest.raises(ArtifactError, match="its start differ"):
        run(tmp_path, work=tmp_path, encoder=small_encoder(seed=1))


def test_a_loss_that_is_no_number_names_the_step_and_the_documents(tmp_path):
    class Bad(Contriever):
        def loss(self, representations, batch):
            found = super().loss(representations, batch)
            self.count = getattr(self, "count", 0) + 1
            return Loss(found.value * float("nan")) if self.count == 3 else found

    with pytest.raises(ModelError, match=r"step 3: the loss is nan; the batch is of the documents 'd\d+'.* and 3 more"):
        run(tmp_path, objective=Bad(), work=tmp_path)
    assert (tmp_path / "checkpoint" / "card.json").is_file()


def test_all_wrong_options_are_reported_together():
    with pytest.raises(InputError) as caught:
        TrainingConfig(steps=0, batch_size=1, learning_rate=float("nan"), warm_up=1.0, precision="int4")
    for name in ("steps", "batch_size", "learning_rate", "warm_up", "precision"):
        assert name in str(caught.value)


class Killed(Contriever):
    """SIGKILL to its own process in a given step: at its beginning, in its loss, or when its state has changed."""

    def __init__(self, at: int, place: str, **options):
        super().__init__(**options)
        self.at, self.place, self.step = at, place, 0

    def die(self, place: str) -> None:
        if (self.step, place) == (self.at, self.place):
            os.kill(os.getpid(), signal.SIGKILL)

    def before_step(self, step):
        self.step = step
        self.die("before")
        super().before_step(step)

    def loss(self, representations, batch):
        self.die("loss")
        return super().loss(representations, batch)

    def after_step(self, step, seen):
        super().after_step(step, seen)
        self.die("after")


def test_killed_in_20_random_steps_it_ends_in_the_same_bits(tmp_path):
    options, steps = {"queue": 16, "momentum": 0.9}, 60
    whole, reference = run(tmp_path, objective=Contriever(**options), steps=steps, check=lambda step: step % 4)
    rng, kept = random.Random(0), []
    for at in sorted(rng.sample(range(1, steps + 1), 20)):
        objective = Killed(at, rng.choice(["before", "loss", "after"]), **options)

        def work(objective: Killed = objective) -> None:
            run(tmp_path, objective=objective, work=tmp_path, steps=steps, check=lambda step: step % 4)

        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        card = tmp_path / "checkpoint" / "card.json"
        kept.append(json.loads(card.read_text())["step"] if card.is_file() else 0)
        assert kept[-1] < at
    objective = Contriever(**options)
    killed, trained = run(tmp_path, objective=objective, work=tmp_path, steps=steps, check=lambda step: step % 4)
    assert_same_bits(whole, killed)
    assert trained == reference
    assert len(set(kept)) > 3  # it went on from several checkpoints


def test_train_needs_no_work_folder(tmp_path):
    encoder, objective = small_encoder(), Contriever()
    objective.prepare(encoder, 8, 0)
    data = objective.data(documents(), encoder, 8, 0, tmp_path)
    assert train(encoder, objective, data, TrainingConfig(steps=1, batch_size=8)).kept_step == 1
