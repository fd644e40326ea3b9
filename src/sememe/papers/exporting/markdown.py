"""Markdown, for notes and for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from sememe.papers.exporting.kept import Kept

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>()#+!|~&]")
_LINE_START = re.compile(r"^(\s*)(\d+)([.)])|^(\s*)([-=])", re.MULTILINE)


def markdown_text(papers: Iterable[Kept]) -> Iterator[str]:
    """A section a paper. Titles, abstracts and notes are shown as they are: no Markdown or HTML in them works."""
    yield "# Papers\n"
    for kept in papers:
        paper = kept.paper
        title = escaped(paper.title)
        yield f"\n## {f'[{title}](<{_address(paper.url)}>)' if paper.url else title}\n"
        people = ", ".join(paper.authors) or (f"{paper.author_count} authors" if paper.author_count else "")
        facts = [people, paper.date.isoformat() if paper.date else "", paper.venue, paper.id]
        yield f"\n{' · '.join(escaped(fact) for fact in facts if fact)}\n"
        if paper.abstract:
            yield "\n" + "\n".join(f"> {line}".rstrip() for line in escaped(paper.abstract).splitlines()) + "\n"
        if kept.tags:
            yield f"\nTags: {escaped(', '.join(kept.tags))}\n"
        if kept.note:
            yield f"\n{escaped(kept.note)}\n"


def escaped(text: str) -> str:
    """`text` with a backslash before everything that Markdown would act upon."""
    plain = _SPECIAL.sub(lambda match: "\\" + match[0], text)
    return _LINE_START.sub(_at_line_start, plain)


def _at_line_start(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}\\{match[3]}" if match[2] else f"{match[4]}\\{match[5]}"


def _address(url: str) -> str:
    return quote(url, safe="/?&=%:+,;@!$'()*~-._[]#")
