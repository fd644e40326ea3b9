"""Pairs: labelled queries and the texts that answer them, with in-batch and hard negatives.

Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering" (EMNLP 2020), section 3.2. Texts that
answer the same query, and equal texts, are no negatives of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from sememe.corpus import Corpus, Document, read
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.hard_negatives import HardNegatives, MiningConfig, Teacher
from sememe.objectives.info_nce import Scores, accuracy, comparable, dot_scores, info_nce, spread
from sememe.objectives.pair_data import POSITIVE_FIELD, PairData, query_of
from sememe.training.held_out import Question
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation


@dataclass(frozen=True)
class PairsConfig(MiningConfig):
    """Options of the objective.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    temperature: float = field(default=0.05, metadata={"help": "what scores are divided by"})
    symmetric: bool = field(default=False, metadata={"help": "find queries by their texts too, half of the loss"})

    def __post_init__(self) -> None:
        problems = self.mining_problems()
        if not 0 < self.temperature < inf:
            problems.insert(0, "temperature must be above 0")
        if problems:
            raise InputError("; ".join(problems), where="PairsConfig")


def read_pairs(source: str | Path, **options: Any) -> Corpus:
    """Read a file of pairs: records with `query` (or `anchor`, `question`), `positive`, and maybe `negatives`.

    Args:
        source: JSON lines, a table, or whatever `sememe.read` reads. `negatives` is a list of texts; `negative` is one.
        options: fields of `ReadConfig`.

    Returns:
        One document a pair: its text is the positive, its metadata are the rest.

    """
    return read(source, **{**options, "text_field": POSITIVE_FIELD})


class Pairs(Objective):
    """A query belongs to its text; all other texts of the batch are negatives.

    Args:
        config: the options.
        scores: how views are compared; by default by inner product.
        denoiser: scores the texts mined for a query, as a cross-encoder's raw output; loaded by default as `denoise`
            says.
        options: fields of `PairsConfig`, instead of a whole one.

    """

    name = "pairs"
    config: PairsConfig

    def __init__(
        self,
        config: PairsConfig | None = None,
        *,
        scores: Scores = dot_scores,
        denoiser: Teacher | None = None,
        **options: Any,
    ) -> None:
        self.config = config or PairsConfig(**options)
        self._scores, self._unit, self._denoiser = scores, False, denoiser
        self._mined: HardNegatives | None = None

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"query": "pooled", "positive": "pooled", "negative": "pooled"}

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        self._unit = encoder.normalizes

    def question(self, document: Document) -> Question | None:
        return Question(document.id, query_of(document), document.text)

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        return self.pair_data(documents, encoder, batch_size, seed, scratch)

    def pair_data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> PairData:
        """`data`, for objectives that add to it."""
        data = PairData(
            documents,
            encoder,
            scratch / "tokens.bin",
            batch_size=batch_size,
            seed=seed,
            negatives=self.config.negatives,
        )
        self._mined = HardNegatives(self.config, data, documents, encoder, seed=seed, teacher=self._denoiser)
        return data

    def before_step(self, step: int) -> None:
        if self._mined is not None:
            self._mined.refresh(step)

    def arrays(self) -> Mapping[str, Any]:
        return {} if self._mined is None else self._mined.arrays()

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        q, positive = representations["query"], representations["positive"]
        texts = torch.cat([positive, representations["negative"]]) if "negative" in representations else positive
        scores = self._scores(comparable(q, self._unit), comparable(texts, self._unit))
        masked = torch.from_numpy(batch.arrays["answers"]).to(q.device)
        value = info_nce(scores, self.config.temperature, masked=masked)
        if self.config.symmetric:
            n = len(q)
            back = info_nce(scores[:, :n].T, self.config.temperature, masked=masked[:, :n].T)
            value = (value + back) / 2
        return Loss(value, {"accuracy": accuracy(scores, masked=masked), "spread": spread(q)})
