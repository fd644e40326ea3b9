"""RM3: pseudo-relevance feedback for the lexical part, by adding words of the best documents to the query.

Abdul-Jaleel et al., UMass at TREC 2004, on the relevance model of Lavrenko and Croft, SIGIR 2001. What they leave open
is done as in Anserini's `Rm3Reranker`: a document weighs as much as its score, of each only its most frequent words are
read, and words of more than a tenth of all documents are not added.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError
from sememe.lexical.bm25 import Lexical
from sememe.lexical.words import tokenizer
from sememe.search.top_items import top_items

_MIN_LETTERS, _MAX_LETTERS = 2, 20


@dataclass(frozen=True)
class RM3:
    """``P(w) = m P(w|query) + (1 - m) P(w|feedback)``, both of which sum to one.

    Attributes:
        n_documents: how many of the best documents are read.
        n_words: how many of their words are kept.
        original_weight: m, the weight of the query as it was asked.
        max_share: words in more than this share of all documents are not added.

    Raises:
        InputError: a value is out of range; all problems are reported together.

    """

    n_documents: int = 10
    n_words: int = 10
    original_weight: float = 0.5
    max_share: float = 0.1

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be at least 1, not {value}"
            for name, value in (("n_documents", self.n_documents), ("n_words", self.n_words))
            if value < 1
        ]
        problems += [
            f"{name} must be from 0 to 1, not {value}"
            for name, value in (("original_weight", self.original_weight), ("max_share", self.max_share))
            if not 0 <= value <= 1
        ]
        if problems:
            raise InputError("; ".join(problems), where="RM3")

    def score(
        self, lexical: Lexical, query: str, text: Callable[[int], str], *, allowed: np.ndarray | None = None
    ) -> np.ndarray:
        """The BM25 scores of all documents with the expanded query; shape (n_documents,), 0 where no word matches.

        Args:
            lexical: the lexical part.
            query: the query.
            text: from an item of `lexical` to the text that was indexed.
            allowed: which documents may be read for feedback; shape (n_documents,), all by default.

        """
        return score_words(lexical, self.expand(lexical, query, text, allowed=allowed))

    def expand(
        self, lexical: Lexical, query: str, text: Callable[[int], str], *, allowed: np.ndarray | None = None
    ) -> dict[str, float]:
        """The words of the expanded query with their weights, the heaviest first; arguments as in `score`.

        A query that no document matches stays as it was.
        """
        asked = _shares(Counter(tokenizer(lexical.language)(query)))
        model = self._model(lexical, query, text, allowed)
        if not model:
            return asked
        mixed = {
            word: self.original_weight * asked.get(word, 0.0) + (1 - self.original_weight) * model.get(word, 0.0)
            for word in asked.keys() | model.keys()
        }
        return dict(_heaviest(mixed, len(mixed)))

    def _model(
        self, lexical: Lexical, query: str, text: Callable[[int], str], allowed: np.ndarray | None
    ) -> dict[str, float]:
        """P(w|feedback) of the kept words."""
        scores = lexical.score(query)
        allowed = np.ones(len(scores), bool) if allowed is None else allowed
        weights: defaultdict[str, float] = defaultdict(float)
        for item in top_items(scores, allowed, self.n_documents, at_least=0.0).tolist():
            words = Counter(w for w in tokenizer(lexical.language)(text(item)) if self._may_add(lexical, w))
            for word, share in _shares(dict(_heaviest(words, self.n_words))).items():
                weights[word] += share * float(scores[item])
        return _shares(dict(_heaviest(weights, self.n_words)))

    def _may_add(self, lexical: Lexical, word: str) -> bool:
        column = lexical.words.get(word)
        if column is None or not _MIN_LETTERS <= len(word) <= _MAX_LETTERS:
            return False
        return bool(lexical.starts[column + 1] - lexical.starts[column] <= self.max_share * lexical.n_documents)


def score_words(lexical: Lexical, weights: Mapping[str, float]) -> np.ndarray:
    """BM25 scores with a weight for every word; shape (n_documents,), float32. Words that are not indexed add nothing.

    Args:
        lexical: the lexical part.
        weights: by stem, as `sememe.lexical.words.tokenizer` gives them.

    """
    scores = np.zeros(lexical.n_documents, np.float32)
    for word, weight in weights.items():
        column = lexical.words.get(word)
        if column is not None:
            entries = slice(lexical.starts[column], lexical.starts[column + 1])
            np.add.at(scores, lexical.items[entries], np.float32(weight) * lexical.scores[entries])
    return scores


def _heaviest(weights: Mapping[str, float], n: int) -> list[tuple[str, float]]:
    """The `n` heaviest words; equal weights in the order of the alphabet."""
    return sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:n]


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {word: weight / total for word, weight in weights.items()} if total else {}
