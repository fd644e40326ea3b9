"""Articles cut into questions and answers: real ones, and made ones in which only synonyms link the parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sememe.corpus import Document
from sememe.training.search_task import SearchTask

LEAST_SENTENCE, LEAST_REST = 6, 50  # words
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
N_CONCEPTS, SYNONYMS, PER_ARTICLE, N_COMMON = 300, 3, 8, 60


@dataclass(frozen=True)
class Article:
    """A text whose first sentence is cut off: it is asked with, and never indexed nor trained on."""

    first: str
    rest: str


@dataclass(frozen=True)
class Articles:
    """Articles to train on, and others to ask about."""

    train: Sequence[Article]
    test: Sequence[Article]

    def documents(self) -> list[Document]:
        """What is trained on."""
        return [Document(f"train-{number}", article.rest) for number, article in enumerate(self.train)]

    def tasks(self) -> dict[str, SearchTask]:
        """ASYM: the first sentence asks for the rest; SYM: the first half of the rest asks for the second half."""
        halves = [_halves(article.rest) for article in self.test]
        return {
            "ASYM": _task([article.first for article in self.test], [article.rest for article in self.test]),
            "SYM": _task([first for first, _ in halves], [second for _, second in halves]),
        }


def cut(texts: Sequence[str], n_test: int, random_state: int = 0) -> Articles:
    """Cut texts, shuffle them, train on one half and ask about `n_test` of the other at most."""
    found = []
    for text in texts:
        first, *rest = _SENTENCE_END.split(text, maxsplit=1)
        if rest and len(first.split()) >= LEAST_SENTENCE and len(rest[0].split()) >= LEAST_REST:
            found.append(Article(first, rest[0]))
    order = np.random.default_rng(random_state).permutation(len(found))
    middle = len(found) // 2
    return Articles([found[n] for n in order[:middle]], [found[n] for n in order[middle : middle + n_test]])


def planted(n_train: int, n_test: int, random_state: int = 0) -> Articles:
    """Made articles. Each is about 8 of 300 concepts; a concept is named by any of its three synonyms, at random.

    Two thirds of the words are common ones that say nothing. So parts of one article share concepts, but rarely words.
    """
    rng = np.random.default_rng([random_state, 31])

    def sentence(about: np.ndarray, n_words: int) -> str:
        concepts = rng.choice(about, n_words // 3)
        words = [f"k{concept:03d}{'abc'[int(rng.integers(SYNONYMS))]}" for concept in concepts]
        words += [f"c{int(word):02d}" for word in rng.integers(N_COMMON, size=n_words - len(words))]
        return " ".join(rng.permutation(words).tolist())

    def article() -> Article:
        about = rng.choice(N_CONCEPTS, PER_ARTICLE, replace=False)
        return Article(sentence(about, 12), sentence(about, 72))

    made = [article() for _ in range(n_train + n_test)]
    return Articles(made[:n_train], made[n_train:])


def _halves(text: str) -> tuple[str, str]:
    words = text.split()
    return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])


def _task(queries: Sequence[str], texts: Sequence[str]) -> SearchTask:
    ids = [str(number) for number in range(len(queries))]
    qrels = {name: {name: 1} for name in ids}
    return SearchTask(dict(zip(ids, queries, strict=True)), dict(zip(ids, texts, strict=True)), qrels)
