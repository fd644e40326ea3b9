"""Searching documents by the codes that paragraph vectors learned: bits filter, real vectors (where there are) rank.

Grzegorczyk and Kurdziel (RepL4NLP 2017, arXiv 1611.01116), section 2.2: the documents within a Hamming ball around the
query's code, ordered by their real vectors. Here it is so many nearest codes instead of a ball, whose size in documents
nobody knows beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sememe.errors import InputError
from sememe.search.coarse.hamming import hamming_distances, nearest

if TYPE_CHECKING:
    from sememe.objectives.paragraph_vectors import BinaryParagraphVector


class CodeHit(NamedTuple):
    """A document that was found.

    Attributes:
        id: its id.
        title: its title, or how its text begins.
        distance: bits in which its code differs from the query's; None where documents have no code.
        score: cosine of real vectors; None where documents have none.

    """

    id: str
    title: str
    distance: int | None
    score: float | None


def search_codes(model: BinaryParagraphVector, query: str, k: int = 10, *, candidates: int = 200) -> list[CodeHit]:
    """Find the documents whose codes are nearest to that of a text.

    Args:
        model: learned from the documents that are searched.
        query: a text.
        k: how many hits; fewer when there are fewer documents.
        candidates: how many nearest codes real vectors order (variant `real-binary`); at least `k` are.

    Returns:
        The best first: by cosine where there are real vectors, else by distance, then in the order of the documents.

    Raises:
        InputError: the query has no word that is known from training, or a number is below 1.

    """
    if k < 1 or candidates < 1:
        raise InputError("k and candidates must be at least 1", where="search_codes")
    asked, held = model.infer([query], unknown="zero"), model.documents
    if not asked.n_words[0]:
        raise InputError("has no word that is known from the documents", where=repr(query), hint="Use other words")
    rows = np.arange(len(held.n_words))
    distances = None
    if asked.codes is not None and held.codes is not None:
        distances = hamming_distances(asked.codes[0], held.codes)
        rows = nearest(distances, k if held.vectors is None else max(k, candidates))
    scores = None
    if asked.vectors is not None and held.vectors is not None:
        scores = _cosines(asked.vectors[0], held.vectors[rows])
        order = np.argsort(-scores, kind="stable")
        rows, scores = rows[order], scores[order]
    hits = []
    for place, row in enumerate(rows[:k]):
        distance = None if distances is None else int(distances[row])
        score = None if scores is None else float(scores[place])
        id_, title = model.names[row]
        hits.append(CodeHit(id_, title, distance, score))
    return hits


def _cosines(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Of a document without a known word, 0."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    found: np.ndarray = vectors @ query / np.where(lengths > 0, lengths, 1)
    return found
