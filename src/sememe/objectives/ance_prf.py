"""ANCE-PRF: a query encoder that reads the passages a first search found, trained for an index that stays as it is.

Yu, Xiong and Callan, "Improving Query Representations for Dense Retrieval with Pseudo Relevance Feedback" (CIKM 2021,
arXiv 2108.13454); Li et al., "A Reproducibility Study" (ECIR 2022, arXiv 2112.06400). Documents are the index's own
vectors, without gradient; each query is compared with its own answer and its own negatives only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.feedback_encoder import PrfEncoder
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.info_nce import info_nce, spread
from sememe.training.drawing import EveryEpoch
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation

UNIT_TEMPERATURE = 0.05


@dataclass(frozen=True)
class AncePrfConfig:
    """Options of the objective.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    negatives: int = field(default=20, metadata={"help": "documents a query is told its answer from, in a batch"})
    depth: int = field(default=200, metadata={"help": "of the so many best ones of the first search"})
    sampled: int = field(default=100, metadata={"help": "that are drawn once, to walk through from epoch to epoch"})
    temperature: float | None = field(
        default=None, metadata={"help": "what scores are divided by (default 0.05 for vectors of length one, else 1)"}
    )
    hide: float = field(
        default=0.0, metadata={"help": "how often the answer itself is left out of the passages; for titles, give 0.5"}
    )

    def __post_init__(self) -> None:
        low = [name for name in ("negatives", "depth", "sampled") if getattr(self, name) < 1]
        problems = [f"{name} must be at least 1" for name in low]
        if self.temperature is not None and not 0 < self.temperature < inf:
            problems.append("temperature must be above 0")
        if not 0 <= self.hide <= 1:
            problems.append("hide must be from 0 to 1")
        if problems:
            raise InputError("; ".join(problems), where="AncePrfConfig")


class Judged(NamedTuple):
    """A query, a row of the index that answers it, and what the first search found.

    Attributes:
        query: the text.
        positive: a row.
        found: rows, the best first; as the search gave them, answers included.
        answers: all rows that answer it, which are no negatives.
        fed: rows whose texts are read with the query, if not `found`: another query's, or none, to tell what feedback
            does from what training does.

    """

    query: str
    positive: int
    found: Sequence[int]
    answers: frozenset[int]
    fed: Sequence[int] | None = None


class AncePrf(Objective):
    """Softmax over a query's own answer and negatives; no negatives from the batch.

    Args:
        judged: what is learned from.
        prf: reads queries and passages; its weights are those that are trained.
        vectors: from rows (n,) to the index's vectors (n, d).
        text: from a row to its text.
        config: the options.

    """

    name = "ance-prf"
    config: AncePrfConfig

    def __init__(
        self,
        judged: Sequence[Judged],
        prf: PrfEncoder,
        vectors: Callable[[np.ndarray], np.ndarray],
        text: Callable[[int], str],
        config: AncePrfConfig | None = None,
    ) -> None:
        self.config = config or AncePrfConfig()
        self._judged, self._prf, self._vectors, self._text = list(judged), prf, vectors, text
        self._temperature = 1.0

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"query": "pooled"}

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        given = self.config.temperature
        self._temperature = given if given is not None else UNIT_TEMPERATURE if encoder.normalizes else 1.0

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        """The data view; `documents` are not used."""
        return FeedbackData(
            self._judged, self._prf, self._vectors, self._text, self.config, batch_size=batch_size, seed=seed
        )

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        torch = require("torch", "models")
        q = representations["query"]
        candidates = torch.from_numpy(batch.arrays["candidates"]).to(q.device, q.dtype)
        scores = torch.einsum("nd,ncd->nc", q, candidates)
        # Where there are fewer negatives than asked for, each counts once.
        repeated = torch.from_numpy(batch.arrays["repeated"]).to(q.device)
        own = torch.zeros(len(q), dtype=torch.long, device=q.device)
        right = (scores.detach().argmax(1) == 0).float().mean()
        return Loss(info_nce(scores, self._temperature, own, repeated), {"accuracy": float(right), "spread": spread(q)})

    def card(self) -> dict[str, Any]:
        return {**super().card(), "k": self._prf.k}


class FeedbackData:
    """Every judged query once an epoch, with the next ones of its negatives.

    Args:
        judged: see `AncePrf`.
        prf: likewise.
        vectors: likewise.
        text: likewise.
        config: the options.
        batch_size: queries in a batch.
        seed: of every draw.

    Raises:
        InputError: there are fewer queries than a batch has, or a first search found too little.

    """

    def __init__(
        self,
        judged: Sequence[Judged],
        prf: PrfEncoder,
        vectors: Callable[[np.ndarray], np.ndarray],
        text: Callable[[int], str],
        config: AncePrfConfig,
        *,
        batch_size: int,
        seed: int,
    ) -> None:  # fmt: skip
        if len(judged) < batch_size:
            raise InputError(
                f"a batch has {batch_size} queries, and there are {len(judged)}",
                where="batch_size",
                hint=f"Give at most {len(judged)}",
            )
        self._judged, self._prf, self._vectors, self._text, self._config = judged, prf, vectors, text, config
        self._batch_size, self._seed = batch_size, seed
        self._order = EveryEpoch(len(judged), seed)
        self._negatives = [self._sampled(number) for number in range(len(judged))]

    @property
    def fingerprint(self) -> str:
        marks = [
            repr((each.query, each.positive, list(each.found), *([] if each.fed is None else [list(each.fed)])))
            for each in self._judged
        ]
        return hashlib.sha256("\n".join(marks).encode()).hexdigest()

    @property
    def about(self) -> Mapping[str, Any]:
        return {"trained_on": len(self._judged)}

    def batch(self, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, 1, number])
        drawn = self._order.draw(number, self._batch_size).tolist()
        rows, candidates, repeated = [], [], []
        for place, which in enumerate(drawn):
            each, own = self._judged[which], self._negatives[which]
            epoch = (number * self._batch_size + place) // len(self._judged)
            walk = (np.arange(self._config.negatives) + epoch * self._config.negatives) % len(own)
            fed = each.found if each.fed is None else each.fed
            if rng.random() < self._config.hide:
                fed = [row for row in fed if row != each.positive]
            passages = [self._text(int(row)) for row in fed[: self._prf.k]]
            rows.append(self._prf.framed(each.query, passages))
            candidates.append([each.positive, *own[walk]])
            repeated.append([False, *(np.arange(self._config.negatives) >= len(own))])
        flat = np.asarray(candidates, np.int64)
        found = np.asarray(self._vectors(flat.ravel()), np.float32).reshape(*flat.shape, -1)
        return Batch(
            {"query": rows},
            [self._judged[which].query for which in drawn],
            {"candidates": found, "repeated": np.array(repeated)},
        )

    def _sampled(self, number: int) -> np.ndarray:
        each = self._judged[number]
        free = [int(row) for row in each.found[: self._config.depth] if int(row) not in each.answers]
        if not free:
            raise InputError(
                "the first search found nothing but answers",
                where=f"query {each.query!r}",
                hint="Leave such queries out, or search deeper",
            )
        rng = np.random.default_rng([self._seed, 3, number])
        return rng.permutation(np.array(free, np.int64))[: self._config.sampled]
