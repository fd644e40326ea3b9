"""Papers made ready to be shown in a list: title, facts, abstract, reasons, marks."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sememe.papers import Paper, PaperStore
from sememe.papers.message import authors
from sememe.papers.reasons import Reason
from sememe.web.book import N_HUES
from sememe.web.papers_text import rendered

SHOWN_REASONS = 5
LEAST_SHOWN = 0.005  # what is less would be written as 0.00
_SCATTER = 11  # has no divisor in common with the number of hues, so neighbouring atoms differ in colour


@dataclass(frozen=True)
class Chip:
    """A reason on the page: an atom in its colour, or a word.

    Attributes:
        text: what is read; `title` is all of it, where that is more.
        kind: the reason's kind.
        weight: its part of the score; 0 is not shown.
        hue: a class 0 to 35.
    """

    text: str
    title: str
    kind: str
    weight: float
    hue: int


@dataclass(frozen=True)
class Row:
    """A paper in a list."""

    paper: Paper
    title: Markup
    abstract: Markup
    facts: Sequence[str]
    chips: Sequence[Chip]
    marks: frozenset[str]
    score: float | None = None


def row(paper: Paper, reasons: Sequence[Reason], marks: Iterable[str], score: float | None = None) -> Row:
    """One paper for a list."""
    return Row(
        paper,
        rendered(paper.title),
        rendered(paper.abstract),
        facts(paper),
        chips(reasons),
        frozenset(marks),
        score,
    )


def rows(store: PaperStore, found: Sequence[tuple[Paper, Sequence[Reason], float | None]]) -> list[Row]:
    """Papers with their reasons and scores; their marks are looked up together."""
    marks: Mapping[str, Mapping[str, datetime.datetime]] = store.marks([paper.id for paper, _, _ in found])
    return [row(paper, reasons, marks[paper.id], score) for paper, reasons, score in found]


def facts(paper: Paper) -> list[str]:
    """Authors, date, venue and votes, as far as they are known."""
    votes = f"{paper.votes:,} vote{'s' if paper.votes != 1 else ''}" if paper.votes else ""
    version = f"version {paper.version}" if paper.version > 1 else ""
    known = [authors(paper), written_day(paper.date) if paper.date else "", paper.venue, version, votes]
    return [fact for fact in known if fact]


def chips(reasons: Sequence[Reason]) -> list[Chip]:
    """The strongest reasons as they are shown: atoms by their first two terms, or by all where two would read alike."""
    found: list[Chip] = []
    for reason in reasons[:SHOWN_REASONS]:
        short = ", ".join(reason.label.split(", ")[:2]) if reason.kind == "atom" else reason.label
        text = reason.label if short in [one.text for one in found] else short
        weight = reason.weight if abs(reason.weight) >= LEAST_SHOWN else 0.0
        found.append(Chip(text, reason.label, reason.kind, weight, atom_hue(reason.atom or 0)))
    return found


def atom_hue(atom: int) -> int:
    """The colour of an atom, the same on every page: a class 0 to 35."""
    return atom * _SCATTER % N_HUES


def written_day(day: datetime.date) -> str:
    """A day as people write it: 26 November 2026."""
    return f"{day.day} {day:%B %Y}"
