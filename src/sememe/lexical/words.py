"""Cutting text into words for the lexical part: lower case, stop words left out, stemmed."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from sememe.errors import InputError

_WORD = re.compile(r"\w+")


@functools.cache
def tokenizer(language: str) -> Callable[[str], list[str]]:
    """A function from a text to its stems; `none` means no stemmer and no stop words.

    Raises:
        InputError: there is no stemmer for the language.

    """
    if language == "none":
        return lambda text: _WORD.findall(text.lower())
    import Stemmer
    from bm25s.stopwords import STOPWORDS_EN

    if language not in Stemmer.algorithms():
        raise InputError(
            f"there is no stemmer for the language {language!r}",
            hint=f"Use 'none' or one of: {', '.join(sorted(Stemmer.algorithms()))}",
        )
    stem = functools.lru_cache(1 << 18)(Stemmer.Stemmer(language).stemWord)
    ignored = frozenset(STOPWORDS_EN if language == "english" else ())

    def tokenize(text: str) -> list[str]:
        return [stem(word) for word in _WORD.findall(text.lower()) if word not in ignored]

    return tokenize
