"""BibTeX, as Google Scholar, DBLP, the ACL Anthology and reference managers write it; read with bibtexparser."""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sememe.corpus.document import Skipped
from sememe.corpus.entries import BadRecordError, Problem
from sememe.corpus.streams import MAX_RECORD_BYTES, open_utf8
from sememe.errors import InputError
from sememe.extras import require
from sememe.papers.importing.records import make_paper, month_number, read_day
from sememe.papers.importing.tex import plain_tex
from sememe.papers.importing.text_lines import TextLines
from sememe.papers.paper import Paper

_BLOCK = re.compile(r"\s*@\s*\w+\s*[{(]")
_AT_ONCE = 200
_NOT_PAPERS = frozenset({"proceedings", "conference-proceedings", "xdata", "set"})
_ARXIV = re.compile(r"arXiv[:\s]\s*(\d{4}\.\d{4,5}(?:v\d+)?|[a-z-]+(?:\.[A-Z]{2})?/\d{7})", re.IGNORECASE)


def bibtex_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem | Skipped]:
    """The entries of a file, each with the number of its first line. Volumes of proceedings are left out."""
    bibtexparser = require("bibtexparser", "papers")
    strings = bibtexparser.Library()
    with open_utf8(path, label, encoding) as stream, _quiet():
        lines = TextLines(stream, label)
        for first, text in _pieces(lines):
            yield from lines.problems()
            parsed = bibtexparser.parse_string(text, library=strings)
            strings = bibtexparser.Library(parsed.strings)
            for block in parsed.blocks:
                found = _read(block, first + max(block.start_line or 0, 0), label)
                if found is not None:
                    yield found


def _read(block: Any, number: int, label: str) -> tuple[int, Paper] | Problem | Skipped | None:
    try:
        entry = _entry(block)
        return None if entry is None else (number, _paper(entry))
    except _NotAPaperError as reason:
        return Skipped(f"{label}:{number}", str(reason))
    except BadRecordError as bad:
        return Problem.at(f"{label}:{number}", bad)


class _NotAPaperError(Exception):
    """An entry that is about something else."""


def _pieces(lines: TextLines) -> Iterator[tuple[int, str]]:
    """The text, cut before the first line of an entry every so many entries, with the number of its first line."""
    piece: list[str] = []
    first = entries = length = 1
    for line in lines:
        if _BLOCK.match(line):
            entries += 1
            if entries > _AT_ONCE or length > MAX_RECORD_BYTES // 8:
                yield first, "".join(piece)
                piece, first, entries, length = [], lines.number, 1, 0
        piece.append(line)
        length += len(line)
        if length > MAX_RECORD_BYTES:
            reason = f"has an entry of more than {MAX_RECORD_BYTES >> 20} MiB"
            raise InputError(reason, where=f"{lines.label}:{first}", hint="Close its braces")
    yield first, "".join(piece)


def _entry(block: Any) -> Any:
    """The entry in a block, or None for comments and the like.

    Raises:
        BadRecordError: the block is malformed.

    """
    model = require("bibtexparser.model", "papers")
    if isinstance(block, model.DuplicateBlockKeyBlock | model.DuplicateFieldKeyBlock):
        block = block.ignore_error_block  # a key or a field twice: what the entry says is still clear
        for field in block.fields:  # the parser leaves such an entry's values as they are written
            field.value = _without_delimiters(field.value)
    if isinstance(block, model.ParsingFailedBlock):
        reason = getattr(block.error, "abort_reason", None) or str(block.error)
        raise BadRecordError(
            f"is malformed BibTeX: {' '.join(reason.split()).rstrip('.')}", "Close its braces and quotes"
        )
    return block if isinstance(block, model.Entry) else None


def _without_delimiters(value: str) -> str:
    is_enclosed = len(value) > 1 and (value[0], value[-1]) in (("{", "}"), ('"', '"'))
    return value[1:-1] if is_enclosed else value


def _paper(entry: Any) -> Paper:
    fields = {field.key.lower(): str(field.value) for field in reversed(entry.fields)}
    if entry.entry_type.lower() in _NOT_PAPERS:
        raise _NotAPaperError(f"is @{entry.entry_type}, not a paper")
    if not fields.get("title", "").strip():
        raise BadRecordError(f"has no title ({entry.key[:60]})")
    journal = plain_tex(fields.get("journal", fields.get("journaltitle", "")))
    is_preprint = "arxiv" in journal.lower() or journal.lower() == "corr"
    return make_paper(
        plain_tex(fields["title"]),
        names=_names(fields, journal),
        abstract=plain_tex(fields.get("abstract", "")),
        authors=_people(fields.get("author", "")),
        date=_date(fields),
        url=fields.get("url", ""),
        venue=plain_tex(fields.get("booktitle", "")) or ("" if is_preprint else journal),
        keywords=[word for word in re.split(r"[;,]", plain_tex(fields.get("keywords", ""))) if word.strip()],
        categories=[fields["primaryclass"]] if "primaryclass" in fields else (),
    )


def _names(fields: Mapping[str, str], journal: str) -> list[str]:
    names = [fields.get("doi", ""), fields.get("url", "")]
    kind = fields.get("archiveprefix", fields.get("eprinttype", "arxiv")).lower()
    if kind == "arxiv" and fields.get("eprint"):
        names.append(f"arxiv:{fields['eprint'].strip().removeprefix('arXiv:')}")
    # Google Scholar writes journal={arXiv preprint arXiv:2405.12522}, DBLP volume={abs/2405.12522}.
    found = _ARXIV.search(" ".join([journal, fields.get("note", ""), fields.get("howpublished", "")]))
    volume = fields.get("volume", "")
    return [*names, found[1] if found else "", volume.removeprefix("abs/") if volume.startswith("abs/") else ""]


def _people(text: str) -> list[str]:
    """The authors that are named, first names first."""
    names = require("bibtexparser.middlewares.names", "papers")
    people = names.split_multiple_persons_names(" ".join(text.split()))
    return [_person(names, person) for person in people if person.lower() != "others"]


def _person(names: Any, text: str) -> str:
    if "," in text:
        try:
            parts = names.parse_single_name_into_parts(text, strict=False)
        except names.InvalidNameError as error:
            raise BadRecordError(f"has an author that cannot be read: {text[:60]}", "Write Last, First") from error
        text = " ".join([*parts.first, *parts.von, *parts.last, *parts.jr])
    return plain_tex(text)


def _date(fields: Mapping[str, str]) -> datetime.date | None:
    if (day := read_day(fields.get("date", ""))) is not None:
        return day
    year = read_day(re.sub(r"[{}\s]", "", fields.get("year", "")))
    month = month_number(re.sub(r"[{}\"]", "", fields.get("month", "")).split("~")[0])
    if year is None or month is None:
        return year
    exact = _number(fields.get("day", ""))
    return read_day(f"{year.year}-{month}-{exact or 1}") or year.replace(month=month)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


@contextmanager
def _quiet() -> Iterator[None]:
    """What the parser would log of a malformed entry is said by our own error."""
    logger = logging.getLogger("bibtexparser")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
