"""Contriever: what training on crops of raw text does to an untrained encoder, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting
from sememe.claims.cut_articles import Articles, cut, planted
from sememe.claims.fitting import fit
from sememe.claims.foldoc import articles
from sememe.corpus import Document, read
from sememe.training.config import TrainingConfig
from sememe.training.search_task import METRICS, SearchTask

if TYPE_CHECKING:
    from sememe.models.encoder import Encoder
    from sememe.models.trainable import TrainableEncoder
    from sememe.training.objective import Objective

COLLECTIONS = {"small": ("cranfield", "cisi", "cacm"), "full": ("cranfield", "cisi", "cacm", "scifact", "cosqa")}
TASKS = ("ASYM", "SYM")
NO_MOMENTUM, UNMASKED, MASKED = "crop, queue, no momentum", "crop, queue, not masked", "crop, queue"
DELETE, SHORT, ICT, IN_BATCH = "crop and delete, queue", "crop, short queue", "ict, queue", "crop, in batch"
TRANSFORMER = "transformer: "
TRAINED = {
    "": (0, (IN_BATCH, UNMASKED, MASKED, DELETE, SHORT, NO_MOMENTUM, ICT)),
    TRANSFORMER: (1, (MASKED, NO_MOMENTUM)),
}
"""What is trained on articles: how many layers the encoder has, and which variants of the objective."""


@dataclass(frozen=True)
class _Size:
    """How much is done at a scale."""

    test: int
    hidden: int
    steps: int
    batch_size: int
    queue: int
    short_queue: int
    article_steps: int
    window: int
    layers: int = 2
    collection_steps: int = 0
    collection_window: int = 256
    minilm_steps: int = 0


SIZES = {
    "tiny": _Size(
        test=300, hidden=64, steps=400, batch_size=32, queue=1024, short_queue=128, article_steps=300, window=64
    ),
    "small": _Size(
        test=1500,
        hidden=128,
        steps=700,
        batch_size=64,
        queue=4096,
        short_queue=256,
        article_steps=500,
        window=128,
        collection_steps=200,
        collection_window=96,
        minilm_steps=20,
    ),
    "full": _Size(
        test=1500,
        hidden=128,
        steps=700,
        batch_size=64,
        queue=4096,
        short_queue=256,
        layers=4,
        article_steps=2000,
        window=256,
        collection_steps=5000,
        minilm_steps=1000,
    ),
}


@dataclass(frozen=True)
class _Prepared:
    articles: Articles | None
    collections: Mapping[str, tuple[list[Document], SearchTask]]
    figures: Mapping[str, float]
    size: _Size


@contextmanager
def prepare(setting: Setting) -> Iterator[_Prepared]:
    """Read what is read; what does not depend on the seed is measured here, MiniLM's adaptation with one seed."""
    size = SIZES[setting.scale]
    if setting.scale == "tiny":
        yield _Prepared(None, {}, {}, size)
        return
    cut_up = cut(articles(setting.shared), size.test)
    collections: dict[str, tuple[list[Document], SearchTask]] = {}
    figures: dict[str, float] = {}
    for name in COLLECTIONS[setting.scale]:
        folder = setting.data(f"retrieval-{name}")
        collections[name] = (list(read(folder)), SearchTask.read(folder))
        figures |= _minilm(name, *collections[name], size)
    yield _Prepared(cut_up, collections, figures, size)


def measure(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Train every variant and measure it on texts that it never saw, and on the collections."""
    made = prepared.articles or planted(600, prepared.size.test, seed)
    figures = _articles(made, prepared.size, seed)
    for name, (documents, task) in prepared.collections.items():
        figures |= _collection(name, documents, task, prepared.size, seed)
    return {**figures, **prepared.figures}


def variants(size: _Size) -> dict[str, dict[str, Any]]:
    """The options of each way to train."""
    queue: dict[str, Any] = {"queue": size.queue, "momentum": 0.99}
    plain = {"augment": "none"}
    return {
        IN_BATCH: plain,
        UNMASKED: {**plain, **queue, "mask_same_document": False},
        MASKED: {**plain, **queue},
        DELETE: {**queue, "augment": "delete"},
        SHORT: {**plain, **queue, "queue": size.short_queue},
        NO_MOMENTUM: {**plain, **queue, "momentum": 0.0},
        ICT: {**plain, **queue, "pairing": "ict"},
    }


def _articles(made: Articles, size: _Size, seed: int) -> dict[str, float]:
    """Encoders from scratch, trained on one half of the articles, asked about the other."""
    from sememe.objectives.contriever import Contriever

    documents, tasks = made.documents(), made.tasks()
    figures: dict[str, float] = {}

    def note(system: str, encoder: TrainableEncoder) -> None:
        for title, task in tasks.items():
            figures.update(_row(title, system, task.dense(encoder.encoder)))

    for title, task in tasks.items():
        figures |= _row(title, "bm25", task.bm25())
    options = variants(size)
    for prefix, (layers, names) in TRAINED.items():
        steps = size.article_steps if layers else size.steps
        more: dict[str, Any] = {"window": size.window} if layers else {}
        settings = TrainingConfig(
            steps=steps, batch_size=size.batch_size, learning_rate=2e-3, warm_up=50 / 700, seed=seed, held_out=0
        )
        note(f"{prefix}untrained", _scratch(documents, layers, size.hidden, seed))
        for name in names:
            encoder = _scratch(documents, layers, size.hidden, seed)
            fit(encoder, documents, Contriever(**options[name], **more), settings)
            note(f"{prefix}{name}", encoder)
    return figures


def _collection(name: str, documents: Sequence[Document], task: SearchTask, size: _Size, seed: int) -> dict[str, float]:
    """A transformer from scratch, trained on the collection's own documents, asked its real queries."""
    from sememe.objectives.contriever import Contriever
    from sememe.objectives.masked_language_model import MaskedLanguageModel

    settings = TrainingConfig(
        steps=size.collection_steps,
        batch_size=32,
        learning_rate=5e-4,
        seed=seed,
        held_out=0,
    )
    before, crops = MaskedLanguageModel(), Contriever()
    plans: dict[str, list[Objective]] = {
        "untrained": [],
        "crop and delete": [crops],
        "ict": [Contriever(pairing="ict", augment="none")],
        "masked-lm": [before],
        "masked-lm, then crop and delete": [before, crops],
    }
    figures: dict[str, float] = {}
    for row, objectives in plans.items():
        # No window is longer than what the encoder reads.
        encoder = _scratch(documents, size.layers, 128, seed, tokens=size.collection_window)
        for objective in objectives:
            fit(encoder, documents, objective, settings)
        figures |= _row(name, f"from scratch: {row}", task.dense(encoder.encoder))
    return figures


def _minilm(name: str, documents: Sequence[Document], task: SearchTask, size: _Size) -> dict[str, float]:
    """MiniLM as it is, and after training on the collection's documents; one seed."""
    from sememe.models.trainable import TrainableEncoder
    from sememe.objectives.contriever import Contriever

    encoder = TrainableEncoder.load("minilm")
    figures = _row(name, "bm25", task.bm25()) | _row(name, "minilm", task.dense(encoder.encoder))
    settings = TrainingConfig(steps=size.minilm_steps, batch_size=32, held_out=0)
    fit(encoder, documents, Contriever(window=size.collection_window), settings)
    return figures | _row(name, "minilm, crop and delete", task.dense(encoder.encoder))


def _scratch(
    documents: Sequence[Document], layers: int, hidden: int, seed: int, *, tokens: int = 256
) -> TrainableEncoder:
    from sememe.models.scratch import ScratchConfig, encoder_from_scratch
    from sememe.models.trainable import as_trainable

    size = ScratchConfig(
        layers=layers, hidden=hidden, vocabulary=14_000 if layers == 0 else 8000, positions=tokens, seed=seed
    )
    encoder: Encoder = encoder_from_scratch([document.content for document in documents], size)
    return as_trainable(encoder)


def _row(title: str, system: str, found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The means in percent."""
    return {f"{title}: {system}: {metric}": 100 * float(np.mean(list(found[metric].values()))) for metric in METRICS}


def _ndcg(figures: Figures, title: str, system: str) -> float:
    return float(np.mean(figures[f"{title}: {system}: ndcg@10"]))


def _twice_untrained(figures: Figures) -> bool:
    return all(_ndcg(figures, task, IN_BATCH) >= 2 * _ndcg(figures, task, "untrained") for task in TASKS)


def _needs_momentum(figures: Figures) -> bool:
    rows = TRANSFORMER + NO_MOMENTUM, TRANSFORMER + MASKED
    return all(_ndcg(figures, task, rows[0]) < 0.5 * _ndcg(figures, task, rows[1]) for task in TASKS)


def _masking_gains(figures: Figures) -> bool:
    return _ndcg(figures, "SYM", MASKED) >= _ndcg(figures, "SYM", UNMASKED) + 3


def _crops_search(figures: Figures) -> bool:
    """Whether crops find more of a collection's own judged documents than the other ways to begin, everywhere."""
    names = [name for name in COLLECTIONS["small"] if f"{name}: bm25: recall@100" in figures]

    def recall(name: str, row: str) -> float:
        return float(np.mean(figures[f"{name}: from scratch: {row}: recall@100"]))

    pairs = (
        ("crop and delete", "ict"),
        ("crop and delete", "untrained"),
        ("masked-lm, then crop and delete", "masked-lm"),
    )
    return all(recall(name, better) > recall(name, worse) for name in names for better, worse in pairs)


def _deleting_is_harmless(figures: Figures) -> bool:
    return all(_ndcg(figures, task, DELETE) >= _ndcg(figures, task, MASKED) - 2 for task in TASKS)


CLAIM = Claim(
    id="p24_contriever",
    title="Telling crops of one text from those of others makes an untrained encoder search, without a label",
    paper="BERT base, 131,072 negatives, Wikipedia and CCNet: recall@100 above BM25's on 11 of 15 BEIR sets (mean of "
    "14: 59.6 against 63.4; nDCG@10 37.1 against 43.0, BM25 ahead on most), Izacard et al. (TMLR 2022). Crops against "
    "the inverse cloze task, nDCG@10: Quora 75.4 against 27.6, NQ 17.7 against 19.4",
    protocol="Small: articles of FOLDOC with a first sentence of 6 words or more and 50 words after it, which is cut "
    "off; half of them train, up to 1,500 others are asked about (ASYM: the first sentence for the rest; SYM: "
    "the first half of the rest for the second). The encoder is a table of 128-dimensional word-piece "
    "vectors, random at first; 700 steps of 64 pairs, AdamW 2e-3, temperature 0.05, crops of 5 to 50% of "
    "windows of 256 tokens, queue of 4,096 keys, momentum 0.99. The same with a transformer of one layer (500 "
    "steps, windows of 128), with and without momentum: a table has nothing that turns all vectors at once, "
    "so it does not collapse without, as tries on made articles showed before the first run at small; its row "
    "is shown too. Then a transformer of two layers from scratch on the documents of Cranfield, CISI and CACM "
    "(200 steps of 32 pairs, texts and windows cut to 96 tokens, with and without 200 steps of masked "
    "language modelling before), asked the collections' own queries, and MiniLM before and after 20 such "
    "steps (one seed): only shown, no threshold rests on it. These collections had 500 steps of 256 tokens in "
    "a first plan, which took too long and was stopped before it gave a figure. Tiny: made articles whose "
    "parts are linked by synonyms. Full: longer, and more collections; the paper's own scale needs its "
    "corpora",
    baselines=(
        "`bm25`",
        "`untrained`: the same encoder with its random weights",
        "`ict, queue`: the inverse cloze task instead of crops",
        "`crop, in batch`: no queue",
        "`minilm`: trained on a billion pairs by others",
    ),
    metric="nDCG@10 and recall@100 in percent, means over questions",
    threshold=(
        Condition("crops in the batch at least double the untrained encoder's nDCG@10 on both tasks", _twice_untrained),
        Condition(
            "a transformer without momentum has less than half the nDCG@10 of one with it on both tasks",
            _needs_momentum,
        ),
        Condition("leaving out keys of the own document gains 3 points or more on SYM", _masking_gains),
        Condition("deleting tokens costs 2 points at most on both tasks", _deleting_is_harmless),
        Condition(
            "from scratch, crops have a higher recall@100 than the inverse cloze task and than no training, and after "
            "masked language modelling a higher one than it alone, on Cranfield, CISI and CACM (where they are read)",
            _crops_search,
        ),
    ),
    seeds={"tiny": (0,), "small": (0, 1, 2), "full": (0, 1, 2)},
    needs={scale: tuple(f"retrieval-{name}" for name in names) for scale, names in COLLECTIONS.items()},
    extras={"torch": "models"},
    prepare=prepare,
    measure=measure,
)
