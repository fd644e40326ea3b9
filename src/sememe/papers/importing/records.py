"""From what a source says about a paper to a `Paper`: cleaned, within limits, with the id that says most."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from sememe.corpus.entries import BadRecordError
from sememe.errors import InputError
from sememe.papers.identity import address_of, arxiv_version, best_identity, parse_identity, ranked
from sememe.papers.paper import MAX_COUNT, Paper, is_address, one_line

MAX_TITLE = 2_000
MAX_ABSTRACT = 1 << 20
MAX_NAMES = 20_000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMERIC_DAY = re.compile(r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?(?:[T /].*)?")
_WRITTEN_DAY = re.compile(r"([A-Za-z]{3,9})\.? (?:(\d{1,2})(?:st|nd|rd|th)?,? )?(\d{4})")
_DAY_FIRST = re.compile(r"(\d{1,2})\.? ([A-Za-z]{3,9})\.?,? (\d{4})")
_PARAGRAPH = re.compile(r"\n\s*\n")


def make_paper(
    title: str,
    *,
    names: Iterable[str | None] = (),
    abstract: str = "",
    authors: Iterable[str] = (),
    n_authors: int | None = None,
    date: datetime.date | None = None,
    votes: int | None = None,
    url: str = "",
    venue: str = "",
    categories: Iterable[str] = (),
    keywords: Iterable[str] = (),
    version: int | None = None,
) -> Paper:
    """A paper from the fields of any source.

    Args:
        title: its title; line breaks and control characters become spaces.
        names: ids and addresses it is known by, as the source writes them; those of no known kind are left out.
        abstract: blank lines stay, other line breaks become spaces.
        authors: their names.
        n_authors: how many there are.
        date: when it appeared.
        votes: how many readers voted for it.
        url: its address; one that is not http or https is left out, and its id's own address stands in its place.
        venue: where it appeared.
        categories: such as arXiv's.
        keywords: the authors' own.
        version: arXiv's vN, if it is not in `names`.

    Raises:
        BadRecordError: it has no title, or a field is too long to be what it says.

    """
    title = one_line(title)
    if not title:
        raise BadRecordError("has no title")
    if len(title) > MAX_TITLE:
        raise BadRecordError(f"has a title of {len(title):,} characters; {MAX_TITLE:,} are allowed")
    if len(abstract) > MAX_ABSTRACT:
        raise BadRecordError(f"has an abstract of {len(abstract):,} characters; {MAX_ABSTRACT:,} are allowed")
    said = [one_line(name) for name in (*names, url) if name]
    identities = ranked(parse_identity(name) for name in said)
    versions = [number for number in map(arxiv_version, said) if number]
    best = best_identity(identities, title)
    try:
        return Paper(
            id=best,
            title=title,
            abstract=paragraphs(abstract),
            authors=_lines(authors),
            n_authors=_count(n_authors, "authors"),
            date=date,
            votes=_count(votes, "votes"),
            url=_address(url) or address_of(best),
            venue=one_line(venue)[:MAX_TITLE],
            categories=_lines(categories),
            keywords=_lines(keywords),
            version=max([version or 1, *versions]),
            identities=tuple(name for name in identities if name != best),
        )
    except InputError as error:
        raise BadRecordError(error.message, error.hint) from None


def paragraphs(text: str) -> str:
    """`text` with each paragraph on one line and a blank line between two."""
    return "\n\n".join(filter(None, map(one_line, _PARAGRAPH.split(text.replace("\r\n", "\n").replace("\r", "\n")))))


def read_day(text: str) -> datetime.date | None:
    """The day that a text names: `2024-05-21`, `2024/05/21/`, `May 21, 2024`, `21 May 2024`, a month or a year.

    ISO 8601 moments are read too; of them the day counts.

    A month stands for its first day, a year for the first of January. None when it names none.
    """
    text = one_line(text)
    if match := _NUMERIC_DAY.fullmatch(text):
        return _day(match[1], match[2] or "1", match[3] or "1")
    if match := _WRITTEN_DAY.fullmatch(text):
        return _day(match[3], str(month_number(match[1]) or 0), match[2] or "1")
    if match := _DAY_FIRST.fullmatch(text):
        return _day(match[3], str(month_number(match[2]) or 0), match[1])
    return None


def month_number(text: str) -> int | None:
    """1 to 12 for `5`, `05`, `May` or `may.`; None for anything else."""
    text = one_line(text).rstrip(".").lower()
    if text.isascii() and text.isdigit() and len(text) < 3:
        return int(text) if 1 <= int(text) <= 12 else None
    return _MONTHS.index(text[:3]) + 1 if text[:3] in _MONTHS else None


def day_of_epoch(milliseconds: Any) -> datetime.date | None:
    """The day (UTC) of a number of milliseconds since 1970; None when it is no such number."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    try:
        return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).date()
    except (OverflowError, ValueError, OSError):
        return None


def _day(year: str, month: str, day: str) -> datetime.date | None:
    try:
        return datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None


def _address(url: str) -> str:
    url = one_line(url)
    return url if is_address(url) else ""


def _lines(texts: Iterable[str]) -> tuple[str, ...]:
    found = tuple(filter(None, map(one_line, texts)))
    if len(found) > MAX_NAMES or any(len(text) > MAX_TITLE for text in found):
        raise BadRecordError(f"has a list of {len(found):,} names, or a name that is too long to be one")
    return found


def _count(number: int | None, what: str) -> int | None:
    if number is not None and not 0 <= number <= MAX_COUNT:
        raise BadRecordError(f"has {number} {what}")
    return number
