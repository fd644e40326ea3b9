"""Learning paragraph vectors: ours and gensim's Doc2Vec (PV-DBOW), on the same words, with the same epochs.

gensim runs with a Python of its own, given in `SEMEME_GENSIM_PYTHON`; without it only our rates are measured. Both get
the same lists of words, already cut and filtered, and one thread; what is timed is learning alone. The losses are not
the same: gensim draws 5 alternatives for each word (its default, negative sampling), ours draws 128 for 1,024 words
together (sampled softmax with correction). gensim has no bits; its real numbers stand beside ours of both kinds.

This file is also the program that the other Python runs, so it imports nothing but the standard library at the top.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS, EPOCHS, MIN_COUNT = 3, 4, 3
WIDTHS = (32, 128)
PYTHON = "SEMEME_GENSIM_PYTHON"
SHARED = Path(os.environ.get("SEMEME_SHARED", Path(__file__).parents[2] / "shared"))
NEWS = SHARED / "data" / "class-ag-news" / "data.jsonl.gz"


def run(epochs: int = EPOCHS, runs: int = RUNS) -> dict[str, Any]:
    """Words a second, in turn.

    Args:
        epochs: times through the texts.
        runs: how often each is measured.

    """
    from benchmarks.harness import comparison

    texts, origin = _texts()
    peer = os.environ.get(PYTHON)
    lines, found = [], {"texts": origin, "epochs": epochs}
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words.json"
        words.write_text(json.dumps(texts))
        for width in WIDTHS:
            ours: dict[str, list[float]] = {"dbow": [], "real": []}
            theirs, version = [], ""
            for _ in range(runs):
                for variant, rates in ours.items():
                    rates.append(_call(sys.executable, variant, words, width, epochs)["rate"])
                if peer:
                    told = _call(peer, "gensim", words, width, epochs)
                    theirs.append(told["rate"])
                    version = told["version"]
            for variant, rates in ours.items():
                job = f"learn {width} {'bits' if variant == 'dbow' else 'real numbers'} a document, one thread"
                if peer:
                    name = f"gensim {version} Doc2Vec, {width} real numbers"
                    lines.append(comparison(job, rates, name, theirs, unit="words/s", higher_is_better=True))
                else:
                    found[job] = f"{sorted(rates)[len(rates) // 2]:,.0f} words/s; gensim not run: {PYTHON} is not set"
    return {**found, "comparisons": lines}


def _texts() -> tuple[list[list[str]], str]:
    """The kept words of every text."""
    from benchmarks.made import zipf_texts
    from sememe.corpus import read
    from sememe.objectives.vocabulary import Vocabulary

    is_there = NEWS.is_file()
    texts = [document.content for document in read(NEWS)] if is_there else zipf_texts(5600)
    vocabulary, words = Vocabulary.learn(texts, min_count=MIN_COUNT)
    cut: list[list[str]] = [[] for _ in texts]
    for text, word in zip(words.texts.tolist(), words.ids.tolist(), strict=True):
        cut[text].append(vocabulary.words[word])
    return cut, f"{len(texts):,} {'of AG News' if is_there else 'made'}, {len(words.ids):,} words"


def _call(python: str, kind: str, words: Path, width: int, epochs: int) -> dict[str, Any]:
    command = [python, str(Path(__file__).resolve()), kind, str(words), str(width), str(epochs)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Learn once and print words a second."""
    kind, path, width, epochs = sys.argv[1:]
    texts = json.loads(Path(path).read_text())
    learn = _learn_gensim if kind == "gensim" else _learn_ours
    seconds, version = learn(texts, kind, int(width), int(epochs))
    rate = int(epochs) * sum(map(len, texts)) / seconds
    print(json.dumps({"rate": rate, "version": version}))


def _learn_ours(texts: list[list[str]], kind: str, width: int, epochs: int) -> tuple[float, str]:
    import torch

    from sememe import __version__
    from sememe.objectives.paragraph_config import ParagraphConfig
    from sememe.objectives.paragraph_training import train
    from sememe.objectives.vocabulary import Vocabulary

    torch.set_num_threads(1)
    vocabulary, words = Vocabulary.learn((" ".join(text) for text in texts), min_count=1)
    config = ParagraphConfig(variant=kind, n_bits=width, real_dim=width, epochs=epochs)
    started = time.perf_counter()
    train(words, words, vocabulary.counts, config)
    return time.perf_counter() - started, __version__


def _learn_gensim(texts: list[list[str]], kind: str, width: int, epochs: int) -> tuple[float, str]:
    import gensim
    from gensim.models.doc2vec import Doc2Vec, TaggedDocument

    del kind
    documents = [TaggedDocument(text, [number]) for number, text in enumerate(texts)]
    model = Doc2Vec(dm=0, vector_size=width, min_count=1, sample=0, workers=1, epochs=epochs, seed=0)
    model.build_vocab(documents)
    started = time.perf_counter()
    model.train(documents, total_examples=len(documents), epochs=epochs)
    return time.perf_counter() - started, gensim.__version__


if __name__ == "__main__":
    main()
