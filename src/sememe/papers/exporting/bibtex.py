"""BibTeX, for biber or any engine that reads UTF-8."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sememe.papers.database import folded
from sememe.papers.exporting.kept import Kept
from sememe.papers.identity import known_identities
from sememe.papers.paper import Paper, one_line

_FORMULA = re.compile(r"(?<!\\)(\$(?:[^$\\]|\\.)+\$)")
_SPECIAL = re.compile(r"(?<!\\)[&%#_~^]")
_ESCAPES = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_BACKSLASH = re.compile(r"\\(?![A-Za-z&%#_{}$\"'`^~=.,;:! -])")
_BRACE = re.compile(r"\\?[{}]")
_BRACE_CHARACTER = re.compile(r"[{}]")
_BARE_BRACE = re.compile(r"(?<!\\)[{}]")
_MINOR = frozenset({"a", "an", "the", "on", "in", "of", "for", "and", "to", "towards", "toward", "with", "from", "is"})


def bibtex_text(papers: Iterable[Kept]) -> Iterator[str]:
    """An entry a paper; a citation key is the first author's last name, the year and a word of the title."""
    taken: set[str] = set()
    for kept in papers:
        key = _unique(_key(kept.paper), taken)
        kind = "inproceedings" if kept.paper.venue else "misc"
        lines = [f"  {name} = {{{value}}}," for name, value in _fields(kept) if value]
        yield "\n".join([f"@{kind}{{{key},", *lines, "}", "", ""])


def tex_text(text: str) -> str:
    r"""`text` so that TeX shows it as it is: `&`, `%`, `#`, `_`, `~` and `^` are escaped; formulas (`$...$`) stay.

    Where braces do not pair, all go, because one of them would take the rest of the file with it.
    """
    text = one_line(text)
    pieces = _FORMULA.split(text if _is_paired(text) else _BRACE.sub("", text))
    if len(pieces) == 1:
        pieces = [re.sub(r"(?<!\\)\$", r"\\$", pieces[0])]  # a lone dollar would open a formula
    pieces = [
        piece if number % 2 else _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\\" + match[0]), piece)
        for number, piece in enumerate(pieces)
    ]
    return _BACKSLASH.sub(r"\\textbackslash{}", "".join(pieces))


def _fields(kept: Kept) -> Iterator[tuple[str, str]]:
    paper = kept.paper
    identities = dict(reversed([name.split(":", 1) for name in known_identities(paper)]))
    # In doubled braces a title keeps its capitals.
    yield "title", f"{{{tex_text(paper.title)}}}"
    yield "author", " and ".join(_author(name) for name in paper.authors)
    if paper.date is not None:
        yield "year", str(paper.date.year)
        if (paper.date.month, paper.date.day) != (1, 1):
            yield "month", str(paper.date.month)
            yield "day", str(paper.date.day)
    yield "booktitle", tex_text(paper.venue)
    yield "doi", _verbatim(identities.get("doi", ""))
    if "arxiv" in identities:
        yield "eprint", identities["arxiv"]
        yield "archiveprefix", "arXiv"
        yield "primaryclass", _verbatim(next(iter(paper.categories), ""))
    yield "url", _verbatim(paper.url)
    yield "keywords", ", ".join(tex_text(word) for word in (*paper.keywords, *kept.tags))
    yield "abstract", tex_text(paper.abstract)
    yield "annote", tex_text(kept.note)


def _author(name: str) -> str:
    """A name that BibTeX would take apart at a comma or at "and" is kept together by braces."""
    text = tex_text(name)
    return f"{{{text}}}" if "," in text or " and " in f" {text.lower()} " else text


def _verbatim(text: str) -> str:
    """An address or a DOI, in which only braces, backslashes and spaces could do harm."""
    return re.sub(r"[{}\\\s]", lambda match: f"%{ord(match[0]):02X}", text)


def _key(paper: Paper) -> str:
    last = re.sub(r"[^a-z]", "", folded(paper.authors[0].split()[-1])) if paper.authors else ""
    words = [word for word in re.findall(r"[a-z0-9]+", folded(paper.title)) if word not in _MINOR]
    year = str(paper.date.year) if paper.date else ""
    return f"{last or 'anonymous'}{year}{next(iter(words), '')}"


def _unique(key: str, taken: set[str]) -> str:
    found, number = key, 1
    while found in taken:
        number += 1
        found = f"{key}-{number}"
    taken.add(found)
    return found


def _is_paired(text: str) -> bool:
    """Whether braces pair for BibTeX, which counts every one, and for tools that leave out those behind a backslash."""
    return all(_pair(pattern.findall(text)) for pattern in (_BRACE_CHARACTER, _BARE_BRACE))


def _pair(braces: list[str]) -> bool:
    depth = 0
    for brace in braces:
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0
