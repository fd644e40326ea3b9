"""Contriever: a retriever from raw text, by telling two crops of one text from those of others.

Izacard, Caron, Hosseini, Riedel, Bojanowski, Joulin and Grave, "Unsupervised Dense Information Retrieval with
Contrastive Learning" (TMLR 2022, arXiv 2112.09118).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.extras import require
from sememe.models.trainable import TrainableEncoder
from sememe.objectives.crop_data import CropData, Order, Pair, windows_of
from sememe.objectives.cropping import AUGMENTATIONS, SPANS, augment, crop_pair, ict_pair, source_probabilities
from sememe.objectives.info_nce import Scores, accuracy, comparable, dot_scores, info_nce, spread
from sememe.objectives.momentum_contrast import MomentumQueue, momentum_scores
from sememe.training.drawing import BySource, EveryEpoch
from sememe.training.objective import Batch, DataView, Kind, Loss, Objective, Representation, Seen
from sememe.training.token_store import TokenStore

PAIRINGS = ("crop", "ict")
WINDOW = 256


@dataclass(frozen=True)
class ContrieverConfig:
    """Options of the objective; the defaults are the paper's but for the queue, which it has and we have not.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    pairing: str = field(
        default="crop",
        metadata={"help": "two independent crops of a text, or a span and the text without it", "choices": PAIRINGS},
    )
    window: int | None = field(
        default=None,
        metadata={"help": "tokens of a text that views are cut from (default 256, or the model's limit)"},
    )
    rmin: float = field(default=0.05, metadata={"help": "least share of the window in a crop"})
    rmax: float = field(default=0.5, metadata={"help": "greatest share of the window in a crop"})
    augment: str = field(
        default="delete", metadata={"help": "what is done to tokens of a view", "choices": AUGMENTATIONS}
    )
    probability: float = field(default=0.1, metadata={"help": "of doing it to a token"})
    span: str = field(default="random", metadata={"help": "what ict cuts out", "choices": SPANS})
    keep: float = field(default=0.1, metadata={"help": "how often ict leaves the span in the text"})
    temperature: float = field(default=0.05, metadata={"help": "what scores are divided by"})
    queue: int = field(
        default=0, metadata={"help": "earlier keys as negatives, made by a momentum encoder; 0: those of the batch"}
    )
    momentum: float = field(default=0.9995, metadata={"help": "how slowly the momentum encoder follows"})
    key_eval: bool = field(default=False, metadata={"help": "make keys without dropout"})
    mask_same_document: bool = field(
        default=True, metadata={"help": "other parts of the query's own document are no negatives"}
    )
    respect_documents: bool = field(default=True, metadata={"help": "windows do not reach across documents"})
    source_field: str | None = field(
        default=None, metadata={"help": "field that names a document's source; sources are then drawn by their size"}
    )
    source_exponent: float = field(
        default=0.0, metadata={"help": "to the power of which: 0 draws sources alike, 1 documents alike"}
    )

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be one of {', '.join(known)}"
            for name, known in (("pairing", PAIRINGS), ("augment", AUGMENTATIONS), ("span", SPANS))
            if getattr(self, name) not in known
        ]
        problems += [
            f"{name} must be from 0 to 1"
            for name in ("probability", "keep", "momentum")
            if not 0 <= getattr(self, name) <= 1
        ]
        if not 0 < self.rmin <= self.rmax <= 1:
            problems.append("rmin and rmax must be above 0, at most 1, and in this order")
        if not 0 < self.temperature < inf:
            problems.append("temperature must be above 0")
        if self.queue < 0 or (self.window is not None and self.window < 2):
            problems.append("queue must be 0 or more, and window at least 2")
        if problems:
            raise InputError("; ".join(problems), where="ContrieverConfig")


class Contriever(Objective):
    """Two views of a text belong together; negatives are the other texts of the batch, or a queue of earlier ones.

    Args:
        config: the options.
        scores: how views are compared when there is no queue; by default by inner product.
        options: fields of `ContrieverConfig`, instead of a whole one.

    """

    name = "contriever"
    config: ContrieverConfig

    def __init__(self, config: ContrieverConfig | None = None, *, scores: Scores = dot_scores, **options: Any) -> None:
        self.config = config or ContrieverConfig(**options)
        self.queue: MomentumQueue | None = None
        self._scores, self._unit, self._window = scores, False, 0

    @property
    def views(self) -> Mapping[str, Kind]:
        return {"query": "pooled", "key": "pooled"}

    def prepare(self, encoder: TrainableEncoder, batch_size: int, seed: int) -> None:
        config = self.config
        self._unit = encoder.normalizes
        self._window = config.window or min(WINDOW, encoder.max_tokens)
        if self._window > encoder.max_tokens:
            raise InputError(
                f"a window of {self._window} tokens is more than the {encoder.max_tokens} that the model reads",
                where="window",
                hint=f"Give at most {encoder.max_tokens}",
            )
        if config.augment == "mask" and encoder.mask_id is None:
            raise InputError("the model's tokenizer has no mask token", where="augment", hint="Choose another one")
        if config.queue:
            self.queue = MomentumQueue(
                encoder, config.queue, config.momentum, batch_size, eval_mode=config.key_eval, seed=seed
            )

    def data(
        self, documents: Iterable[Document], encoder: TrainableEncoder, batch_size: int, seed: int, scratch: Path
    ) -> DataView:
        config, sources = self.config, _Sources(documents, self.config.source_field)
        store = TokenStore.build(sources, encoder, scratch / "tokens.bin")
        windows = windows_of(store, self._window, respect_documents=config.respect_documents)
        order: Order = EveryEpoch(len(windows.owners), seed)
        if config.source_field is not None:
            groups = sources.groups(store.ids, windows.owners)
            sizes = np.array([len(group) for group in groups])
            order = BySource(groups, source_probabilities(sizes, config.source_exponent), seed)
        pair = pair_maker(config, encoder)
        return CropData(store, windows, pair, order, encoder=encoder, batch_size=batch_size, seed=seed)

    def loss(self, representations: Mapping[str, Representation], batch: Batch) -> Loss:
        q, k, owners = representations["query"], representations["key"], batch.arrays["owners"]
        if self.queue is None:
            scores, own, same = (
                self._scores(comparable(q, self._unit), comparable(k, self._unit)),
                None,
                _same(owners, owners, q.device),
            )
        else:
            keys = self.queue.keys[:, : q.shape[1]]  # a nested loss asks with the first dimensions
            scores = momentum_scores(*(comparable(vectors, self._unit) for vectors in (q, k, keys)))
            own = scores.new_zeros(len(scores), dtype=int)
            same = _with_own(self.queue.owned_by(owners))
        masked = same if self.config.mask_same_document else None
        figures = {"accuracy": accuracy(scores, own, masked), "spread": spread(q)}
        return Loss(info_nce(scores, self.config.temperature, own, masked), figures)

    def encoders(self) -> Mapping[str, TrainableEncoder]:
        return {} if self.queue is None else {"key": self.queue.encoder}

    def before_step(self, step: int) -> None:
        if self.queue is not None:
            self.queue.follow()

    def after_step(self, step: int, seen: Sequence[Seen]) -> None:
        if self.queue is not None:
            for each in seen:
                self.queue.put(each.representations["key"], each.batch.arrays["owners"])

    def arrays(self) -> Mapping[str, Any]:
        return {} if self.queue is None else self.queue.arrays()


def pair_maker(config: ContrieverConfig, encoder: TrainableEncoder) -> Pair:
    """How a window becomes two views."""
    ordinary_ids, mask_id, sentence_ends = encoder.ordinary_ids, encoder.mask_id, encoder.sentence_end_ids
    options: Any = {"rmin": config.rmin, "rmax": config.rmax}
    noise: Any = {"kind": config.augment, "p": config.probability, "ordinary_ids": ordinary_ids, "mask_id": mask_id}
    if config.pairing == "ict":
        options |= {"keep": config.keep, "span": config.span, "sentence_ends": sentence_ends}
    draw: Any = crop_pair if config.pairing == "crop" else ict_pair

    def make(tokens: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        a, b = draw(tokens, rng, **options)
        return augment(a, rng, **noise), augment(b, rng, **noise)

    return make


class _Sources:
    """Documents that are noted by source while they pass."""

    def __init__(self, documents: Iterable[Document], field_name: str | None) -> None:
        self._documents, self._field = documents, field_name
        self._of: dict[str, str] = {}

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            if self._field is not None:
                self._of[document.id] = str(document.metadata.get(self._field, ""))
            yield document

    def groups(self, ids: Sequence[str], owners: np.ndarray) -> list[np.ndarray]:
        """The windows of each source, for the documents that own them."""
        names = np.array([self._of[ids[owner]] for owner in owners])
        return [np.flatnonzero(names == name) for name in np.unique(names)]


def _same(rows: np.ndarray, columns: np.ndarray, device: Any) -> Any:
    """Which pairs are of one document; boolean tensor (n, m)."""
    return require("torch", "models").from_numpy(rows[:, None] == columns).to(device)


def _with_own(same: Any) -> Any:
    """The same with a column for the own key in front, which is never masked."""
    return require("torch.nn.functional", "models").pad(same, (1, 0))
