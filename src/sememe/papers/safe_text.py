"""Texts of papers made safe for where they are written: one line of a header, a plain body, XML."""

from __future__ import annotations

import re
import unicodedata

# Marks that turn the direction of what follows: a title with one could make the line after it read backwards.
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
# All that XML 1.0 allows (its production 2) but the surrogates, which are no characters.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANK = ("Cc", "Zl", "Zp")
_DROPPED = ("Cf", "Cs", "Co", "Cn")
_JOINERS = "\u200c\u200d"  # emoji and several scripts are written with them


def header_text(text: str, limit: int = 200) -> str:
    """A text on one line: line ends and other controls become spaces, invisible marks go.

    Without this a title with a line end in it could add headers of its own.
    """
    letters = []
    for letter in text:
        kind = unicodedata.category(letter)
        if kind in _BLANK:
            letters.append(" ")
        elif kind not in _DROPPED or letter in _JOINERS:
            letters.append(letter)
    return shortened(" ".join("".join(letters).split()), limit)


def body_text(text: str) -> str:
    """A text of a paper on one line of an e-mail, without what could reorder or hide what stands around it."""
    return " ".join(_NOT_XML.sub(" ", _DIRECTION.sub("", text)).split())


def xml_text(text: str) -> str:
    """A text with only the characters that XML allows."""
    return _NOT_XML.sub("\ufffd", text)


def shortened(text: str, limit: int) -> str:
    """At most so many characters, cut between words where that is possible."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip(" ,;:") + "…"
