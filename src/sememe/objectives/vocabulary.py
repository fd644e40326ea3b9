"""Words as numbers: which words of a collection are kept, and every text as the numbers of its kept words."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np

from sememe.errors import InputError

_LETTERS = re.compile(r"[^\W\d_]+")
STOP_WORD_LISTS = ("english", "none")


class Words(NamedTuple):
    """The kept words of texts, one text after another.

    Attributes:
        ids: the word's number; shape (n_words,), int64.
        texts: which text it is from, ascending; shape (n_words,), int64.
        n_texts: how many texts there are, those without any kept word included.
    """

    ids: np.ndarray
    texts: np.ndarray
    n_texts: int

    @property
    def lengths(self) -> np.ndarray:
        """Kept words of each text; shape (n_texts,)."""
        return np.bincount(self.texts, minlength=self.n_texts)


class Vocabulary:
    """The words that are kept, the most frequent first, and how texts are cut into them.

    A word is a run of letters in lower case that is no stop word. Pairs of neighbouring kept words that are frequent
    enough may be items as well ("bigrams"), written `first second`.

    Attributes:
        words: single words, then bigrams.
        counts: how often each occurs in the texts that it was made from; shape (n,), int64.
        stop_words: `english` or `none`.
    """

    def __init__(self, words: Sequence[str], counts: np.ndarray, stop_words: str = "english") -> None:
        self.words, self.counts, self.stop_words = list(words), np.asarray(counts, np.int64), stop_words
        singles = [word for word in self.words if " " not in word]
        self._numbers = {word: number for number, word in enumerate(singles)}
        pairs = [[self._numbers[part] for part in word.split(" ")] for word in self.words[len(singles) :]]
        keys = np.array([first * len(singles) + second for first, second in pairs], np.int64)
        order = np.argsort(keys)
        self._pair_keys, self._pair_numbers = keys[order], order + len(singles)

    @classmethod
    def learn(
        cls, texts: Iterable[str], *, min_count: int, stop_words: str = "english", bigrams: bool = False
    ) -> tuple[Self, Words]:
        """Count the words of texts in one pass and keep those that occur at least `min_count` times.

        Returns:
            The vocabulary, and the texts as numbers; these hold single words only (see `with_bigrams`).

        Raises:
            InputError: no word is left; the message says what left them out.
        """
        cut, numbers, flat, lengths = cutter(stop_words), dict[str, int](), array("i"), array("q")
        for text in texts:
            found = cut(text)
            flat.extend([numbers.setdefault(word, len(numbers)) for word in found])
            lengths.append(len(found))
        every = np.frombuffer(flat, np.int32) if flat else np.zeros(0, np.int32)
        counts = np.bincount(every, minlength=len(numbers))
        names = list(numbers)
        kept = sorted(np.flatnonzero(counts >= min_count).tolist(), key=lambda i: (-counts[i], names[i]))
        if not kept:
            raise InputError(
                f"no word is left of the {len(names):,} different words in {len(lengths):,} texts: kept are runs of "
                f"letters that occur at least {min_count} times and are not on the stop word list {stop_words!r}",
                hint="Give more text, or a lower min_count",
            )
        new = np.full(len(names), -1, np.int64)
        new[kept] = np.arange(len(kept))
        ids = new[every]
        which = np.repeat(np.arange(len(lengths)), np.frombuffer(lengths, np.int64))
        words = Words(ids[ids >= 0], which[ids >= 0], len(lengths))
        singles = [names[number] for number in kept]
        if not bigrams:
            return cls(singles, counts[kept], stop_words), words
        first, second = _frequent_pairs(words, len(singles), min_count)
        pairs = [f"{singles[a]} {singles[b]}" for a, b in zip(first.tolist(), second.tolist(), strict=True)]
        made = cls([*singles, *pairs], np.zeros(0, np.int64), stop_words)
        counted = np.bincount(made.with_bigrams(words).ids, minlength=len(made))
        return cls(made.words, counted, stop_words), words

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: Iterable[str]) -> Words:
        """Texts as the numbers of their kept single words."""
        cut, lengths, flat = cutter(self.stop_words), array("q"), array("q")
        numbers = self._numbers
        for text in texts:
            found = [numbers[word] for word in cut(text) if word in numbers]
            flat.extend(found)
            lengths.append(len(found))
        which = np.repeat(np.arange(len(lengths)), np.array(lengths, np.int64))
        return Words(np.array(flat, np.int64), which, len(lengths))

    def with_bigrams(self, words: Words) -> Words:
        """Add the known bigrams of neighbouring kept words; without bigrams in the vocabulary, changes nothing."""
        keys, numbers = self._pair_keys, self._pair_numbers
        if not len(keys) or len(words.ids) < 2:
            return words
        together = words.texts[1:] == words.texts[:-1]
        wanted = words.ids[:-1] * (len(self) - len(keys)) + words.ids[1:]
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = together & (keys[place] == wanted)
        ids = np.concatenate([words.ids, numbers[place[known]]])
        texts = np.concatenate([words.texts, words.texts[1:][known]])
        order = np.argsort(texts, kind="stable")
        return Words(ids[order], texts[order], words.n_texts)


def cutter(stop_words: str) -> Callable[[str], list[str]]:
    """A function from a text to its words: lower case, runs of letters, stop words left out.

    Raises:
        InputError: there is no such stop word list.
    """
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    if stop_words not in STOP_WORD_LISTS:
        raise InputError(f"there is no stop word list {stop_words!r}", hint="Use english or none")
    ignored = frozenset(STOPWORDS_EN_PLUS if stop_words == "english" else ())
    return lambda text: [word for word in _LETTERS.findall(text.lower()) if word not in ignored]


def _frequent_pairs(words: Words, n: int, min_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours in one text that occur often enough, the most frequent first."""
    together = words.texts[1:] == words.texts[:-1]
    keys, counts = np.unique((words.ids[:-1] * n + words.ids[1:])[together], return_counts=True)
    keys, counts = keys[counts >= min_count], counts[counts >= min_count]
    keys = keys[np.lexsort((keys, -counts))]
    return keys // n, keys % n
