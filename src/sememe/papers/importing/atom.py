"""Atom, as the arXiv API answers and as feeds of papers are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.entries import BadRecordError, Problem
from sememe.papers.importing.records import make_paper, read_day
from sememe.papers.importing.xml_feeds import ARXIV, ATOM, child_text, parse_xml, plain
from sememe.papers.paper import Paper


def atom_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The entries of a feed, with their ordinals. XML says itself in which encoding it is."""
    for number, entry in enumerate(parse_xml(path, label).iter(f"{ATOM}entry"), start=1):
        try:
            yield number, _paper(entry)
        except BadRecordError as bad:
            yield Problem.at(f"{label}: entry {number}", bad)


def _paper(entry: Any) -> Paper:
    links = [link for link in entry.iterfind(f"{ATOM}link") if link.get("rel", "alternate") == "alternate"]
    url = next((link.get("href", "") for link in links), "")
    doi = child_text(entry, f"{ARXIV}doi")
    primary = [tag.get("term", "") for tag in entry.iterfind(f"{ARXIV}primary_category")]
    terms = [tag.get("term", "") for tag in entry.iterfind(f"{ATOM}category")]
    people = [child_text(author, f"{ATOM}name") for author in entry.iterfind(f"{ATOM}author")]
    return make_paper(
        _text(entry, "title"),
        names=[child_text(entry, f"{ATOM}id"), url, f"doi:{doi}" if doi else None],
        abstract=_text(entry, "summary") or _text(entry, "content"),
        authors=people,
        date=read_day(child_text(entry, f"{ATOM}published", f"{ATOM}updated")),
        url=url,
        venue=child_text(entry, f"{ARXIV}journal_ref"),
        categories=dict.fromkeys([*primary, *terms]),
    )


def _text(entry: Any, name: str) -> str:
    """A text construct (RFC 4287, 3.1): text as it is, unless it says that it is HTML."""
    found = entry.find(f"{ATOM}{name}")
    if found is None:
        return ""
    text = "".join(found.itertext()).strip()
    return plain(text) if found.get("type") == "html" else text
