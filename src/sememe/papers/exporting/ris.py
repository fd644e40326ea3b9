"""RIS, which Zotero, EndNote and Mendeley read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sememe.papers.exporting.kept import Kept
from sememe.papers.identity import known_identities
from sememe.papers.paper import one_line


def ris_text(papers: Iterable[Kept]) -> Iterator[str]:
    """A record a paper. Each value is one line, so that no text can end a record or begin another."""
    for kept in papers:
        lines = [f"{tag}  - {one_line(value)}" for tag, value in _tags(kept) if value.strip()]
        yield "\r\n".join([*lines, "ER  - ", "", ""])


def _tags(kept: Kept) -> Iterator[tuple[str, str]]:
    paper = kept.paper
    identities = dict(reversed([name.split(":", 1) for name in known_identities(paper)]))
    yield "TY", "CPAPER" if paper.venue else "UNPB"
    yield "TI", paper.title
    for author in paper.authors:
        first, _, last = one_line(author).rpartition(" ")
        yield "AU", f"{last}, {first}" if first else last
    if paper.date is not None:
        yield "PY", str(paper.date.year)
        is_year = (paper.date.month, paper.date.day) == (1, 1)
        yield "DA", f"{paper.date.year}///" if is_year else paper.date.strftime("%Y/%m/%d/")
    yield "T2", paper.venue
    yield "DO", identities.get("doi", "")
    # A semicolon would end the address.
    yield "UR", paper.url.replace(";", "%3B")
    yield "AN", f"arXiv:{identities['arxiv']}" if "arxiv" in identities else ""
    for word in (*paper.keywords, *kept.tags):
        yield "KW", word
    yield "AB", paper.abstract
    yield "N1", kept.note
