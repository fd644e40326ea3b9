"""Whether the questions that training holds out, made of the texts themselves, say what real queries say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting
from sememe.claims.cut_articles import planted
from sememe.corpus import Document, read
from sememe.search.adaptive import truncate
from sememe.training.held_out import HeldOut, split
from sememe.training.search_task import SearchTask

if TYPE_CHECKING:
    from sememe.models import Encoder

MODES = ("dense", "hybrid", "lexical")
COLLECTIONS = ("cacm", "cisi", "cosqa", "cranfield", "scifact")
SIZES: Mapping[str, Sequence[int]] = {"minilm": (384, 128, 32), "wordllama": (256, 64, 16)}
"""Encoder -> how many of its first numbers make an encoder of their own; the first size is all."""
SCRATCH = "scratch"
HELD_OUT = {"tiny": 40, "small": 500, "full": 500}
METRIC = "ndcg@10"
APART = 3.0
"""Points between two systems that real queries tell apart."""


@dataclass(frozen=True)
class _Collection:
    """Documents, real queries, and what systems find with these."""

    documents: Sequence[Document]
    task: SearchTask
    real: Mapping[str, float]


@dataclass(frozen=True)
class _Prepared:
    setting: Setting
    encoders: Mapping[str, Encoder]
    sizes: Mapping[str, Sequence[int]]
    collections: Mapping[str, _Collection]


@contextmanager
def prepare(setting: Setting) -> Iterator[_Prepared]:
    """Read the collections, and search them with their real queries, which no seed changes."""
    from sememe.models import Encoder

    if setting.scale == "tiny":
        documents, task = _made()
        encoders, tasks = {SCRATCH: _scratch(documents)}, {"made": (documents, task)}
        sizes: Mapping[str, Sequence[int]] = {SCRATCH: (32, 8)}
    else:
        encoders, sizes = {name: Encoder.load(name) for name in SIZES}, SIZES
        folders = {name: setting.data(f"retrieval-{name}") for name in COLLECTIONS}
        tasks = {name: (list(read(folder)), SearchTask.read(folder)) for name, folder in folders.items()}
    collections = {
        name: _Collection(documents, task, _means(task, setting, encoders, sizes))
        for name, (documents, task) in tasks.items()
    }
    yield _Prepared(setting, encoders, sizes, collections)


def measure(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Hold questions out of each collection, and compare what they say of systems with what real queries say."""
    figures: dict[str, float] = {}
    advised: dict[str, list[float]] = {name: [] for name in ("advised", "best", *(f"always {mode}" for mode in MODES))}
    for name, collection in prepared.collections.items():
        held_out = split(collection.documents, HELD_OUT[prepared.setting.scale], seed).held_out
        assert held_out is not None, f"{name} has too few documents"
        said = _means(held_out.task, prepared.setting, prepared.encoders, prepared.sizes, held_out)
        real = collection.real
        for system in real:
            figures |= {f"{name}: {system}: held out": said[system], f"{name}: {system}: real": real[system]}
        figures |= {f"agreement: {name}: {of}": value for of, value in _agreement(said, real).items()}
        for encoder, sizes in prepared.sizes.items():
            for size in sizes:
                by_mode = _by_mode(encoder, size)
                best = max(real[system] for system in by_mode.values())
                chosen = by_mode[max(MODES, key=lambda mode: said[by_mode[mode]])]
                figures[f"lost by advice: {name}: {encoder} {size}"] = best - real[chosen]
                advised["advised"].append(real[chosen])
                advised["best"].append(best)
                for mode, system in by_mode.items():
                    advised[f"always {mode}"].append(real[system])
    return figures | {f"mean of real queries: {name}": float(np.mean(values)) for name, values in advised.items()}


def _by_mode(encoder: str, size: int) -> dict[str, str]:
    """Mode -> system."""
    return {"dense": f"{encoder} {size}", "hybrid": f"{encoder} {size}, hybrid", "lexical": "bm25"}


def _means(
    task: SearchTask,
    setting: Setting,
    encoders: Mapping[str, Encoder],
    sizes: Mapping[str, Sequence[int]],
    held_out: HeldOut | None = None,
) -> dict[str, float]:
    """System -> nDCG@10 in percent; of held-out questions over the half that the trainer reports."""
    from sememe.claims.vectors import encode_once

    words = task.by_words()
    runs = {"bm25": words}
    for name, encoder in encoders.items():
        queries = encode_once(setting, encoder, list(task.queries.values()), as_queries=True)
        texts = encode_once(setting, encoder, list(task.texts.values()))
        for size in sizes[name]:
            by_mode = _by_mode(name, size)
            runs[by_mode["dense"]] = task.by_vectors(truncate(queries, size), truncate(texts, size))
            runs[by_mode["hybrid"]] = task.fused(runs[by_mode["dense"]], words)
    found = {system: task.metrics(run) for system, run in runs.items()}
    if held_out is not None:
        found = {system: held_out.reporting(by_query) for system, by_query in found.items()}
    return {system: 100 * float(np.mean(list(each[METRIC].values()))) for system, each in found.items()}


def _agreement(said: Mapping[str, float], real: Mapping[str, float]) -> dict[str, float]:
    """Kendall's tau-b of the orders of all systems and of encoders alone, and pairs of these told apart rightly."""
    from scipy.stats import kendalltau

    encoders = [system for system in real if system != "bm25" and not system.endswith("hybrid")]
    found = {}
    for of, systems in {"all systems": list(real), "encoders": encoders}.items():
        tau = kendalltau([said[system] for system in systems], [real[system] for system in systems]).statistic
        found[f"tau of {of}"] = float(tau)
    apart = [(a, b) for a, b in combinations(encoders, 2) if abs(real[a] - real[b]) >= APART]
    right = [(said[a] > said[b]) == (real[a] > real[b]) for a, b in apart]
    return {**found, "pairs of encoders in the right order": float(np.mean(right)) if right else 1.0}


def _made() -> tuple[list[Document], SearchTask]:
    """Articles with a few of their words as title, asked for by another sentence about the same."""
    articles = planted(200, 40).train
    documents = [
        Document(f"d{number}", article.rest, title=" ".join(article.rest.split()[30:36]))
        for number, article in enumerate(articles)
    ]
    asked = {f"q{number}": articles[number].first for number in range(40)}
    qrels = {query: {f"d{query[1:]}": 1} for query in asked}
    return documents, SearchTask(asked, {each.id: each.content for each in documents}, qrels)


def _scratch(documents: Sequence[Document]) -> Encoder:
    from sememe.models.scratch import ScratchConfig, encoder_from_scratch

    config = ScratchConfig(layers=0, hidden=32, vocabulary=1000, seed=0)
    return encoder_from_scratch([each.content for each in documents], config)


def _is_whole(name: str) -> bool:
    return any(name.endswith(f": {encoder} {sizes[0]}") for encoder, sizes in SIZES.items())


def _advice_is_good(figures: Figures) -> bool:
    lost = [max(values) for name, values in figures.items() if name.startswith("lost by advice") and _is_whole(name)]
    return bool(lost) and max(lost) <= 1.0


def _advice_beats_fixed(figures: Figures) -> bool:
    means = {name: np.array(figures[f"mean of real queries: {name}"]) for name in ("advised", *_FIXED)}
    return all(bool((means["advised"] > means[fixed]).all()) for fixed in _FIXED)


def _least_agreement(figures: Figures, of: str) -> float:
    return min(min(values) for name, values in figures.items() if name.startswith("agreement") and name.endswith(of))


_FIXED = tuple(f"always {mode}" for mode in MODES)

CLAIM = Claim(
    id="held_out_task",
    title="Questions that are made of a corpus's own texts say how to search it with an encoder, and which encoder is "
    "better, as real queries do",
    protocol="What `sememe train encoder` holds out: up to 500 documents, a fifth at most, each asked for by its title "
    "or its first sentence, searched among themselves; of these the half that it reports. Real queries search all "
    "documents. Systems: BM25; MiniLM with its first 384, 128 and 32 numbers and WordLlama's word vectors with 256, 64 "
    "and 16, each alone and fused with BM25 by rank (hybrid). The mode that is advised for an encoder is that of the "
    "highest nDCG@10 on held-out questions. Before the thresholds were set, the advice for MiniLM's whole vectors with "
    "seed 0 was seen (the best mode on all five collections); nothing of other encoders, sizes and seeds, and no "
    "agreement. Tiny: made articles and random word vectors, which show that it runs",
    baselines=(
        "`always dense`, `always hybrid`, `always lexical`: no advice",
        "`best`: the mode that real queries find best, which nobody knows without them",
    ),
    metric="nDCG@10 in percent, means over queries; lost by advice: points below the best mode on real queries; tau: "
    f"Kendall's tau-b of two orders; pairs: of encoders that real queries tell apart by {APART:.0f} points, the share "
    "in the same order on held-out questions",
    threshold=(
        Condition(
            "the mode that is advised for whole MiniLM and WordLlama vectors is at most 1 point below the best one on "
            "each collection, in every seed",
            _advice_is_good,
            ("small", "full"),
        ),
        Condition(
            "over collections, encoders and sizes, advice is better on real queries than any fixed mode, in every seed",
            _advice_beats_fixed,
            ("small", "full"),
        ),
        Condition(
            "all pairs of encoders that real queries tell apart are in the same order on held-out questions, on each "
            "collection, in every seed",
            lambda figures: _least_agreement(figures, "right order") == 1.0,
        ),
        Condition(
            "Kendall's tau of the orders of all systems is .5 or more on each collection, in every seed",
            lambda figures: _least_agreement(figures, "tau of all systems") >= 0.5,
        ),
    ),
    seeds={"tiny": (0,), "small": (0, 1, 2), "full": (0, 1, 2, 3, 4)},
    needs={scale: tuple(f"retrieval-{name}" for name in COLLECTIONS) for scale in ("small", "full")},
    extras={"torch": "models"},
    prepare=prepare,
    measure=measure,
)
