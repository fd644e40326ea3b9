"""Folders of text files, and single ones: each file is a document."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.document import Document
from sememe.corpus.entries import BadRecordError, Entry, Problem
from sememe.corpus.html import declared_encoding, html_text
from sememe.corpus.pdf import pdf_text
from sememe.corpus.streams import open_decompressed, read_text
from sememe.corpus.values import check_text
from sememe.errors import InputError

FORMATS = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "restructuredtext",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
}
_MARKDOWN_TITLE = re.compile(r"\s*#[ \t]+(?P<title>[^\n]+?)[ \t#]*(?:\n|\Z)")
_RST_TITLE = re.compile(r"\s*(?:(?P<over>([=\-~^*#+])\2+)\n)?[ \t]*(?P<title>\S[^\n]*)\n([=\-~^*#+])\4+[ \t]*(?:\n|\Z)")


def file_format(name: str) -> str | None:
    """How a file of that name is read, or None when it is not read. A text file may be compressed (`.txt.gz`)."""
    path = Path(name.lower())
    if path.suffix == ".gz":
        unpacked = FORMATS.get(Path(path.stem).suffix)
        return None if unpacked == "pdf" else unpacked
    return FORMATS.get(path.suffix)


def file_entries(path: Path, label: str, encoding: str) -> Iterator[Entry]:
    """One file as one document; its name is the id."""
    yield _entry(path, path.name, label, 1, encoding)


def folder_entries(folder: Path, label: str, encoding: str) -> Iterator[Entry]:
    """The files in a folder and the folders below it, in the order of their paths; the relative path is the id."""
    number = 0
    for found in walk(folder):
        if isinstance(found, Problem):
            yield found
        elif file_format(found.name):
            number += 1
            relative = found.relative_to(folder).as_posix()
            yield _entry(found, relative, f"{label.rstrip('/')}/{printable(relative)}", number, encoding)


def require_readable(folder: Path) -> None:
    """Refuse a folder in which there is nothing to read.

    Raises:
        InputError: the message says what was found instead.
    """
    others: Counter[str] = Counter()
    for found in walk(folder):
        if isinstance(found, Problem) or file_format(found.name):
            return
        others[found.suffix.lower() or "no extension"] += 1
    seen = ", ".join(f"{count} with {suffix}" for suffix, count in others.most_common(5)) or "no files at all"
    raise InputError(
        f"is a folder with nothing to read (found: {seen})",
        where=str(folder),
        hint=f"Files that are read from a folder: {', '.join(FORMATS)}; name a .jsonl, .csv or .parquet file itself",
    )


def walk(folder: Path) -> Iterator[Path | Problem]:
    """All files below a folder, sorted by path; hidden ones are left out.

    Links are followed, and a folder that is reached a second time is not read again: a loop would never end.
    """
    visited: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            if not path.is_dir():
                yield path
                continue
            status = path.stat()
            if (status.st_dev, status.st_ino) not in visited:
                visited.add((status.st_dev, status.st_ino))
                waiting += sorted((item for item in path.iterdir() if not item.name.startswith(".")), reverse=True)
        except OSError as error:
            yield Problem(printable(str(path)), f"cannot be read ({error.strerror})", "Check its permissions")


def printable(name: str) -> str:
    """A file's name for messages: bytes that are not UTF-8 shown as replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _entry(path: Path, identifier: str, place: str, number: int, encoding: str) -> Entry:
    try:
        if path.exists() and not path.is_file():
            raise BadRecordError("is not a regular file")
        check_text(identifier, "the name of the file")
        title, text, metadata = _read(path, place, encoding)
        for value in (title, text):
            check_text(value, "the text")
    except BadRecordError as bad:
        return Problem.at(place, bad)
    except InputError as error:  # to a folder, a damaged file is a bad record among good ones
        return Problem(place, error.message, error.hint)
    except OSError as error:
        return Problem(place, f"cannot be read ({error.strerror})", "Check its permissions")
    return number, Document(identifier, text, title, metadata)


def _read(path: Path, place: str, encoding: str) -> tuple[str, str, dict[str, Any]]:
    kind = file_format(path.name)
    metadata: dict[str, Any] = {"format": kind}
    if kind == "pdf":
        title, text, metadata["pages"] = pdf_text(path)
        return title, text, metadata
    if kind == "html":
        with open_decompressed(path, place) as stream:
            encoding = declared_encoding(stream.read(4096)) or encoding
        title, text = html_text(read_text(path, place, encoding))
        return title, text, metadata
    title, text = _split_title(read_text(path, place, encoding), kind)
    return title, text, metadata


def _split_title(text: str, kind: str | None) -> tuple[str, str]:
    """A leading heading becomes the title; plain text has none."""
    pattern = {"markdown": _MARKDOWN_TITLE, "restructuredtext": _RST_TITLE}.get(kind or "")
    found = pattern.match(text) if pattern else None
    return (found["title"].strip(), text[found.end() :].lstrip("\n")) if found else ("", text)
