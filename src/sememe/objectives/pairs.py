"""Pairs: labelled queries and the texts that answer them, with in-batch and hard negatives.

Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering" (EMNLP 2020), section 3.2. Texts that
answer the same query, and equal texts, are no negatives of each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from sememe.corpus import Corpus, Document, read
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.info_nce import Scores, accuracy, comparable, dot_scores, info_nce, spread
from sememe.training.drawing import EveryEpoch
from sememe.training.held_out import Question
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation
from sememe.training.token_store import TokenStore

QUERY_FIELDS = ("query", "anchor", "question")
POSITIVE_FIELD = "positive"
NEGATIVE_FIELDS = ("negatives", "negative")


@dataclass(frozen=True)
class PairsConfig:
    """Options of the objective.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    temperature: float = field(default=0.05, metadata={"help": "what scores are divided by"})
    negatives: int = field(default=1, metadata={"help": "of its own negatives, how many a query brings into the batch"})
    symmetric: bool = field(default=False, metadata={"help": "find queries by their texts too, half of the loss"})

    def __post_init__(self) -> None:
        problems = [] if 0 < self.temperature < inf else ["temperature must be above 0"]
        if self.negatives < 0:
            problems.append("negatives must be 0 or more")
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
        options: fields of `PairsConfig`, instead of a whole one.

    """

    name = "pairs"
    config: PairsConfig

    def __init__(self, config: PairsConfig | None = None, *, scores: Scores = dot_scores, **options: Any) -> None:
        self.config = config or PairsConfig(**options)
        self._scores, self._unit = scores, False

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"query": "pooled", "positive": "pooled", "negative": "pooled"}

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        self._unit = encoder.normalizes

    def question(self, document: Document) -> Question | None:
        return Question(document.id, _query(document), document.text)

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        file, negatives = scratch / "tokens.bin", self.config.negatives
        return PairData(documents, encoder, file, batch_size=batch_size, seed=seed, negatives=negatives)

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


class PairData:
    """Every pair once an epoch, in random order.

    Args:
        documents: the pairs, as `read_pairs` gives them.
        encoder: tokenises and frames.
        file: where the token ids go.
        batch_size: pairs in a batch.
        seed: of every draw.
        negatives: how many of its own negatives a query brings.

    Raises:
        InputError: there are fewer pairs than a batch has, or a pair has no query.

    """

    def __init__(
        self,
        documents: Iterable[Document],
        encoder: TrainableEncoder,
        file: Path,
        *,
        batch_size: int,
        seed: int,
        negatives: int,
    ) -> None:
        self._encoder, self._batch_size, self._seed, self._n = encoder, batch_size, seed, negatives
        self._firsts: list[int] = []
        self._queries: list[bytes] = []
        self._texts: list[bytes] = []
        self._store = TokenStore.build(self._parts(documents), encoder, file, least=0)
        self._ends = [*self._firsts[1:], len(self._store)]
        self._answers: dict[bytes, set[bytes]] = {}
        for query, text in zip(self._queries, self._texts, strict=True):
            self._answers.setdefault(query, set()).add(text)
        self._order = EveryEpoch(len(self._firsts), seed)
        if len(self._firsts) < batch_size:
            raise InputError(
                f"a batch has {batch_size} pairs, and there are {len(self._firsts)}",
                where="batch_size",
                hint=f"Give at most {len(self._firsts)}",
            )

    @property
    def fingerprint(self) -> str:
        return f"{self._store.fingerprint} {self._n}"

    @property
    def about(self) -> Mapping[str, Any]:
        return {"trained_on": len(self._firsts), "tokens": len(self._store.tokens)}

    def batch(self, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, 1, number])
        pairs = self._order.draw(number, self._batch_size).tolist()
        negatives = [row for pair in pairs for row in self._negatives(pair, rng)]
        views = {
            "query": [self._row(self._firsts[pair], "query") for pair in pairs],
            "positive": [self._row(self._firsts[pair] + 1) for pair in pairs],
            "negative": [self._row(row) for row in negatives],
        }
        # A hard negative is the user's word: only positives can be answers of other queries of the batch.
        answers = np.zeros((len(pairs), len(pairs) + len(negatives)), bool)
        for row, pair in enumerate(pairs):
            own = self._answers[self._queries[pair]]
            answers[row, : len(pairs)] = [self._texts[other] in own for other in pairs]
        documents = [self._store.ids[self._firsts[pair]] for pair in pairs]
        return Batch(views, documents, {"answers": answers})

    def _parts(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Query, text and negatives of each pair, as texts of their own."""
        row = 0
        for document in documents:
            parts = [_query(document), document.text, *_negatives(document)]
            self._firsts.append(row)
            self._queries.append(_digest(parts[0]))
            self._texts.append(_digest(parts[1]))
            row += len(parts)
            yield from (Document(document.id, part) for part in parts)

    def _negatives(self, pair: int, rng: np.random.Generator) -> Sequence[int]:
        own = np.arange(self._firsts[pair] + 2, self._ends[pair])
        return [int(row) for row in rng.permutation(own)[: self._n]]

    def _row(self, row: int, side: str = "document") -> list[int]:
        return self._encoder.framed(self._store.row(row).tolist(), side)


def _query(document: Document) -> str:
    found = next((document.metadata[name] for name in QUERY_FIELDS if name in document.metadata), None)
    if not isinstance(found, str) or not found.strip() or not document.text.strip():
        raise InputError(
            "has no query, or no text that answers it",
            where=f"pair {document.id!r}",
            hint=f"Each record needs {QUERY_FIELDS[0]} (or {' or '.join(QUERY_FIELDS[1:])}) and {POSITIVE_FIELD}",
        )
    return found


def _negatives(document: Document) -> list[str]:
    found: Any = next((document.metadata[name] for name in NEGATIVE_FIELDS if document.metadata.get(name)), [])
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError("has negatives that are no texts", where=f"pair {document.id!r}")
    return texts


def _digest(text: str) -> bytes:
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
