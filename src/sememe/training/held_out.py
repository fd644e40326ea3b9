"""A search task made from the corpus itself: texts that training never sees, each asked for by its own title.

Where a document has no title, its first sentence asks for the rest. The task says whether an encoder got better at this
corpus; it does not say how good it is on real queries, which are harder.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.training.search_task import ByQuery, SearchTask

LEAST = 20  # questions, below which nothing can be said
_LEAST_TITLE, _LEAST_SENTENCE, _LEAST_REST = 2, 6, 20  # words
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Question(NamedTuple):
    """A held-out document cut in two."""

    document: str
    query: str
    text: str


@dataclass(frozen=True, eq=False)
class Split:
    """A corpus in two parts.

    Attributes:
        train: what may be trained on; can be iterated again.
        held_out: the documents that were held out; None when they are too few.
        documents: how many documents the corpus has.
        duplicates: how many of them repeat another one's text and were left out.

    """

    train: Iterable[Document]
    held_out: HeldOut | None
    documents: int
    duplicates: int


class HeldOut:
    """Questions, each answered by one of the held-out texts. One half chooses when to stop, the other reports.

    Attributes:
        task: the questions as a search task; query and answer bear the document's id.

    """

    def __init__(self, questions: Sequence[Question]) -> None:
        self.task = SearchTask(
            {each.document: each.query for each in questions},
            {each.document: each.text for each in questions},
            {each.document: {each.document: 1} for each in questions},
        )
        self._choosing = [each.document for each in questions[::2]]
        self._reporting = [each.document for each in questions[1::2]]

    def choosing(self, found: ByQuery) -> float:
        """The mean nDCG@10 over the half that chooses."""
        return float(np.mean([found["ndcg@10"][document] for document in self._choosing]))

    def reporting(self, found: ByQuery) -> ByQuery:
        """The metrics of the half that chose nothing."""
        return {metric: {name: values[name] for name in self._reporting} for metric, values in found.items()}


def as_question(document: Document) -> Question | None:
    """The document as a question and its answer; None when it is too short."""
    text = document.text.strip()
    title = document.title.strip()
    if text.lower().startswith(title.lower()):
        # Some collections repeat the title in the text, where it would give the answer away.
        text = text[len(title) :].lstrip(" .:-\n")
    if len(title.split()) >= _LEAST_TITLE and len(text.split()) >= _LEAST_REST:
        return Question(document.id, title, text)
    first, *rest = _SENTENCE_END.split(text, maxsplit=1)
    if rest and len(first.split()) >= _LEAST_SENTENCE and len(rest[0].split()) >= _LEAST_REST:
        return Question(document.id, first, rest[0])
    return None


def split(
    documents: Iterable[Document], held_out: int, seed: int, ask: Callable[[Document], Question | None] = as_question
) -> Split:
    """Leave out repeated texts, and hold out documents that a question can be made of, at most a fifth of all.

    A document is held out only when no other one has the same question or the same answer.

    Args:
        documents: can be iterated again, and give the same then.
        held_out: how many to hold out at most.
        seed: of the choice.
        ask: how a document is asked for.

    Raises:
        InputError: there are fewer than two different texts.

    """
    repeated, usable, n = _look(documents, ask)
    if n - len(repeated) < 2:
        what = "there is one document" if n == 1 else f"all {n:,} documents have the same text"
        raise InputError(what if n else "there are no documents", where="the corpus", hint="Training needs many texts")
    chosen = _choose(usable, min(held_out, (n - len(repeated)) // 5), seed)
    questions = [
        question
        for number, document in enumerate(documents)
        if number in chosen and (question := ask(document)) is not None
    ]
    left_out = repeated | chosen
    return Split(_Part(documents, left_out), HeldOut(questions) if questions else None, n, len(repeated))


class _Part:
    """The documents of a corpus without some, by number."""

    def __init__(self, documents: Iterable[Document], left_out: set[int]) -> None:
        self._documents, self._left_out = documents, left_out

    def __iter__(self) -> Iterator[Document]:
        for number, document in enumerate(self._documents):
            if number not in self._left_out:
                yield document


def _look(documents: Iterable[Document], ask: Callable[[Document], Question | None]) -> tuple[set[int], list[int], int]:
    """The numbers of documents that repeat an earlier one, and of those that can be held out; how many there are."""
    known: set[bytes] = set()
    repeated: set[int] = set()
    questions: list[tuple[int, bytes, bytes]] = []
    n = 0
    for number, document in enumerate(documents):
        n += 1
        question = ask(document)
        whole = _digest(document.content, "" if question is None else question.query)
        if whole in known:
            repeated.add(number)
        elif question is not None:
            questions.append((number, _digest(question.query), _digest(question.text)))
        known.add(whole)
    counts = Counter(part for _, *parts in questions for part in parts)
    usable = [number for number, query, text in questions if counts[query] == counts[text] == 1]
    return repeated, usable, n


def _digest(*texts: str) -> bytes:
    joined = "\n".join(" ".join(text.split()) for text in texts)
    return hashlib.blake2b(joined.encode(), digest_size=16).digest()


def _choose(usable: Sequence[int], n: int, seed: int) -> set[int]:
    if min(n, len(usable)) < LEAST:
        return set()
    drawn = np.random.default_rng([seed, 4]).choice(np.asarray(usable), min(n, len(usable)), replace=False)
    return {int(number) for number in drawn}
