"""JSON that is one value: a list of papers, or an object that holds one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.entries import BadRecordError, Problem
from sememe.corpus.json_lines import load
from sememe.corpus.streams import decode, open_utf8
from sememe.errors import InputError
from sememe.papers.importing.daily_json import daily_json_paper
from sememe.papers.importing.fields import paper_from_fields
from sememe.papers.importing.openreview import openreview_paper
from sememe.papers.paper import Paper

MAX_BYTES = 256 << 20
LISTS = ("notes", "papers", "data", "results", "items", "entries")


def json_papers(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Paper] | Problem]:
    """The papers of a list, with their ordinals, each read as what it looks like.

    An entry with `paper` is a daily-papers API's, one with `content` OpenReview's; others have fields of usual names.

    Raises:
        InputError: it is no JSON, or holds no list of objects.

    """
    for number, entry in enumerate(_entries(path, label, encoding), start=1):
        try:
            if not isinstance(entry, dict):
                raise BadRecordError(f"is not an object: {str(entry)[:40]}")
            yield number, paper_from_object(entry)
        except BadRecordError as bad:
            yield Problem.at(f"{label}: record {number}", bad)


def paper_from_object(entry: dict[str, Any]) -> Paper:
    """A paper from an object of any of these kinds.

    Raises:
        BadRecordError: it holds no title, or cannot be used.

    """
    if isinstance(entry.get("paper"), dict):
        return daily_json_paper(entry)
    return openreview_paper(entry) if isinstance(entry.get("content"), dict) else paper_from_fields(entry)


def _entries(path: Path, label: str, encoding: str) -> list[Any]:
    with open_utf8(path, label, encoding) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        hint = "Make it JSON lines, one object a line: jq -c '.[]' FILE.json > FILE.jsonl"
        raise InputError(f"is JSON of more than {MAX_BYTES >> 20} MiB", where=label, hint=hint)
    try:
        value = load(decode(data))
    except BadRecordError as bad:
        raise InputError(bad.reason, where=label, hint="Save or download it again") from None
    if isinstance(value, dict):
        value = next((value[name] for name in LISTS if isinstance(value.get(name), list)), [value])
    if not isinstance(value, list):
        raise InputError("is JSON, but neither an object nor a list", where=label)
    return value
