"""The formats that are read, and how each is recognised from what a file holds."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from sememe.corpus.document import Skipped
from sememe.corpus.entries import BadRecordError, Problem
from sememe.corpus.json_lines import parse
from sememe.corpus.streams import open_utf8
from sememe.errors import InputError
from sememe.papers.importing.atom import atom_papers
from sememe.papers.importing.bibtex import bibtex_papers
from sememe.papers.importing.daily_page import AUTHORS, daily_page
from sememe.papers.importing.json_papers import LISTS, json_papers
from sememe.papers.importing.lines import csv_papers, json_lines_papers, tsv_papers
from sememe.papers.importing.ris import ris_papers
from sememe.papers.importing.rss import rss_papers
from sememe.papers.paper import Paper

Entry = tuple[int, Paper] | Problem | Skipped
Reader = Callable[[Path, str, str], Iterator[Entry]]

FORMATS: dict[str, Reader] = {
    "daily-page": daily_page,
    "json": json_papers,
    "atom": atom_papers,
    "rss": rss_papers,
    "bibtex": bibtex_papers,
    "ris": ris_papers,
    "jsonl": json_lines_papers,
    "csv": csv_papers,
    "tsv": tsv_papers,
}

WHAT = (
    "Papers are read from the text of a daily-papers page, the JSON of such a page's API or of OpenReview, Atom and "
    "RSS, BibTeX, RIS, JSON lines, and CSV or TSV with a column 'title'"
)
_HEAD = 1 << 16
_ROOT = re.compile(r"<(?:\w+:)?(?P<name>feed|rss|RDF|html)\b", re.IGNORECASE)
_ROOTS = {"feed": "atom", "rss": "rss", "rdf": "rss"}
_BIBTEX = re.compile(r"^\s*@\s*(?:string|comment|preamble|[a-z-]+)\s*[{(]", re.IGNORECASE | re.MULTILINE)
_RIS = re.compile(r"^TY  -", re.MULTILINE)


def recognise(path: Path, label: str, encoding: str) -> str:
    """The format of a file, from its first 64 KiB.

    Raises:
        InputError: it is none of `FORMATS`.

    """
    with open_utf8(path, label, encoding) as stream:
        head = stream.read(_HEAD).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not head:
        raise InputError("is empty", where=label, hint="Check the path")
    if head.startswith("<"):
        return _of_xml(head, label)
    if head.startswith(("{", "[")):
        return _of_json(head)
    if _RIS.search(head):
        return "ris"
    if _BIBTEX.search(head):
        return "bibtex"
    table = _of_table(head)
    if table:
        return table
    if any(AUTHORS.fullmatch(line) for line in head.splitlines()):
        return "daily-page"
    raise InputError("is of no format that is known", where=label, hint=f"{WHAT}; force one with --format")


def _of_xml(head: str, label: str) -> str:
    root = _ROOT.search(head)
    name = root["name"].lower() if root else ""
    if name in _ROOTS:
        return _ROOTS[name]
    if name == "html" or head.lower().startswith("<!doctype html"):
        hint = "Save the page as text, or import its API's JSON or its feed"
        raise InputError("is a web page, which has no format that lasts", where=label, hint=hint)
    raise InputError("is XML, but neither Atom nor RSS", where=label, hint=WHAT)


def _of_json(head: str) -> str:
    if head.startswith("["):
        return "json"
    first, newline, rest = head.partition("\n")
    try:
        record = parse(first)
    except BadRecordError:
        # A first line that is malformed, or longer than what was read: lines, if others begin as it does.
        is_lines = rest.lstrip().startswith("{") if newline else len(head) > _HEAD // 2
        return "jsonl" if is_lines else "json"
    is_paper = "title" in {name.lower() for name in record}
    holds_papers = any(isinstance(record.get(name), list) for name in LISTS)
    return "json" if holds_papers and not is_paper and not rest.strip() else "jsonl"


def _of_table(head: str) -> str | None:
    first = head.partition("\n")[0].rstrip("\r")
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        try:
            columns = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error:
            continue
        if "title" in [column.strip().lower() for column in columns]:
            return name
    return None
