"""Captions of images, each with a minimally changed false one, and other captions of the same image to ask with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class CaptionPair:
    """A caption and a false one.

    Attributes:
        kind: what was changed: `swap_att`, `replace_rel`, ...
        true: the caption.
        false: the changed one.
        queries: other captions of the same image.
    """

    kind: str
    true: str
    false: str
    queries: tuple[str, ...]


def sugarcrepe(folder: Path) -> list[CaptionPair]:
    """SugarCrepe's pairs whose image has another caption among them (Hsieh et al., 2023)."""
    with gzip.open(folder / "pairs.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    of_image: dict[str, dict[str, str]] = {}
    for row in rows:
        of_image.setdefault(row["image"], {}).setdefault(_plain(row["caption"]), row["caption"])
    pairs = []
    for row in rows:
        others = tuple(text for key, text in of_image[row["image"]].items() if key != _plain(row["caption"]))
        if others:
            pairs.append(CaptionPair(row["category"], row["caption"], row["negative"], others))
    return pairs


def made_captions(n: int, seed: int) -> list[CaptionPair]:
    """Captions from a template; the false one swaps two nouns, the query says the same with other small words."""
    sizes, animals, places = (
        ("small", "big", "old"),
        ("dog", "cat", "horse", "cow"),
        ("table", "tree", "river", "fence"),
    )
    options = list(product(sizes, animals, sizes, animals, places))
    options = [option for option in options if option[1] != option[3]]
    rng = np.random.default_rng([seed, 23])
    pairs = []
    for row in rng.permutation(len(options))[:n]:
        size, one, other_size, other, place = options[row]
        text = "A {} {} quickly follows a {} {} near the {} ."
        query = f"near the {place} one {size} {one} goes behind some {other_size} {other}"
        true, false = text.format(size, one, other_size, other, place), text.format(size, other, other_size, one, place)
        pairs.append(CaptionPair("swap_obj", true, false, (query,)))
    return pairs


def sample_by_kind(pairs: Sequence[CaptionPair], n: int, seed: int) -> Iterator[CaptionPair]:
    """At most `n` pairs of each kind."""
    rng = np.random.default_rng([seed, 24])
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        of_kind = [pair for pair in pairs if pair.kind == kind]
        for row in rng.permutation(len(of_kind))[:n]:
            yield of_kind[row]


def _plain(text: str) -> str:
    return text.lower().strip(" .")
