"""Paper 09, Matryoshka Representation Learning: one embedding that can be cut to any of a few sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting
from sememe.claims.nested_digits import SIZES, Images, digits_figures, load_images
from sememe.claims.nested_text import FUNNEL, KEPT, SHORT, Pairs, planted_pairs, search_name, text_figures

if TYPE_CHECKING:
    from sememe.models import Encoder

MOST_TOKENS = 62  # of a text; with the two special tokens the 64 of the protocol


@dataclass(frozen=True)
class _Size:
    """How many pairs are trained on and tested with, and where they come from; None for planted ones."""

    source: str | None
    n_train: int
    n_test: int


SCALES = {
    "tiny": _Size(None, 400, 250),
    "small": _Size("stdlib", 1000, 600),
    "full": _Size("papers-arxiv", 20_000, 2000),
}


@dataclass(frozen=True)
class _Prepared:
    size: _Size
    pairs: Pairs
    images: Images


@contextmanager
def prepare(setting: Setting) -> Iterator[_Prepared]:
    """Encode the pairs, or take them from the cache, and load the digits."""
    size = SCALES[setting.scale]
    n = size.n_train + size.n_test
    pairs = planted_pairs(n, 0) if size.source is None else _encoded(setting, size.source, n)
    yield _Prepared(size, pairs, load_images())


def measure(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Split, train, and measure text and digits once."""
    size = prepared.size
    order = np.random.default_rng([seed, 7]).permutation(len(prepared.pairs))
    train, test = prepared.pairs[order[: size.n_train]], prepared.pairs[order[size.n_train :]]
    return {**text_figures(train, test, seed), **digits_figures(prepared.images, seed)}


def _encoded(setting: Setting, source: str, n: int) -> Pairs:
    from sememe.claims.vectors import encode_once
    from sememe.evaluation.docstring_pairs import docstring_pairs
    from sememe.models import Encoder

    encoder = Encoder.load("minilm")
    if source == "stdlib":
        pairs = docstring_pairs(n)
        texts = [pair.docstring for pair in pairs], [pair.body for pair in pairs]
    else:
        texts = _titles_and_abstracts(setting, source, n)
    queries, documents = ([_cut(encoder, text) for text in side] for side in texts)
    return Pairs(encode_once(setting, encoder, queries, as_queries=True), encode_once(setting, encoder, documents))


def _titles_and_abstracts(setting: Setting, name: str, n: int) -> tuple[list[str], list[str]]:
    from sememe.corpus import read
    from sememe.errors import InputError

    path = setting.data(name) / "papers.jsonl.gz"
    found = {document.title: document.text for document in read(path) if document.title and document.text}
    if len(found) < n:
        raise InputError(f"has {len(found)} papers with title and abstract, not {n}", where=str(path))
    return list(found)[:n], list(found.values())[:n]


def _cut(encoder: Encoder, text: str) -> str:
    spans = encoder.token_spans(text)
    return text if len(spans) <= MOST_TOKENS else text[: spans[MOST_TOKENS - 1][1]]


def _mean(figures: Figures, name: str) -> float:
    return float(np.mean(figures[name]))


def _ahead(figures: Figures, name: str, rival: str) -> float:
    return _mean(figures, name) - _mean(figures, rival)


def _grows(figures: Figures) -> bool:
    """Whether nested search gets no worse, to half a point, with a longer shortlist or more dimensions."""
    table = np.array([[_mean(figures, search_name(short, kept)) for kept in KEPT] for short in SHORT])
    return bool((np.diff(table, axis=0) >= -0.5).all() and (np.diff(table, axis=1) >= -0.5).all())


def _text_conditions() -> Sequence[Condition]:
    return (
        Condition(
            "text: at 16 dimensions the Matryoshka adapter is at least 10 points above the adapter trained at 384 only",
            lambda figures: _ahead(figures, "text MRL@16", "text full-only@16") >= 10,
        ),
        Condition(
            "text: at 16 dimensions it is at least 3 points above the SVD",
            lambda figures: _ahead(figures, "text MRL@16", "text SVD@16") >= 3,
        ),
        Condition(
            "text: at 32 dimensions it is at least 7 points above the adapter trained at 384 only",
            lambda figures: _ahead(figures, "text MRL@32", "text full-only@32") >= 7,
        ),
        Condition(
            "text: at 384 dimensions it is at most 1 point below the adapter trained at 384 only",
            lambda figures: _ahead(figures, "text MRL@384", "text full-only@384") >= -1,
        ),
        Condition(
            "search: 100 rows by 64 dimensions, ordered by 384, are within 0.7 points of exhaustive search",
            lambda figures: abs(_ahead(figures, search_name(64, 100), "text MRL@384")) <= 0.7,
        ),
        Condition("search: quality does not fall, to 0.5 points, as shortlist or dimensions grow", _grows),
    )


def _digit_conditions() -> Sequence[Condition]:
    return (
        Condition(
            "digits: at 4 dimensions MRL is at least 8 points above the prefix of the 64-dimensional model",
            lambda figures: _ahead(figures, "digits MRL@4", "digits prefix of FF-64@4") >= 8,
        ),
        Condition(
            "digits: at 4 dimensions MRL is at least 3 points above the SVD of that model",
            lambda figures: _ahead(figures, "digits MRL@4", "digits SVD of FF-64@4") >= 3,
        ),
        Condition(
            "digits: MRL at 8 dimensions is at least 95.5", lambda figures: _mean(figures, "digits MRL@8") >= 95.5
        ),
        Condition(
            "digits: at 64 dimensions MRL is at most 2 points below the model trained for it",
            lambda figures: _ahead(figures, "digits MRL@64", "digits FF@64") >= -2,
        ),
        Condition(
            "digits: at 2 dimensions MRL is above MRL-E",
            lambda figures: _ahead(figures, "digits MRL@2", "digits MRL-E@2") > 0,
        ),
        Condition(
            "cascade: at most 8 dimensions on average",
            lambda figures: _mean(figures, "cascade: expected dimension") <= 8,
        ),
        Condition(
            "cascade: at most 1.5 points below always using 64 dimensions",
            lambda figures: _ahead(figures, "cascade: accuracy", "cascade: accuracy at 64") >= -1.5,
        ),
    )


CLAIM = Claim(
    id="p09_matryoshka",
    title="Embeddings trained to be cut keep more at small sizes than an SVD or a model trained at full size, and lose "
    "nothing at full size; searching short prefixes first finds what a full scan finds",
    paper="ResNet50 on ImageNet-1K, 1-NN accuracy: at 8 dimensions MRL 62.19, one model for each size 58.93, SVD "
    "19.14; at 64: 70.17, 69.41, 67.04; at 2048: 70.97, 71.19 (MRL does not win at full width). Adaptive retrieval, "
    "read off a figure: 16 dimensions, 200 rows re-ordered by 2048: mAP@10 65.27 against 65.20 with 128 times fewer "
    "FLOPs. Cascade: about 37 dimensions match a model of 512",
    protocol="Text: a linear map of frozen MiniLM vectors (384 x 384, from the identity, Adam at 1e-3, 25 epochs, "
    "batches of 128, in-batch InfoNCE at scale 20 summed over 16, 32, ..., 384 dimensions), trained on 1,000 pairs and "
    "tested on 600 others (small: first paragraph of a docstring -> body of its function, at most 600 characters, of "
    "Python's standard library; full: title -> abstract of papers-arxiv, 20,000 and 2,000; both cut to 64 tokens; "
    f"tiny: planted pairs, 400 and 250). Search: {', '.join(map(str, SHORT))} dimensions keep "
    f"{', '.join(map(str, KEPT))} rows, which 384 order; and the funnel {FUNNEL} (DIMENSIONS:KEPT). Digits: "
    "scikit-learn's, 60/40; an MLP 64-256-64, AdamW at 2e-3, decay 1e-4, 30 epochs, batches of 64, heads of "
    f"{', '.join(map(str, SIZES))} dimensions. Cascade: thresholds fitted on one half of the test images, reported on "
    "the other. Prefixes have unit length wherever they are compared. Another split for every seed; thresholds are on "
    "means over seeds",
    baselines=(
        "`raw prefix`: the first dimensions of MiniLM",
        "`SVD` (strong and simple, no training): right singular vectors of the training vectors, not centred; for "
        "digits, of the representation of the model trained at 64 dimensions",
        "`full-only`: the same adapter trained at 384 dimensions only; for digits `prefix of FF-64`",
        "`separate`, `FF`: one model for each size, trained for that size only: what MRL replaces",
        "`MRL-E`: the paper's variant with tied heads",
    ),
    metric="Text and search: nDCG@10 in percent of the one document that belongs to a query among the test documents. "
    "Agreement: share of the top 10 of exhaustive search at 384 dimensions. Multiplications: what the paper counts as "
    "FLOPs. Digits: percent of test images whose nearest training image is of their class. Cascade: accuracy in "
    "percent and the mean size that answered, which does not count the work of the smaller sizes asked before",
    threshold=(*_text_conditions(), *_digit_conditions()),
    seeds={"tiny": (0, 1, 2), "small": (0, 1, 2), "full": (0, 1, 2)},
    needs={"full": ("papers-arxiv",)},
    extras={"torch": "models", "sklearn": "dev"},
    prepare=prepare,
    measure=measure,
)
