"""RSS 2.0, as arXiv announces its day's papers, and the RSS 1.0 that it used before."""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.entries import BadRecordError, Problem
from sememe.papers.importing.fields import names_of
from sememe.papers.importing.records import make_paper, read_day
from sememe.papers.importing.xml_feeds import ARXIV, DC, RSS1, child_text, child_texts, parse_xml, plain
from sememe.papers.paper import Paper

_ANNOUNCED = re.compile(r"\s*arXiv:(?P<id>\S+)\s+Announce Type:\s*(?P<type>[\w-]+)\s*(?:Abstract:)?\s*", re.IGNORECASE)
_OLD_TITLE = re.compile(r"(?P<title>.*?)\.?\s*\((?P<id>arXiv:\S+)\s+\[(?P<category>[\w.-]+)\][^()]*\)\s*", re.DOTALL)


def rss_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The items of a feed, with their ordinals. XML says itself in which encoding it is."""
    root = parse_xml(path, label)
    items = [item for item in root.iter() if item.tag in ("item", f"{RSS1}item")]
    for number, item in enumerate(items, start=1):
        try:
            yield number, _paper(item)
        except BadRecordError as bad:
            yield Problem.at(f"{label}: item {number}", bad)


def _paper(item: Any) -> Paper:
    title = plain(child_text(item, "title", f"{RSS1}title"))
    text = plain(child_text(item, "description", f"{RSS1}description"))
    link = child_text(item, "link", f"{RSS1}link")
    names = [child_text(item, "guid"), link]
    categories = list(child_texts(item, "category"))
    kind = child_text(item, f"{ARXIV}announce_type")
    if match := _ANNOUNCED.match(text):
        names.append(f"arxiv:{match['id']}")
        kind, text = kind or match["type"], text[match.end() :]
    if match := _OLD_TITLE.fullmatch(title):
        title, categories = match["title"], categories or [match["category"]]
        names.append(match["id"])
    doi = child_text(item, f"{ARXIV}DOI", f"{ARXIV}doi")
    return make_paper(
        title,
        names=[*names, f"doi:{doi}" if doi else None],
        abstract=text,
        authors=[
            name for creator in child_texts(item, f"{DC}creator") for name in names_of(plain(creator), comma=True)
        ],
        # A paper that is announced again, because it was replaced, did not appear on that day.
        date=None if kind.startswith("replace") else _day(child_text(item, "pubDate", f"{DC}date")),
        url=link,
        venue=child_text(item, f"{ARXIV}journal_reference"),
        categories=categories,
    )


def _day(text: str) -> datetime.date | None:
    try:
        return email.utils.parsedate_to_datetime(text).date()
    except ValueError:
        return read_day(text)
