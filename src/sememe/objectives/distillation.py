"""Distillation: scores like those of a teacher, over each query's own candidates.

Margin-MSE: Hofstätter et al., "Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge
Distillation" (2020). Divergence over a list: Ren et al., "RocketQAv2" (EMNLP 2021), with the teacher fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.hard_negatives import MiningConfig, Teacher
from sememe.objectives.info_nce import comparable, spread
from sememe.objectives.pair_data import PairData
from sememe.objectives.pairs import Pairs
from sememe.objectives.teacher_scores import TeacherScores, load_teacher
from sememe.training.held_out import Question
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation

LOSSES = ("margin-mse", "kl")


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(MiningConfig):
    """Options of the objective.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    teacher: str | None = field(
        default=None,
        metadata={"help": "cross:MODEL, or an encoder; without one, records bring scores, that of the positive first"},
    )
    loss: str = field(
        default="kl",
        metadata={"help": "divergence of the teacher's softmax, or squared error of margins", "choices": LOSSES},
    )
    negatives: int = field(default=4, metadata={"help": "candidates of a query in a batch beside its positive"})
    temperature: float = field(default=0.05, metadata={"help": "what scores are divided by"})
    teacher_temperature: float = field(default=1.0, metadata={"help": "what the teacher's scores are divided by"})

    def __post_init__(self) -> None:
        problems = self.mining_problems()
        if self.negatives < 1:
            problems.append("negatives must be at least 1")
        if self.refresh:
            problems.append("refresh must be 0: the teacher scores the candidates once")
        problems += [
            f"{name} must be above 0"
            for name in ("temperature", "teacher_temperature")
            if not 0 < getattr(self, name) < inf
        ]
        if self.loss not in LOSSES:
            problems.append(f"loss must be one of {', '.join(LOSSES)}")
        if problems:
            raise InputError("; ".join(problems), where="DistillationConfig")


class Distillation(Objective):
    """A query's scores of its positive and its negatives become those of a teacher.

    Args:
        config: the options.
        teacher: scores texts for a query; loaded by default as `config.teacher` says.
        options: fields of `DistillationConfig`, instead of a whole one.

    """

    name = "distillation"
    config: DistillationConfig

    def __init__(
        self, config: DistillationConfig | None = None, *, teacher: Teacher | None = None, **options: Any
    ) -> None:
        self.config = config or DistillationConfig(**options)
        self._teacher, self._unit = teacher, False
        self._pairs = Pairs(**self.config.mining())

    @property
    def views(self) -> Mapping[str, Kind]:
        return self._pairs.views

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        self._unit = encoder.normalizes

    def question(self, document: Document) -> Question | None:
        return self._pairs.question(document)

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        pairs = self._pairs.pair_data(documents, encoder, batch_size, seed, scratch)
        teacher, name = self._teacher, self.config.teacher
        if teacher is None and name is not None:
            teacher = load_teacher(name)
        scores = TeacherScores.make(documents, pairs, teacher, scratch / "teacher", name or "")
        return DistillationData(pairs, scores)

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        q, positive, negative = (
            comparable(representations[view], self._unit) for view in ("query", "positive", "negative")
        )
        place, of = (torch.from_numpy(batch.arrays[name]).to(q.device) for name in ("places", "negative_of"))
        taught = torch.from_numpy(batch.arrays["teacher"]).to(q.device) / self.config.teacher_temperature
        own = torch.cat([(q * positive).sum(1), (q[of] * negative).sum(1)]) / self.config.temperature
        rows = torch.cat([torch.arange(len(q), device=q.device), of])
        columns = torch.cat([torch.zeros_like(rows[: len(q)]), place])
        # Lists may be of different lengths: what is not there has no probability, and no margin.
        scores = torch.full_like(taught, -inf).index_put((rows, columns), own.to(taught.dtype))
        divergence = margin_mse if self.config.loss == "margin-mse" else list_divergence
        agree = (scores.detach().argmax(1) == taught.argmax(1)).float().mean()
        return Loss(divergence(scores, taught), {"agreement": float(agree), "spread": spread(q)})


def margin_mse(scores: Any, taught: Any) -> Any:
    """Mean over candidates of ``((s_0 - s_j) - (t_0 - t_j))^2``: how much the positive is ahead of each.

    Args:
        scores: tensor (n, 1 + m), the positive first, -inf where a list is shorter.
        taught: those of the teacher, likewise.

    """
    known = require("torch", "models").isfinite(taught[:, 1:])
    ahead = [(each[:, :1] - each[:, 1:])[known] for each in (scores, taught)]
    return (ahead[0] - ahead[1]).square().mean()


def list_divergence(scores: Any, taught: Any) -> Any:
    """Mean over queries of ``KL(softmax(t) || softmax(s))``; arguments as `margin_mse`."""
    torch = require("torch", "models")
    known = torch.isfinite(taught)
    wanted, found = taught.log_softmax(1), scores.log_softmax(1)
    gap = torch.where(known, wanted - found, 0.0)
    return (wanted.exp() * gap).sum(1).mean()


class DistillationData:
    """Batches of pairs with the teacher's scores of every candidate.

    Args:
        pairs: the batches.
        scores: of all candidates.

    Raises:
        InputError: a pair has no negatives.

    """

    def __init__(self, pairs: PairData, scores: TeacherScores) -> None:
        self._pairs, self._scores = pairs, scores
        alone = [pair for pair in range(len(pairs)) if len(pairs.rows_of(pair)) < 2 and not len(pairs.mined_rows(pair))]
        if alone:
            raise InputError(
                f"{len(alone)} pairs have no negatives, which a teacher could compare with the positive",
                hint="Give them negatives, or find some with --mine bm25",
            )

    @property
    def fingerprint(self) -> str:
        return f"{self._pairs.fingerprint} {self._scores.fingerprint}"

    @property
    def about(self) -> Mapping[str, Any]:
        return self._pairs.about

    def batch(self, number: int) -> Batch:
        batch = self._pairs.batch(number)
        pairs, of, rows = (batch.arrays[name] for name in ("pairs", "negative_of", "negatives"))
        places = np.array([1 + int((of[:n] == each).sum()) for n, each in enumerate(of)], np.int64)
        taught = np.full((len(pairs), 1 + int(places.max(initial=0))), -inf, np.float32)
        taught[:, 0] = [self._scores.of(pair, self._pairs.rows_of(pair)[0]) for pair in pairs.tolist()]
        taught[of, places] = [self._scores.of(int(pairs[each]), int(row)) for each, row in zip(of, rows, strict=True)]
        return Batch(batch.views, batch.documents, {**batch.arrays, "places": places, "teacher": taught})
