"""The record that the feed is about."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from sememe.errors import InputError

MAX_COUNT = 1 << 40
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


def one_line(text: str) -> str:
    """`text` without line breaks, control characters and halves of surrogate pairs, each run of spaces one space."""
    return " ".join(_CONTROL.sub(" ", text).split())


def is_address(text: str) -> bool:
    """Whether `text` is an address that a page may link to: http or https, and nothing that hides another scheme."""
    return _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as a source describes it, or as the store keeps it.

    Args:
        id: `arxiv:2405.12522`, `doi:10.1000/x`, `acl:2020.acl-main.1`, `openreview:abc`, or `title:` and 16 hexadecimal
            digits of the hash of the normalised title. In a store it never changes, whatever else becomes known.
        title: one line.
        abstract: as the source has it, TeX included.
        authors: their names in order, as the source writes them.
        n_authors: how many there are, where the source names fewer or none of them ("5 authors").
        date: the first day on which it was public; where a source knows only the year, the first of January.
        votes: how many readers voted for it, where the source counts them.
        url: where it can be read; http(s) only.
        venue: the conference, journal or series.
        categories: such as arXiv's; the first is the primary one.
        keywords: the authors' own.
        version: arXiv's vN.
        source: the file or address that it was imported from.
        identities: what else it is known by, in the form of `id`, titles left out.

    Raises:
        InputError: it has no title, or a field holds what it must not.

    """

    id: str
    title: str
    abstract: str = ""
    authors: tuple[str, ...] = ()
    n_authors: int | None = None
    date: datetime.date | None = None
    votes: int | None = None
    url: str = ""
    venue: str = ""
    categories: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    version: int = 1
    source: str = ""
    identities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise InputError(problem, where=self.id or self.title[:80] or "a paper")

    @property
    def author_count(self) -> int | None:
        """How many authors it has; None when the source says nothing about them."""
        if self.n_authors is not None:
            return self.n_authors
        return len(self.authors) or None

    def _problem(self) -> str:
        if not self.title.strip():
            return "has no title"
        lines = (self.id, self.title, self.venue, self.url, self.source, *self.authors, *self.categories)
        if _CONTROL.search(" ".join((*lines, *self.keywords, *self.identities))):
            return "has a line break or another control character where one line of text is expected"
        if self.url and not is_address(self.url):
            return f"has an address that is not http or https: {self.url[:80]}"
        if _NO_TEXT.search(self.abstract):
            return "has an abstract with a character that no text may hold"
        if self.version < 1 or not all(
            0 <= n <= MAX_COUNT for n in (self.version, self.n_authors or 0, self.votes or 0)
        ):
            return "has a version, or a number of authors or votes, that cannot be"
        return ""
