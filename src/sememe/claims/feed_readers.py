"""Simulated readers of a feed, what they see, and how well a ranking serves them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe.papers.features import Features

LIKED, DISLIKED = 5, 3
DEPTH = 20
"""Papers of a digest, which a reader looks at."""
LARGE = frozenset({"cs.AI", "cs.CV", "cs.CL", "cs.LG"})
DEVELOPMENT = "cs.CV"
"""A category that is always used to develop on, and so never to judge with."""
MIN_EARLY, MIN_LATE = 15, 20
_ARXIV = re.compile(r"[a-z]+(-[a-z]+)?(\.[A-Za-z-]+)?")


@dataclass(frozen=True, eq=False)
class Field:
    """Papers over time, and the categories that readers care for.

    Attributes:
        features: of all papers, in the order of their days.
        days: when each was announced (n,).
        early: the rows a reader has marked from (e,).
        late: the rows that are ranked (l,).
        members: category -> whether each paper has it (n,).
        development: the categories to develop on.
        held_out: the categories to judge with.

    """

    features: Features
    days: np.ndarray
    early: np.ndarray
    late: np.ndarray
    members: Mapping[str, np.ndarray]
    development: Sequence[str]
    held_out: Sequence[str]


@dataclass(frozen=True, eq=False)
class Reader:
    """Somebody who likes a category and has marked eight papers."""

    category: str
    liked: Sequence[str]
    disliked: Sequence[str]


def read_sample(path: Path, n_small: int, n_large: int) -> list[dict[str, Any]]:
    """A sample of arXiv records in the order of their days, drawn by a hash of the id.

    Args:
        path: `papers.jsonl.gz`.
        n_small: of those that have a category other than the four largest, so that smaller ones have enough papers.
        n_large: of the others.

    """
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        records = [json.loads(line) for line in stream]
    small = [record for record in records if set(record["categories"]) - LARGE]
    large = [record for record in records if not set(record["categories"]) - LARGE]
    chosen = _drawn(small, n_small) + _drawn(large, n_large)
    return sorted(chosen, key=lambda record: (record["date"], record["id"]))


def split_field(features: Features, days: Sequence[str], categories: Sequence[Sequence[str]]) -> Field:
    """Split papers at their median day, and their categories, by a hash of the name, into two halves."""
    dates = np.asarray(days, "datetime64[D]")
    cut = np.sort(dates)[len(dates) // 2]
    early, late = np.flatnonzero(dates < cut), np.flatnonzero(dates >= cut)
    names = sorted({name for of_paper in categories for name in of_paper}, key=_digest)
    members = {name: np.asarray([name in of_paper for of_paper in categories]) for name in names}
    # Authors also write other classifications there, such as 68T50; only arXiv's own mean the same to all.
    names = [name for name in names if _ARXIV.fullmatch(name)]
    usable = [
        name for name in names if members[name][early].sum() >= MIN_EARLY and members[name][late].sum() >= MIN_LATE
    ]
    development = sorted({DEVELOPMENT, *usable[::2]} & set(usable))
    held_out = sorted(set(usable) - set(development))
    return Field(features, dates, early, late, {name: members[name] for name in usable}, development, held_out)


def readers(field: Field, categories: Sequence[str], per_category: int, seed: int) -> Iterator[Reader]:
    """Readers who marked + five papers of their category and − three others, all among the early ones."""
    for category in categories:
        member = field.members[category][field.early]
        for number in range(per_category):
            rng = np.random.default_rng([seed, number, int(_digest(category)[:8], 16)])
            liked = rng.choice(field.early[member], LIKED, replace=False)
            disliked = rng.choice(field.early[~member], DISLIKED, replace=False)
            ids = field.features.ids
            yield Reader(category, [ids[row] for row in liked], [ids[row] for row in disliked])


Ranker = Callable[[Reader], np.ndarray]
"""A reader -> a score for every paper (n,)."""


def serve(field: Field, reader: Reader, ranker: Ranker) -> dict[str, float]:
    """How well a ranking of the late papers serves a reader: `ndcg@20` and `map`; equal scores in their order."""
    relevant = field.members[reader.category][field.late]
    order = np.argsort(-ranker(reader)[field.late], kind="stable")
    gains = relevant[order].astype(np.float64)
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = discounts[: min(DEPTH, int(relevant.sum()))].sum()
    found = np.flatnonzero(gains)
    precision = float((np.arange(1, len(found) + 1) / (found + 1)).mean())
    return {f"ndcg@{DEPTH}": float((gains[:DEPTH] * discounts[: len(gains[:DEPTH])]).sum() / ideal), "map": precision}


def _drawn(records: Sequence[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    return sorted(records, key=lambda record: _digest(record["id"]))[:n]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
