"""Marking words in a text, and choosing the part of it that shows most of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sememe.lexical.words import tokenizer

EXCERPT_CHARACTERS = 380
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?]\s+")


class Piece(NamedTuple):
    """A part of a text, and whether it is a marked word."""

    text: str
    marked: bool


class Highlighter:
    """Marks the words whose stems occur in a query or a label.

    Args:
        words: the query or the label.
        language: the language of the index, whose stemmer is used.
    """

    def __init__(self, words: str, language: str) -> None:
        self._stem = tokenizer(language)
        self._wanted = frozenset(self._stem(words))

    def pieces(self, text: str) -> list[Piece]:
        """All of the text, cut where marks begin and end."""
        found, end = [], 0
        for match in self._matches(text):
            if match.start() > end:
                found.append(Piece(text[end : match.start()], False))
            found.append(Piece(match[0], True))
            end = match.end()
        if end < len(text):
            found.append(Piece(text[end:], False))
        return found

    def excerpt(self, text: str) -> list[Piece]:
        """Some 380 characters of the text, those with the most different wanted words; white space is folded."""
        text = " ".join(text.split())
        if len(text) <= EXCERPT_CHARACTERS:
            return self.pieces(text)
        start = _sentence_start(text, self._best_start(text))
        end = start + EXCERPT_CHARACTERS
        if end < len(text):
            end = max(text.rfind(" ", start + 1, end), start + 1) if " " in text[start + 1 : end] else end
        cut = ("… " if start else "") + text[start:end] + (" …" if end < len(text) else "")
        return self.pieces(cut)

    def _matches(self, text: str) -> Iterable[re.Match[str]]:
        if not self._wanted:
            return []
        return (match for match in _WORD.finditer(text) if self._wanted.intersection(self._stem(match[0])))

    def _best_start(self, text: str) -> int:
        places = [(match.start(), self._stem(match[0])[0]) for match in self._matches(text)]
        best, best_count = 0, 0
        for first, (start, _) in enumerate(places):
            within = {stem for place, stem in places[first:] if place < start + 0.8 * EXCERPT_CHARACTERS}
            if len(within) > best_count:
                best, best_count = start, len(within)
        return best


def _sentence_start(text: str, place: int) -> int:
    """Where to begin so that `place` is near the top: at its sentence, or a few words before it."""
    room = EXCERPT_CHARACTERS // 3
    ends = [match.end() for match in _SENTENCE_END.finditer(text, max(0, place - room), place + 1)]
    if place <= room:
        return 0
    if ends:
        return ends[-1] if ends[-1] <= place else ends[0]
    return text.rfind(" ", 0, place - room // 2) + 1
