"""The training loop: one for all objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sememe import disk
from sememe.errors import ModelError
from sememe.extras import require
from sememe.models.trainable import TrainableEncoder
from sememe.progress import progress as progress_bar
from sememe.training.checkpoint import SECONDS, Checkpoint, Progress, log_bytes
from sememe.training.config import TrainingConfig
from sememe.training.objective import Batch, DataView, Objective, Seen
from sememe.training.representing import Represent, own_random_numbers
from sememe.training.schedule import linear_schedule
from sememe.training.workers import Workers

Check = Callable[[int], float]
"""After which step -> how good the encoder is now; higher is better."""

_NAMED = 5  # documents of a batch that an error names
_HINT = "Lower the learning rate, clip gradients with --clip 1, or raise the temperature; the last checkpoint is kept"


@dataclass(frozen=True)
class Trained:
    """What training leaves behind; the encoder that was given holds the weights.

    Attributes:
        steps: how many were taken.
        kept_step: the step whose weights the encoder has.
        checks: step -> value of each check.
        log: one row a step: the loss, the learning rate, and what the objective measured.

    """

    steps: int
    kept_step: int
    checks: Mapping[int, float]
    log: list[dict[str, Any]] = field(repr=False)


def train(
    encoder: TrainableEncoder,
    objective: Objective,
    data: DataView,
    config: TrainingConfig,
    *,
    check: Check | None = None,
    work: Path | None = None,
    seconds: float = SECONDS,
) -> Trained:
    """Train an encoder. The objective must have been prepared for it.

    With several processes (see `sememe.training.workers`) every one calls this with the same arguments.

    On a processor, with the same number of threads, a run that was stopped anywhere and started again ends in the same
    bits as one that was not.

    Args:
        encoder: what is trained, in place.
        objective: the loss.
        data: the batches.
        config: the options.
        check: measures the encoder at `config.check_steps`; the weights of the best check are kept, else the last.
        work: a folder for checkpoints and the log; when it holds a checkpoint of this run, training goes on from it.
        seconds: between checkpoints, at least.

    Raises:
        ArtifactError: the checkpoint is of another run.
        ModelError: the loss is no longer a finite number.

    """
    require("torch", "models")
    with own_random_numbers(encoder.device):
        run = _Run(encoder, objective, data, config, work=work, seconds=seconds)
        run.go(check)
    return run.finish()


class _Run:
    def __init__(
        self,
        encoder: TrainableEncoder,
        objective: Objective,
        data: DataView,
        config: TrainingConfig,
        *,
        work: Path | None,
        seconds: float,
    ) -> None:
        self.encoder, self.objective, self.data, self.config = encoder, objective, data, config
        self.workers = Workers.current()
        own = {f"objective.{name}": weight for name, weight in objective.parameters().items()}
        self.weights = {**{f"encoder.{name}": weight for name, weight in encoder.parameters().items()}, **own}
        self.optimizer = _adam(self.weights, objective.rate, config)
        self.represent = Represent(
            encoder,
            objective.views,
            objective.encoders(),
            chunk=config.chunk,
            precision=config.precision,
            seed=config.seed,
            workers=self.workers,
        )
        run = {
            "config": asdict(config),
            "objective": objective.card(),
            "data": data.fingerprint,
            "start": encoder.encoder.fingerprint,
        }
        path = None if work is None else work / "checkpoint"
        self.checkpoint = Checkpoint(path, run, self.weights, self.optimizer, objective.arrays(), seconds=seconds)
        self.progress = Progress()
        self.live_log = None if work is None or not self.workers.is_first else work / "log.jsonl"

    def go(self, check: Check | None) -> None:
        self.progress = self.checkpoint.restore()
        self.workers.wait()
        if self.live_log is not None:
            disk.write_file(self.live_log, log_bytes(self.progress.log))
        done, total = self.progress.step, self.config.steps
        with progress_bar("Training", total, unit="steps", done=done) as bar:
            for step in range(done + 1, total + 1):
                if self._is_over():
                    break
                row = self._step(step)
                self._note(row)
                if step in self.config.check_steps:
                    self._check(check, step)
                if self.workers.is_first:
                    self.checkpoint.keep(self.progress, now=step in self.config.check_steps)
                bar.describe(f"Training, loss {row['loss']:.3f}")
                bar.advance()

    def finish(self) -> Trained:
        import torch

        self.encoder.train(False)
        done = self.progress
        if done.best:
            with torch.no_grad():
                for name, weight in self.weights.items():
                    if name in done.best:
                        weight.copy_(done.best[name])
        kept = done.step if done.best_step is None else done.best_step
        return Trained(done.step, kept, {row["step"]: row["value"] for row in done.checks}, done.log)

    def _step(self, step: int) -> dict[str, Any]:
        config, objective = self.config, self.objective
        self.encoder.train()
        objective.before_step(step)
        self.optimizer.zero_grad(set_to_none=True)
        rate = config.learning_rate * linear_schedule(step - 1, config.warm_up_steps, config.steps)
        seen, losses = [], []
        for micro in range(config.accumulate):
            number = (step - 1) * config.accumulate + micro
            batch = self.data.batch(number)
            computed = self.represent.batch(batch, number)
            loss = objective.loss(computed.representations, batch)
            value = float(loss.value.detach())
            if not math.isfinite(value):
                raise _not_finite(value, step, batch)
            computed.backward(loss.value / config.accumulate)
            losses.append({"loss": value, **loss.figures})
            seen.append(Seen(computed.detached(), batch))
        self.workers.add_gradients(self.encoder.parameters().values())
        objective.after_step(step, seen)
        row = {"step": step, "learning_rate": rate, **_means(losses)}
        if config.clip:
            row["gradient"] = self._clip()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.step()
        self.progress.step = step
        return row

    def _clip(self) -> float:
        import torch

        return float(torch.nn.utils.clip_grad_norm_(list(self.weights.values()), self.config.clip))

    def _note(self, row: dict[str, Any]) -> None:
        self.progress.log.append(row)
        if self.live_log is not None:
            # A log for people to follow; what is kept is in the checkpoints.
            with suppress(OSError), open(self.live_log, "ab") as stream:
                stream.write(log_bytes([row]))

    def _check(self, check: Check | None, step: int) -> None:
        if not all(weight.isfinite().all() for weight in self.weights.values()):
            raise ModelError("the weights are no longer finite numbers", where=f"step {step}", hint=_HINT)
        if check is None:
            return
        self.encoder.train(False)
        try:
            value = self.workers.first_says(check(step) if self.workers.is_first else 0.0)
        except ModelError as error:
            raise ModelError(error.message, where=f"step {step}", hint=_HINT) from error
        done = self.progress
        done.checks.append({"step": step, "value": value})
        if done.best_step is None or value > max(row["value"] for row in done.checks[:-1]):
            done.best_step = step
            done.best = {name: weight.detach().cpu().clone() for name, weight in self.weights.items()}

    def _is_over(self) -> bool:
        patience, checks = self.config.patience, self.progress.checks
        if not patience or self.progress.best_step is None:
            return False
        since = [row for row in checks if row["step"] > self.progress.best_step]
        return len(since) >= patience


def _adam(weights: Mapping[str, Any], rate: float, config: TrainingConfig) -> Any:
    import torch

    groups = [
        {"params": [weight for name, weight in weights.items() if name.startswith(kind)], "factor": factor}
        for kind, factor in (("encoder.", 1.0), ("objective.", rate))
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _not_finite(value: float, step: int, batch: Batch) -> ModelError:
    named = ", ".join(map(repr, batch.documents[:_NAMED]))
    more = f" and {len(batch.documents) - _NAMED} more" if len(batch.documents) > _NAMED else ""
    return ModelError(
        f"the loss is {value}; the batch is of the documents {named}{more}",
        where=f"step {step}",
        hint=_HINT,
    )
