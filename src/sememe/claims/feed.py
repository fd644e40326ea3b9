"""The feed: *for me* from eight marks beats tf-idf with an SVM and newest first; no digest is sent twice."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting
from sememe.claims.feed_digests import kill_digests
from sememe.claims.feed_planted import planted_field
from sememe.claims.feed_readers import DEPTH, Field, Ranker, read_sample, readers, serve, split_field
from sememe.claims.feed_rivals import FOR_ME, NEWEST, RIVALS, SVM_ALL, SVM_MARKS, rankers
from sememe.claims.feed_similar import Alike, features_of, keywords_of, similar_figures, small_categories
from sememe.claims.running import interval
from sememe.claims.vectors import encode_once

NDCG, MAP = f"ndcg@{DEPTH}", "map"
ARXIV, ML = "papers-arxiv", "papers-ml"


@dataclass(frozen=True)
class _Size:
    """How large a run is. `sample` is how many papers are drawn with a small category and without; None: made ones."""

    sample: tuple[int, int] | None
    readers: int
    trials: int
    queries: int = 0


SIZES = {
    "tiny": _Size(None, 4, 4),
    "small": _Size((3000, 2000), 6, 40, 200),
    "full": _Size((7500, 14500), 12, 40, 600),
}


@dataclass(frozen=True)
class _Prepared:
    field: Field
    rankers: Mapping[str, Ranker]
    alike: Sequence[Alike]
    size: _Size


@contextmanager
def prepare(setting: Setting) -> Iterator[_Prepared]:
    """Read, encode (once a machine) and count words; what a seed draws is drawn later."""
    size = SIZES[setting.scale]
    if size.sample is None:
        field, texts = planted_field()
        yield _Prepared(field, rankers(field, texts, min_texts=2), (), size)
        return
    records = read_sample(setting.data(ARXIV) / "papers.jsonl.gz", *size.sample)
    of_arxiv = _alike(setting, "arXiv categories", records, [small_categories(record) for record in records])
    with_keywords = sorted(
        (record for record in _records(setting, ML) if record["keywords"]),
        key=lambda record: (record["year"], record["id"]),
    )
    of_ml = _alike(setting, "papers-ml keywords", with_keywords, [keywords_of(record) for record in with_keywords])
    categories = [record["categories"] for record in records]
    field = split_field(of_arxiv.features, [record["date"] for record in records], categories)
    texts = [" ".join([record["title"], record["abstract"], *record["authors"]]) for record in records]
    yield _Prepared(field, rankers(field, texts), (of_arxiv, of_ml), size)


def measure(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Serve readers of the held-out categories in every way; kill digests; find similar papers."""
    figures = _served(prepared, seed)
    with tempfile.TemporaryDirectory() as folder:
        killed = kill_digests(Path(folder), prepared.size.trials, seed)
    figures |= {f"digests: {name.replace('_', ' ')}": float(value) for name, value in vars(killed).items()}
    for alike in prepared.alike:
        figures |= similar_figures(alike, prepared.size.queries, seed)
    return figures


def _served(prepared: _Prepared, seed: int) -> dict[str, float]:
    field = prepared.field
    asked = list(readers(field, field.held_out, prepared.size.readers, seed))
    served = {name: [serve(field, reader, rank) for reader in asked] for name, rank in prepared.rankers.items()}
    figures = {
        f"{name}: {metric}": float(np.mean([one[metric] for one in of_way]))
        for name, of_way in served.items()
        for metric in (NDCG, MAP)
    }
    for rival in RIVALS:
        for metric in (NDCG, MAP):
            figures[_minus(rival, metric)] = figures[f"{FOR_ME}: {metric}"] - figures[f"{rival}: {metric}"]
    for category in field.held_out:
        for name in (FOR_ME, SVM_ALL, SVM_MARKS, NEWEST):
            values = [one[NDCG] for one, reader in zip(served[name], asked, strict=True) if reader.category == category]
            figures[f"{category}: {name}: {NDCG}"] = float(np.mean(values))
    return figures


def _alike(
    setting: Setting, name: str, records: Sequence[Mapping[str, Any]], labels: Sequence[frozenset[str]]
) -> Alike:
    from sememe import Encoder
    from sememe.atoms import Atoms
    from sememe.lexical.bm25 import Lexical
    from sememe.search.learning import SENTENCE_RATE

    texts = [f"{record['title']}\n{record['abstract']}" for record in records]
    vectors = encode_once(setting, Encoder.load("minilm"), texts)
    lexical = Lexical.fit(texts, "english")
    atoms = Atoms.fit(vectors, learning_rate=SENTENCE_RATE)
    features = features_of([record["id"] for record in records], vectors, lexical)
    return Alike.of(name, features, lexical, labels, atoms)


def _records(setting: Setting, name: str) -> list[dict[str, Any]]:
    with gzip.open(setting.data(name) / "papers.jsonl.gz", "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def _minus(rival: str, metric: str) -> str:
    return f"{FOR_ME} minus {rival}: {metric}"


def _beats(rival: str) -> Condition:
    def holds(figures: Figures) -> bool:
        return interval(figures[_minus(rival, NDCG)])[0] > 0

    return Condition(f"{FOR_ME} has a higher {NDCG} than {rival}: the 95% interval of the difference is above 0", holds)


def _never_twice(figures: Figures) -> bool:
    return sum(figures["digests: twice"]) == 0 and sum(figures["digests: mails"]) > 0


def _killed_in_the_middle(figures: Figures) -> bool:
    return sum(figures["digests: in the middle"]) >= sum(figures["digests: trials"]) / 3


CLAIM = Claim(
    id="feed",
    title="Eight marks are enough for a feed that beats tf-idf with an SVM; no digest is ever sent twice",
    protocol="A sample of papers-arxiv in the order of announcement (small: 3,000 papers with a category beside cs.AI, "
    "cs.CV, cs.CL and cs.LG, and 2,000 others; full: all), cut at its median day. A reader likes one category, as "
    "primary or cross-list, and has marked 5 early papers of it with + and 3 early others with −, drawn at random; all "
    "late papers are ranked, and those of the category are relevant. Categories with 15 early and 20 late papers are "
    "halved by a hash of their names, cs.CV always to the side on which the method was developed; readers here are of "
    "the other side. Every way sees all papers, their marks apart. Vectors: MiniLM, the first 256 tokens of title and "
    "abstract. Digests: a child process claims papers for an address in a real store, hands them over and writes down "
    "the outcome, again and again, until it is killed (SIGKILL), every other one between claiming and writing down, "
    "the others a random moment after a random step; the next one goes on; 200 kills over all seeds at small. Similar "
    "papers (no threshold rests on them): papers drawn at random as queries; gains are shared keywords (papers-ml), or "
    "shared categories but for the four largest. Tiny: made papers, 12 kills",
    baselines=(
        f"`{SVM_ALL}`: arxiv-sanity-lite's method: tf-idf of words and pairs, 20,000 terms, a balanced linear SVM of "
        "the liked papers against all others; C the better of its 0.1 and 0.01 on the development categories",
        f"`{SVM_MARKS}`: the same features, the liked papers against the disliked ones",
        f"`{NEWEST}`: the newest first",
        "the two halves of *for me*: meaning only, words only",
    ),
    metric=f"{NDCG} and average precision, means over readers; 95% intervals over seeds, each of which draws other "
    "readers of the same categories",
    threshold=(
        *(_beats(rival) for rival in RIVALS),
        Condition("no paper reached an address twice, and some did reach one", _never_twice),
        Condition("a third of the kills or more left a digest claimed and not finished", _killed_in_the_middle),
    ),
    seeds={"tiny": (0, 1, 2), "small": (0, 1, 2, 3, 4), "full": (0, 1, 2, 3, 4)},
    needs={"small": (ARXIV, ML), "full": (ARXIV, ML)},
    extras={"sklearn": "dev"},
    prepare=prepare,
    measure=measure,
)
