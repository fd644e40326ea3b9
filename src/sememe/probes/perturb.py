"""Texts with their words in another order.

Yuksekgonul et al., "When and why vision-language models behave like bags-of-words" (2022): four perturbations of a
caption that keep its words, in the order of the paper's options, and swaps of two words of one kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from sememe.errors import InputError
from sememe.probes.tagging import Tag, load_tagger, words_of

_REMOVED = re.compile(r"[.!\"()*#:;~]")
_GAP = re.compile(r"\s+")
NOUN_OR_ADJECTIVE = ("NOUN", "ADJ")
Item = TypeVar("Item")
SWAPS: Mapping[str, Tag] = {"noun": "NOUN", "adjective": "ADJ", "adverb": "ADV", "verb": "VERB"}


def pre_caption(text: str, max_words: int = 30) -> str:
    """Lower case, without `. ! " ( ) * # : ; ~`, single spaces, at most `max_words` words: what every option passes."""
    words = _GAP.sub(" ", _REMOVED.sub(" ", text.lower())).strip().split(" ")
    return " ".join(words[:max_words])


class Perturber:
    """Perturbations of one text after another; the same seed gives the same texts.

    One tokenizer serves all four (the paper mixes two). Tokens are joined by single spaces.

    Args:
        tagger: `auto`, `spacy` or `lexicon`; see `sememe.probes.tagging`.
        seed: of the permutations.

    Attributes:
        tagger: the one that is used.
    """

    def __init__(self, tagger: str = "auto", seed: int = 0) -> None:
        self.tagger, self._tag = load_tagger(tagger)
        self._rng = np.random.default_rng([seed, 21])

    @property
    def kinds(self) -> Mapping[str, Callable[[str], str]]:
        """The paper's four, in the order of its options."""
        return {
            "nouns and adjectives": self.nouns_adj,
            "all but nouns and adjectives": self.allbut_nouns_adj,
            "within trigrams": self.within_trigrams,
            "trigrams": self.trigrams,
        }

    def nouns_adj(self, text: str) -> str:
        """Nouns permuted among themselves, and adjectives among themselves."""
        words = words_of(text)
        tags = self._tag(words)
        for kind in NOUN_OR_ADJECTIVE:
            self._permute(words, [place for place, tag in enumerate(tags) if tag == kind])
        return " ".join(words)

    def allbut_nouns_adj(self, text: str) -> str:
        """All other tokens, marks too, permuted among themselves."""
        words = words_of(text)
        tags = self._tag(words)
        self._permute(words, [place for place, tag in enumerate(tags) if tag not in NOUN_OR_ADJECTIVE])
        return " ".join(words)

    def within_trigrams(self, text: str) -> str:
        """Groups of three tokens, each permuted inside."""
        words = words_of(text)
        for group in trigrams(range(len(words))):
            self._permute(words, group)
        return " ".join(words)

    def trigrams(self, text: str) -> str:
        """Groups of three tokens in another order."""
        groups = trigrams(words_of(text))
        return " ".join(word for place in self._rng.permutation(len(groups)) for word in groups[place])

    def all_words(self, text: str) -> str:
        """What spaces separate, in another order."""
        words = text.split(" ")
        return " ".join(words[place] for place in self._rng.permutation(len(words)))

    @staticmethod
    def changed(text: str, out: str) -> bool:
        """Whether a perturbation did anything: 1 to 11% of captions come out as they were."""
        return words_of(text) != words_of(out)

    def negatives(self, text: str, kinds: Sequence[str] = tuple(SWAPS), most: int = 5) -> list[str]:
        """Texts in which two words of one kind have changed places; never the text itself, no text twice.

        Args:
            text: what is changed.
            kinds: of `SWAPS`.
            most: how many at most, drawn from all that there are.

        Raises:
            InputError: there is no such kind.
        """
        unknown = sorted(set(kinds) - set(SWAPS))
        if unknown:
            raise InputError(f"there is no kind of swap {unknown[0]!r}", hint=f"Use {', '.join(SWAPS)}")
        words = words_of(text)
        tags, found = self._tag(words), dict[str, None]()
        for kind in kinds:
            places = [place for place, tag in enumerate(tags) if tag == SWAPS[kind]]
            pairs = [(a, b) for n, a in enumerate(places) for b in places[n + 1 :]]
            found |= dict.fromkeys(swap_words(words, a, b) for a, b in pairs if words[a].lower() != words[b].lower())
        options = list(found)
        chosen = self._rng.permutation(len(options))[:most]
        return [options[place] for place in sorted(chosen)]

    def _permute(self, words: list[str], places: Sequence[int]) -> None:
        taken = [words[place] for place in places]
        for place, chosen in zip(places, self._rng.permutation(len(places)), strict=True):
            words[place] = taken[chosen]


def swap_words(words: Sequence[str], first: int, second: int) -> str:
    """The text in which two words have changed places; doing it twice restores it."""
    swapped = list(words)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    return " ".join(swapped)


def trigrams(items: Sequence[Item]) -> list[list[Item]]:
    """Consecutive groups of three; the last one may be shorter."""
    return [list(items[start : start + 3]) for start in range(0, len(items), 3)]
