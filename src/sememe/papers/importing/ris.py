"""RIS, as reference managers write it; its records are read by rispy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.entries import BadRecordError, Problem
from sememe.corpus.streams import Lines, open_utf8
from sememe.extras import require
from sememe.papers.importing.fields import names_of
from sememe.papers.importing.records import make_paper, read_day
from sememe.papers.paper import Paper

_TAG = re.compile(r"(?P<tag>[A-Z][A-Z0-9])  -")
MAX_LINES = 50_000


def ris_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The records of a file, each with the number of its first line."""
    require("rispy", "papers")
    with open_utf8(path, label, encoding) as stream:
        records = _Records(Lines(stream))
        while True:
            try:
                record = records.next()
                if record is None:
                    return
                yield records.first, _paper(record)
            except BadRecordError as bad:
                yield Problem.at(f"{label}:{records.first}", bad)


class _Records:
    """The lines from each `TY` to its `ER`; `first` is the number of the first line of the last one, good or bad."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._began: tuple[int, str] | None = None
        self.first = 1

    def next(self) -> list[str] | None:
        """The next record, or None behind the last one.

        Raises:
            BadRecordError: it is cut short or too long, or something stands outside of a record.

        """
        start = self._began or self._next_start()
        self._began = None
        if start is None:
            return None
        self.first, line = start
        record = [line]
        for line in self._lines:
            text, tag = line.rstrip("\r\n"), _tag(line)
            if tag == "ER":
                return record
            if tag == "TY":
                self._began = self._lines.number, text
                raise _cut_short()
            if len(record) >= MAX_LINES:
                raise BadRecordError(f"is a record of more than {MAX_LINES:,} lines")
            record.append(text)
        raise _cut_short()

    def _next_start(self) -> tuple[int, str] | None:
        self.first = self._lines.number + 1
        for line in self._lines:
            self.first = self._lines.number
            if _tag(line) == "TY":
                return self.first, line.rstrip("\r\n")
            if line.strip() and not line.strip().rstrip(".").isdigit():  # some tools number their records
                raise BadRecordError("stands outside of a record", "A record begins with a line 'TY  - '")
        return None


def _tag(line: str) -> str:
    return match["tag"] if (match := _TAG.match(line)) else ""


def _cut_short() -> BadRecordError:
    return BadRecordError("is a record without its end", "A record ends with a line 'ER  - '")


def _paper(lines: list[str]) -> Paper:
    rispy = require("rispy", "papers")
    found = rispy.RisParser(skip_unknown_tags=True).parse_lines(iter([*lines, "ER  - "]))
    if not found:
        raise BadRecordError("is a record with nothing in it")
    fields: dict[str, Any] = found[0]

    def text(*names: str) -> str:
        return next((str(fields[name]) for name in names if fields.get(name)), "")

    urls = [url for url in fields.get("urls", []) if url]
    return make_paper(
        text("title", "primary_title"),
        names=[text("doi"), *urls, text("accession_number"), text("id"), text("number")],
        abstract=text("abstract", "notes_abstract"),
        authors=names_of([*fields.get("authors", []), *fields.get("first_authors", [])]),
        date=_date(text("date"), text("year", "publication_year")),
        url=next(iter(urls), ""),
        venue=text("journal_name", "secondary_title", "alternate_title3", "alternate_title2", "tertiary_title"),
        keywords=fields.get("keywords", []),
    )


def _date(date: str, year: str) -> Any:
    """RIS writes 2024/05/21/, with empty parts where it knows less."""
    for text in (date, year):
        parts = [part for part in text.split("/")[:3] if part.strip()]
        if parts and (day := read_day("-".join(parts))) is not None:
            return day
    return None
