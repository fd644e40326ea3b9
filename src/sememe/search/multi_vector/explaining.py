"""Why a document has its MaxSim score: which document vector each query vector found, and the words of both."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sememe.corpus import Document

SPECIAL = "[special]"
"""What stands for tokens that are not of the text: those that open and close it, markers, fillers of a query."""
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Match:
    """What one query vector adds to the score.

    Attributes:
        query_words: the words that the query vector stands for.
        document_words: the words that the document vector which it found stands for.
        row: the bank row of that vector.
        share: their inner product.

    """

    query_words: tuple[str, ...]
    document_words: tuple[str, ...]
    row: int
    share: float


class WordShare(NamedTuple):
    """What some words of the query add to the score.

    Attributes:
        words: the words; a query vector that is a cluster stands for several.
        found: the words of the document vectors that they found.
        share: the sum of the shares of their vectors, correctly rounded.

    """

    words: tuple[str, ...]
    found: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class MaxSimExplanation:
    """A score taken apart: it is the sum of the shares, exactly.

    Attributes:
        matches: one a query vector, in the order of the query.

    """

    matches: tuple[Match, ...]

    @property
    def score(self) -> float:
        """The sum of all shares, correctly rounded."""
        return math.fsum(match.share for match in self.matches)

    def top(self, n: int) -> list[Match]:
        """The `n` matches with the largest shares."""
        return sorted(self.matches, key=lambda match: -match.share)[:n]

    def by_words(self) -> list[WordShare]:
        """The matches of the same words taken together, in the order of the query, special tokens last.

        A word of several pieces has a vector for each of them.
        """
        together: dict[tuple[str, ...], list[Match]] = {}
        for match in self.matches:
            together.setdefault(tuple(dict.fromkeys(match.query_words)), []).append(match)
        shares = [
            WordShare(
                words,
                tuple(dict.fromkeys(word for match in matches for word in match.document_words)),
                math.fsum(match.share for match in matches),
            )
            for words, matches in together.items()
        ]
        return sorted(shares, key=lambda share: share.words == (SPECIAL,))

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints: every match, none left out."""
        return {
            "matches": [
                {
                    "query": list(match.query_words),
                    "document": list(match.document_words),
                    "row": match.row,
                    "share": match.share,
                }
                for match in self.matches
            ]
        }


@dataclass(frozen=True, eq=False)
class MultiVectorHit:
    """One search result.

    Attributes:
        document: the document found.
        score: the exact Chamfer score.
        rank: its place, from 1.
        explanation: what the score consists of, when it was asked for.

    """

    document: Document
    score: float
    rank: int
    explanation: MaxSimExplanation | None = None

    @property
    def parts(self) -> dict[str, float]:
        """The scores that went into `score`."""
        return {"maxsim": self.score}

    @property
    def passage(self) -> str:
        """The document's text; it was read as far as the encoder reads."""
        return self.document.text


def words_of(text: str, tokens: np.ndarray, n_vectors: int) -> list[tuple[str, ...]]:
    """The words that each vector of a text stands for, in the order of the text, every place once.

    Args:
        text: what was encoded.
        tokens: first and last character of each token and the vector that it went into; shape (n, 3).
        n_vectors: how many vectors there are.

    """
    places: list[dict[tuple[int, int], str]] = [{} for _ in range(n_vectors)]
    words = [found.span() for found in _WORD.finditer(text)]
    starts = np.array([start for start, _ in words], np.int64)
    for start, end, vector in tokens.tolist():
        if vector < 0:
            continue
        span = _word(words, starts, start, end) if end > start else (0, 0)
        places[vector][span] = text[slice(*span)] if end > start else SPECIAL
    return [tuple(found.values()) for found in places]


def _word(words: Sequence[tuple[int, int]], starts: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """The whole word that a token is a piece of, or the token itself."""
    place = int(np.searchsorted(starts, start, side="right")) - 1
    if place >= 0 and end <= words[place][1]:
        return words[place]
    return start, end
