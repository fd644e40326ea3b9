"""Which words of a query a document holds, and how much each says: their parts of its BM25 score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sememe.lexical.words import tokenizer

if TYPE_CHECKING:
    from sememe.search import Index


def query_words(index: Index, query: str, ids: Sequence[str]) -> list[list[tuple[str, float]]]:
    """For each document the stems that it shares with the query, with their parts of the BM25 score, largest first.

    Args:
        index: the index.
        query: what was looked for.
        ids: the documents.

    """
    lexical = index.lexical
    places = {id: place for place, id in enumerate(index.ids())}
    found: list[dict[str, float]] = [{} for _ in ids]
    for stem in tokenizer(lexical.language)(query):
        column = lexical.words.get(stem)
        if column is None:
            continue
        entries = slice(lexical.starts[column], lexical.starts[column + 1])
        items, scores = lexical.items[entries], lexical.scores[entries]
        for parts, id in zip(found, ids, strict=True):
            here = np.flatnonzero(items == places[id])
            if len(here):
                parts[stem] = parts.get(stem, 0.0) + float(scores[here[0]])
    return [sorted(parts.items(), key=lambda pair: -pair[1]) for parts in found]
