"""The formats in which papers are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sememe.errors import InputError
from sememe.papers.exporting.bibtex import bibtex_text
from sememe.papers.exporting.json_lines import json_lines_text
from sememe.papers.exporting.kept import Kept
from sememe.papers.exporting.markdown import markdown_text
from sememe.papers.exporting.ris import ris_text
from sememe.papers.exporting.table import csv_text

EXPORTS: dict[str, Callable[[Iterable[Kept]], Iterator[str]]] = {
    "bibtex": bibtex_text,
    "ris": ris_text,
    "csv": csv_text,
    "markdown": markdown_text,
    "jsonl": json_lines_text,
}
_SUFFIXES = {".bib": "bibtex", ".ris": "ris", ".csv": "csv", ".md": "markdown", ".jsonl": "jsonl"}


def export(papers: Iterable[Kept], form: str) -> Iterator[str]:
    """The text of a file, in pieces, in UTF-8 when it is written.

    Raises:
        InputError: there is no such format.

    """
    if form not in EXPORTS:
        raise InputError(f"there is no format {form!r}", hint=f"Use one of {', '.join(EXPORTS)}")
    return EXPORTS[form](papers)


def format_of(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        InputError: it asks for none.

    """
    form = _SUFFIXES.get(path.suffix.lower())
    if form is None:
        hint = f"Name it with one of {', '.join(_SUFFIXES)}, or use --format"
        raise InputError("does not say in which format it is to be written", where=str(path), hint=hint)
    return form
