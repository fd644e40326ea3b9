"""The text of a saved daily-papers page, as a browser saves or copies it.

A paper is its title, its abstract, a line `• 5 authors`, a dot, and the day it appeared, followed by its votes if there
are any:

    Matryoshka Representation Learning

    Learned representations are a central component in modern ML systems ...

      • 11 authors
    ·
    May 26, 2022 2

What stands above the first title (the page's head and its day) is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sememe.corpus.entries import BadRecordError, Problem
from sememe.corpus.streams import open_utf8
from sememe.papers.importing.records import make_paper, read_day
from sememe.papers.importing.text_lines import TextLines
from sememe.papers.paper import Paper

AUTHORS = re.compile(r"\s*(?:[•·*-]\s*)?(?P<count>\d{1,5}) authors?\s*")
_DAY = re.compile(r"(?P<day>[A-Z][a-z]{2,8}\.? \d{1,2}, \d{4})(?:\s+(?P<votes>\d+))?")
_HEAD_DAY = re.compile(r"[A-Z][a-z]{2,8}\.? \d{1,2}(?:, \d{4})?")
_HEAD = frozenset(
    ("new", "get trending papers in your email inbox!", "subscribe", "daily papers", "byak and the research community")
)
_DOTS = frozenset("·•-–—|")


def daily_page(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The papers of a page with the number of the line on which each one's title stands."""
    with open_utf8(path, label, encoding) as stream:
        is_first = True
        text = TextLines(stream, label)
        for block in _blocks(text):
            yield from text.problems()
            lines = _without_head(block) if is_first else block
            lines = [(number, text) for number, text in lines if not text.isdigit()]  # votes beside another paper
            is_first = False
            try:
                yield lines[0][0], _paper([text for _, text in lines])
            except BadRecordError as bad:
                yield Problem.at(f"{label}:{lines[0][0]}", bad)
        yield from text.problems()


def _blocks(lines: TextLines) -> Iterator[list[tuple[int, str]]]:
    """The lines that are not empty, with their numbers, up to and including each line that ends a paper."""
    block: list[tuple[int, str]] = []
    is_counted = False
    for line in lines:
        text = line.strip()
        if is_counted and text and text not in _DOTS and not _DAY.fullmatch(text):
            yield block  # there is no day where one belongs; `_paper` says so
            block, is_counted = [], False
        if text and text not in _DOTS:
            block.append((lines.number, text))
            is_counted = is_counted or AUTHORS.fullmatch(text) is not None
        if is_counted and _DAY.fullmatch(text):
            yield block
            block, is_counted = [], False
    if is_counted:
        yield block


def _without_head(block: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """A page's first block without its head, which ends with the page's own day, such as "Jan 8"."""
    last = next(number for number, (_, text) in enumerate(block) if AUTHORS.fullmatch(text))
    days = [number for number, (_, text) in enumerate(block[:last]) if _HEAD_DAY.fullmatch(text)]
    block = block[days[0] + 1 :] if days else block
    return [(number, text) for number, text in block if text.lower() not in _HEAD]


def _paper(lines: list[str]) -> Paper:
    where = next(number for number, text in enumerate(lines) if AUTHORS.fullmatch(text))
    count, day = AUTHORS.fullmatch(lines[where]), _DAY.fullmatch(lines[-1])
    if not where or count is None:
        raise BadRecordError("has a number of authors, but no title above it")
    date = read_day(day["day"]) if day else None
    if day is None or date is None:
        reason = f"has no day behind its authors: {lines[0][:60]}"
        raise BadRecordError(reason, "A paper ends with a line like Sep 25, 2025")
    return make_paper(
        lines[0],
        abstract="\n\n".join(lines[1:where]),
        n_authors=int(count["count"]),
        date=date,
        votes=int(day["votes"]) if day["votes"] else None,
    )
