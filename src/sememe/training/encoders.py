"""Training an encoder on a corpus, from the documents to a saved folder with its card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sememe import artifact, disk
from sememe.artifact import CARD
from sememe.corpus import Document
from sememe.errors import InputError
from sememe.evaluation.code_search import PREFIX, collection_folder
from sememe.evaluation.metrics import Run
from sememe.lock import WriterLock
from sememe.models.layout import refuse_other_folder
from sememe.models.multi_vector import MultiVectorEncoder
from sememe.models.trainable import EncoderChanges, TrainableEncoder
from sememe.training.checkpoint import LOG, SECONDS, is_checkpoint, log_bytes, remove_work
from sememe.training.config import TrainingConfig
from sememe.training.held_out import HeldOut, split
from sememe.training.loop import Trained, train
from sememe.training.model_card import README, model_card
from sememe.training.objective import Objective
from sememe.training.plan import Plan, plan_training
from sememe.training.search_task import SearchTask
from sememe.training.verdict import BM25, HYBRID, START, TRAINED, Verdict, judge, no_verdict
from sememe.training.workers import Workers

KIND = "trained-encoder"
WORK_ENDING = ".training"


@dataclass(frozen=True)
class TrainedEncoder:
    """A trained encoder on disk.

    Attributes:
        path: its folder: `Encoder.load` and sentence-transformers load it.
        card: what made it, and how it measured.
        verdict: how it compares with its start on held-out texts.
        collections: the same on test collections, by name.

    """

    path: Path
    card: Mapping[str, Any]
    verdict: Verdict
    collections: Mapping[str, Verdict] = field(default_factory=dict)


def train_encoder(
    start: str | Path | TrainableEncoder,
    documents: Iterable[Document],
    objective: Objective,
    path: str | Path,
    config: TrainingConfig | None = None,
    *,
    changes: EncoderChanges | None = None,
    collections: Sequence[str | Path] = (),
    resume: bool = False,
    **options: Any,
) -> TrainedEncoder:
    """Train an encoder and save it.

    Args:
        start: what `Encoder.load` takes, or an encoder that was made trainable.
        documents: the corpus; can be iterated again.
        objective: what to learn.
        path: the folder to write.
        config: how to train.
        changes: what to change on the encoder first.
        collections: test collections in the BEIR layout, or `python:PACKAGE` for one made of installed code, to measure
            start and result on.
        resume: go on with a run that was stopped.
        options: fields of `TrainingConfig`, instead of a whole one.

    Raises:
        InputError: the documents or the options cannot be used.
        ModelError: there is no such encoder, or training has left the finite numbers.
        ArtifactError: `path` holds something else, or there is a stopped run of other options.

    """
    encoder = start if isinstance(start, TrainableEncoder) else TrainableEncoder.load(start, changes)
    config = config or TrainingConfig(**options)
    with EncoderTraining(encoder, documents, objective, path, config, collections=collections, resume=resume) as job:
        return job.run()


class EncoderTraining:
    """A run of `train_encoder` in its parts: what it would cost, and the run itself.

    Beside the folder that it writes there is `NAME.training` while it runs: the checkpoint, the log, the token ids. It
    is removed when the result is saved.

    Attributes:
        encoder: what is trained.
        objective: what it learns.
        data: the batches.
        held_out: the texts that measure it; None when the corpus is too small.
        collections: the test collections, by name.

    """

    def __init__(
        self,
        encoder: TrainableEncoder,
        documents: Iterable[Document],
        objective: Objective,
        path: str | Path,
        config: TrainingConfig,
        *,
        collections: Sequence[str | Path] = (),
        resume: bool = False,
        language: str = "english",
    ) -> None:
        self.encoder, self.objective, self.config = encoder, objective, config
        self._path, self._language = Path(path), language
        self._work = work_folder(self._path)
        refuse_other_folder(self._path)
        _check_resume(self._work, resume)
        self._workers = Workers.current()
        scratch = self._work if self._workers.is_first else self._work / f"worker-{self._workers.rank}"
        disk.make_folder(scratch)
        self._lock = WriterLock(scratch)
        try:
            parts = split(documents, config.held_out, config.seed, objective.question)
            objective.prepare(encoder, config.batch_size, config.seed)
            self.held_out: HeldOut | None = parts.held_out
            self.collections = {_title(place): SearchTask.read(collection_folder(place)) for place in collections}
            self.data = objective.data(parts.train, encoder, config.batch_size, config.seed, scratch)
            self._corpus = {"documents": parts.documents, "repeated": parts.duplicates}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another run use the folders; what has no checkpoint is removed."""
        self._lock.release()
        if self._workers.is_first and not is_checkpoint(self._work / "checkpoint"):
            remove_work(self._work)

    def plan(self) -> Plan:
        """What the run would cost."""
        times = len(self.config.check_steps) + 2
        tasks = dict.fromkeys(self.collections.values(), 2)
        tasks |= {self.held_out.task: times} if self.held_out is not None else {}
        return plan_training(self.encoder, self.objective, self.data, self.config, tasks, folder=self._work)

    def run(self, *, seconds: float = SECONDS) -> TrainedEncoder:
        """Train, measure and save. Of several processes the first one measures and saves.

        Args:
            seconds: between checkpoints, at least.

        Raises:
            ModelError: training has left the finite numbers.
            ArtifactError: the checkpoint is of another run, or the result cannot be written.

        """
        begun = self.encoder.encoder
        origin = {"name": begun.name, "fingerprint": begun.fingerprint}
        start = self._measure() if self._workers.is_first else {}
        trained = train(
            self.encoder,
            self.objective,
            self.data,
            self.config,
            check=self._check if self.held_out is not None else None,
            work=self._work,
            seconds=seconds,
        )
        if not self._workers.is_first:
            self._workers.wait()
            return TrainedEncoder(self._path, {}, no_verdict())
        verdicts = self._judge(start, self._measure())
        verdict = verdicts.pop("", no_verdict())
        card = self._card(origin, trained, verdict, verdicts)
        files = {
            CARD: artifact.seal(KIND, card),
            LOG: log_bytes(trained.log),
            README: model_card(card).encode(),
        }
        self.encoder.save(self._path, files)
        self._workers.wait()
        remove_work(self._work)
        return TrainedEncoder(self._path, card, verdict, verdicts)

    @property
    def _tasks(self) -> dict[str, SearchTask]:
        """All that is measured, by name; the held-out texts have none."""
        return {**({} if self.held_out is None else {"": self.held_out.task}), **self.collections}

    def _measure(self) -> dict[str, Run]:
        return {name: task.by_meaning(self.encoder.encoder) for name, task in self._tasks.items()}

    def _check(self, step: int) -> float:
        assert self.held_out is not None
        return self.held_out.choosing(self.held_out.task.dense(self.encoder.encoder))

    def _judge(self, start: Mapping[str, Run], trained: Mapping[str, Run]) -> dict[str, Verdict]:
        found = {}
        has_hybrid = not isinstance(self.encoder.encoder, MultiVectorEncoder)
        for name, task in self._tasks.items():
            by_words = task.by_words(self._language)
            runs = {BM25: by_words}
            for system, run in ((START, start[name]), (TRAINED, trained[name])):
                runs[system] = run
                if has_hybrid:
                    runs[HYBRID[system]] = task.fused(run, by_words)
            systems = {system: task.metrics(run) for system, run in runs.items()}
            if not name and self.held_out is not None:
                systems = {system: self.held_out.reporting(by_query) for system, by_query in systems.items()}
            found[name] = judge(systems, on=f"queries of {name}" if name else "held-out questions")
        return found

    def _card(
        self, start: Mapping[str, Any], trained: Trained, verdict: Verdict, collections: Mapping[str, Verdict]
    ) -> dict[str, Any]:
        last = trained.log[-max(1, len(trained.log) // 10) :]
        return {
            "start": dict(start),
            "objective": self.objective.card(),
            "training": asdict(self.config),
            "data": {
                **self._corpus,
                **self.data.about,
                "held_out": 0 if self.held_out is None else len(self.held_out.task),
            },
            "steps": trained.steps,
            "kept_step": trained.kept_step,
            "checks": {str(step): value for step, value in trained.checks.items()},
            "loss": {"first": trained.log[0]["loss"], "last": sum(row["loss"] for row in last) / len(last)},
            "width": self.encoder.width,
            "similarity": self.encoder.similarity,
            "evaluation": verdict.as_dict(),
            "collections": {name: found.as_dict() for name, found in collections.items()},
        }


def _title(collection: str | Path) -> str:
    """What a test collection is called: its folder's name, or the packages that it is made of."""
    return str(collection) if str(collection).startswith(PREFIX) else Path(collection).resolve().name


def work_folder(path: Path) -> Path:
    """Where a run keeps what it needs while it runs."""
    return path.with_name(path.name + WORK_ENDING)


def _check_resume(work: Path, resume: bool) -> None:
    stopped = is_checkpoint(work / "checkpoint")
    if stopped and not resume:
        raise InputError(
            "there is a run that was stopped",
            where=str(work),
            hint="Go on with it with --resume (in Python: resume=True), or remove the folder",
        )
