"""Binary paragraph vectors: bits that are learned in training beat bits that are made afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting
from sememe.claims.latent_semantics import LatentSemantics
from sememe.claims.topic_retrieval import Ranked, Topics, by_cosine, by_hamming
from sememe.claims.topic_texts import TopicTexts, news, newsgroups, planted_news

if TYPE_CHECKING:
    from sememe.objectives.paragraph_vectors import BinaryParagraphVector, Inferred
    from sememe.search.coarse.stage import Coarse

SHORT, LONG, FILTER, REAL = 32, 128, 28, 128
RADII = (1, 2, 3, 5)
NEAREST = 200
SPLIT_SEED, VALIDATION_SEED = 20, 100
TIE_ORDERS = 5
MODELS: Mapping[str, Mapping[str, Any]] = {
    f"binary {SHORT}": {"variant": "dbow", "n_bits": SHORT},
    f"binary {LONG}": {"variant": "dbow", "n_bits": LONG},
    f"real {SHORT}": {"variant": "real", "real_dim": SHORT},
    f"real {LONG}": {"variant": "real", "real_dim": LONG},
    f"real-binary {FILTER}": {"variant": "real-binary", "n_bits": FILTER, "real_dim": REAL},
}
TRANSFER = f"binary {SHORT}, learned elsewhere"
TRANSFER_LSH = f"LSI + LSH {SHORT}, learned elsewhere"


@dataclass(frozen=True)
class _Size:
    """How large a run is: the epochs to choose from, queries that choose them, and whether MiniLM is measured."""

    epochs: Sequence[int]
    n_validation: int
    with_encoder: bool


SIZES = {
    "tiny": _Size((10,), 60, False),
    "small": _Size((6, 12, 25), 600, True),
    "full": _Size((6, 12, 25), 600, True),
}


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What all seeds share: texts, the epochs that validation chose, and figures that no seed changes."""

    texts: TopicTexts
    topics: Topics
    semantics: LatentSemantics
    foreign: LatentSemantics
    epochs: Mapping[str, int]
    fixed: Mapping[str, float] = field(default_factory=dict)


@contextmanager
def prepare(setting: Setting) -> Iterator[_Prepared]:
    """Read and split the texts, choose epochs on a split of the indexed ones, measure what has no seed."""
    size, texts = SIZES[setting.scale], _texts(setting)
    topics = Topics(texts.document_topics, texts.query_topics)
    semantics = LatentSemantics(texts.documents, LONG)
    foreign = LatentSemantics(texts.foreign, SHORT)
    epochs = _choose_epochs(texts.validation(size.n_validation, VALIDATION_SEED), size.epochs)
    fixed = {f"{name}: epochs": float(chosen) for name, chosen in epochs.items()}
    fixed |= _classical(texts, topics, semantics)
    if size.with_encoder:
        fixed |= _encoded(setting, texts, topics)
    yield _Prepared(texts, topics, semantics, foreign, epochs, fixed)


def measure(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Learn every model with this seed on the indexed texts, infer the queries, and judge all rankings."""
    figures = dict(prepared.fixed)
    texts, topics = prepared.texts, prepared.topics
    for name, options in MODELS.items():
        model = _fit(texts.documents, options, prepared.epochs[name], seed)
        figures |= _of_model(name, model, texts, topics, seed)
    figures |= _codes_of(prepared, seed)
    return figures | _transferred(prepared, seed)


def _texts(setting: Setting) -> TopicTexts:
    if setting.scale == "tiny":
        return planted_news(300, 80, 300, SPLIT_SEED)
    if setting.scale == "small":
        return news(setting, 1000, 8000, SPLIT_SEED)
    return newsgroups(setting, 40_000, SPLIT_SEED)


def _fit(texts: Sequence[str], options: Mapping[str, Any], epochs: int, seed: int) -> BinaryParagraphVector:
    from sememe.objectives.paragraph_vectors import BinaryParagraphVector

    return BinaryParagraphVector.fit(texts, epochs=epochs, random_state=seed, **options)


def _choose_epochs(texts: TopicTexts, allowed: Sequence[int]) -> dict[str, int]:
    """For each model the epochs with the highest MAP on texts that no reported figure is measured on."""
    topics = Topics(texts.document_topics, texts.query_topics)
    chosen = {}
    for name, options in MODELS.items():
        found = {}
        for epochs in allowed:
            model = _fit(texts.documents, options, epochs, VALIDATION_SEED)
            asked = model.infer(texts.queries, VALIDATION_SEED, unknown="zero")
            found[epochs] = topics.measure(_ranked(model, asked))["MAP"]
        chosen[name] = max(found, key=lambda epochs: found[epochs])
    return chosen


def _ranked(model: BinaryParagraphVector, asked: Inferred) -> Iterator[Ranked]:
    """By code where there is one, otherwise by vector."""
    if asked.codes is not None:
        return by_hamming(asked.codes, model.codes)
    assert asked.vectors is not None
    return by_cosine(asked.vectors, model.vectors)


def _of_model(
    name: str, model: BinaryParagraphVector, texts: TopicTexts, topics: Topics, seed: int
) -> dict[str, float]:
    from sememe.objectives.paragraph_vectors import code_of

    asked = model.infer(texts.queries, seed, unknown="zero")
    figures = _titled(name, topics.measure(_ranked(model, asked)))
    if asked.codes is None:
        assert asked.vectors is not None
        signs = [code_of(vectors) for vectors in (asked.vectors, model.vectors)]
        return figures | _titled(f"sign of {name}", topics.measure(by_hamming(*signs)))
    figures |= _bits(name, model)
    if name == f"binary {SHORT}":
        orders = range(TIE_ORDERS)
        ties = [topics.shuffled(order).measure(by_hamming(asked.codes, model.codes))["MAP"] for order in orders]
        figures[f"{name}: MAP, mean of {TIE_ORDERS} random orders of ties"] = float(np.mean(ties))
        figures[f"{name}: MAP, greatest minus least of these"] = max(ties) - min(ties)
    if asked.vectors is not None:
        cosine = list(by_cosine(asked.vectors, model.vectors))
        figures |= _titled(f"{name}, its vectors", topics.measure(cosine))
        figures |= _filtered(name, asked.codes, model.codes, cosine, topics)
    return figures


def _bits(name: str, model: BinaryParagraphVector) -> dict[str, float]:
    from sememe.search.coarse.hamming import bit_report

    report = bit_report(model.codes, model.config.n_bits)
    return {
        f"{name}: bits used (entropy)": report.bits_used,
        f"{name}: dead bits": float(report.dead),
        f"{name}: mean |correlation| of bits": report.correlation,
    }


def _filtered(
    name: str, asked: np.ndarray, codes: np.ndarray, cosine: Sequence[Ranked], topics: Topics
) -> dict[str, float]:
    """Rank by cosine what a Hamming ball holds, and what the nearest 200 codes are."""
    from sememe.search.coarse.hamming import code_neighbours

    figures = {}
    limits: dict[str, tuple[int | None, int | None]] = {f"radius {radius}": (None, radius) for radius in RADII}
    for title, (n, radius) in {**limits, f"nearest {NEAREST}": (NEAREST, None)}.items():
        rows = [code_neighbours(code, codes, n=n, radius=radius).rows for code in asked]
        ranked = [(found, scores[found]) for found, (_, scores) in zip(rows, cosine, strict=True)]
        figures[f"{name}, {title}, then cosine: NDCG@10"] = topics.measure(ranked)["NDCG@10"]
        figures[f"{name}, {title}: documents"] = float(np.mean([len(found) for found in rows]))
    return figures


def _classical(texts: TopicTexts, topics: Topics, semantics: LatentSemantics) -> dict[str, float]:
    figures: dict[str, float] = {}
    for n in (SHORT, LONG):
        vectors = [semantics.vectors(part, n) for part in (texts.queries, texts.documents)]
        figures |= _titled(f"LSI real {n}", topics.measure(by_cosine(*vectors)))
    scores = (semantics.tf_idf(texts.queries) @ semantics.tf_idf(texts.documents).T).toarray()
    rows = np.arange(len(texts.documents))
    return figures | _titled("TF-IDF", topics.measure((rows, of_query) for of_query in scores))


def _codes_of(prepared: _Prepared, seed: int) -> dict[str, float]:
    """LSI vectors made binary afterwards."""
    from sememe.search.coarse.itq import IterativeQuantization, learn_itq
    from sememe.search.coarse.signs import RandomRotation, draw_directions

    figures: dict[str, float] = {}
    for n in (SHORT, LONG):
        asked, indexed = (
            prepared.semantics.vectors(part, n) for part in (prepared.texts.queries, prepared.texts.documents)
        )
        for name, coder in (
            ("LSI + LSH", RandomRotation(*draw_directions(indexed, n, seed))),
            ("LSI + ITQ", IterativeQuantization(*learn_itq(indexed, n, seed))),
        ):
            ranked = by_hamming(coder.encode(asked), coder.encode(indexed))
            figures |= _titled(f"{name} {n}", prepared.topics.measure(ranked))
    return figures


def _transferred(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Codes of our texts from models of other texts."""
    from sememe.search.coarse.signs import RandomRotation, draw_directions

    texts, topics, name = prepared.texts, prepared.topics, f"binary {SHORT}"
    model = _fit(texts.foreign, MODELS[name], prepared.epochs[name], seed)
    asked, indexed = (model.infer(part, seed, unknown="zero").codes for part in (texts.queries, texts.documents))
    assert asked is not None
    assert indexed is not None
    coder = RandomRotation(*draw_directions(prepared.foreign.vectors(texts.foreign, SHORT), SHORT, seed))
    hashed = [coder.encode(prepared.foreign.vectors(part, SHORT)) for part in (texts.queries, texts.documents)]
    figures = _titled(TRANSFER, topics.measure(by_hamming(asked, indexed)))
    return figures | _titled(TRANSFER_LSH, topics.measure(by_hamming(*hashed)))


def _encoded(setting: Setting, texts: TopicTexts, topics: Topics) -> dict[str, float]:
    """A pretrained transformer and its codes."""
    import tempfile
    from pathlib import Path

    from sememe import Encoder
    from sememe.bank import Bank
    from sememe.claims.vectors import encode_once
    from sememe.search.coarse.itq import IterativeQuantization
    from sememe.search.coarse.rabitq import RaBitQ
    from sememe.search.coarse.signs import Signs

    encoder = Encoder.load("minilm")
    indexed = encode_once(setting, encoder, texts.documents)
    asked = encode_once(setting, encoder, texts.queries)  # whole articles ask, not questions
    figures = _titled("MiniLM", topics.measure(by_cosine(asked, indexed)))
    with (
        tempfile.TemporaryDirectory() as folder,
        Bank.create(Path(folder) / "bank", indexed.shape[1], provenance={}) as bank,
    ):
        bank.append(indexed)
        bank.commit()
        stages: dict[str, Coarse] = {
            f"MiniLM + sign {bank.dimensions}": Signs.fit(bank),
            f"MiniLM + ITQ {SHORT}": IterativeQuantization.fit(bank, SHORT),
            f"MiniLM + RaBitQ {bank.dimensions}": RaBitQ.fit(bank),
        }
        for name, stage in stages.items():
            stage.extend(bank)
            figures |= _titled(name, topics.measure(_proposed(stage, asked)))
    return figures


def _proposed(stage: Coarse, queries: np.ndarray) -> Iterator[Ranked]:
    """What a first stage proposes when it is asked for all rows, the first highest."""
    allowed = np.ones(stage.n_rows, bool)
    for query in queries:
        rows = stage.candidates(query, stage.n_rows, allowed)
        yield rows, -np.arange(len(rows), dtype=np.float32)


def _titled(name: str, measured: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}: {title}": value for title, value in measured.items()}


def _above(figures: Figures, a: str, b: str, metric: str) -> float:
    return float(np.mean(figures[f"{a}: {metric}"]) - np.mean(figures[f"{b}: {metric}"]))


def _exceeds(a: str, b: str, metric: str, least: float) -> Condition:
    at_least = f"exceeds that of {b} by at least {least:.3f}" if least else f"is at least that of {b}"
    return Condition(
        f"the {metric} of {a} {at_least}, mean over seeds", lambda figures: _above(figures, a, b, metric) >= least
    )


CLAIM = Claim(
    id="p20_binary_codes",
    title="Bits that are learned to predict a document's words retrieve better than the same vectors made binary "
    "afterwards",
    paper="Binary Paragraph Vector (arXiv 1611.01116), 20 Newsgroups, MAP / NDCG@10 (from memory, not confirmed): 32 "
    "bits .32/.53, real PV-DBOW .43/.71; 128 bits .34/.69, real .40/.75; learned on Wikipedia .24/.51",
    protocol="small: 5,600 AG News articles of four topics, title and text, split at random (seed 20) into 4,600 that "
    "are indexed and 1,000 that ask; the codes of queries are inferred; an article is relevant when it has the "
    "query's topic. Epochs (6, 12 or 25) are chosen for each model by MAP on 600 of the 4,600 as queries for the "
    "other 4,000, with a seed of its own; nothing else was tuned on this split. An exploration on another split and "
    "other seeds set the thresholds. Transfer: learned on 4,000 arXiv and 4,000 ACL abstracts, both sides inferred. "
    "Equal scores are ordered by row, and rows are in random order; the spread over random orders is given. tiny: made "
    "texts whose words LSI models exactly, so that only paragraph vectors can be compared with each other. full: "
    "20 Newsgroups as the user brings it in data/20-newsgroups/{train,test}.jsonl",
    baselines=(
        "`sign of real`: PV-DBOW learned with real vectors, their signs taken afterwards; the paper's question",
        "`LSI + LSH`: latent semantic indexing, random rotation, signs",
        "`LSI + ITQ`: the same with the rotation learned (iterative quantisation); the strong simple one",
        "for scale: PV-DBOW, LSI and TF-IDF with real numbers by cosine",
        "`MiniLM + sign` and `MiniLM + RaBitQ` (384 bits) and `MiniLM + ITQ` (32 bits): a pretrained transformer",
    ),
    metric="MAP and NDCG@10 over whole rankings: Hamming distance for codes, cosine for vectors",
    threshold=(
        _exceeds(f"binary {SHORT}", f"sign of real {SHORT}", "MAP", 0.02),
        _exceeds(f"binary {SHORT}", f"sign of real {SHORT}", "NDCG@10", 0.04),
        _exceeds(f"binary {SHORT}", f"LSI + LSH {SHORT}", "MAP", 0.015),
        _exceeds(f"real-binary {FILTER}", f"binary {SHORT}", "MAP", 0.0),
        _exceeds(f"binary {SHORT}", TRANSFER, "MAP", 0.0),
        _exceeds(TRANSFER, TRANSFER_LSH, "MAP", 0.0),
    ),
    seeds={"tiny": (0, 1), "small": (3, 4, 5), "full": (0, 1, 2)},
    needs={
        "small": ("class-ag-news", "papers-arxiv", "papers-acl"),
        "full": ("20-newsgroups", "papers-arxiv", "papers-acl"),
    },
    extras={"torch": "models"},
    prepare=prepare,
    measure=measure,
)
