"""OpenReview's JSON: notes whose content has a title; API 2 wraps each value in an object, API 1 does not."""

from __future__ import annotations

from typing import Any

from sememe.corpus.entries import BadRecordError
from sememe.papers.importing.fields import names_of, text_of
from sememe.papers.importing.records import day_of_epoch, make_paper
from sememe.papers.paper import Paper


def openreview_paper(note: dict[str, Any]) -> Paper:
    """One note: `{"id", "forum", "content": {"title", "abstract", "authors", "keywords", "venue"}, "pdate", "cdate"}`.

    Raises:
        BadRecordError: it holds no title, or cannot be used.

    """
    content = note.get("content")
    if not isinstance(content, dict):
        raise BadRecordError("holds no content", "Each note has an object of that name")
    fields = {name: _value(value) for name, value in content.items()}
    forum = text_of(note, "forum") or text_of(note, "id")
    days = [day_of_epoch(note.get(name)) for name in ("pdate", "odate", "cdate", "tcdate")]
    return make_paper(
        text_of(fields, "title"),
        names=[f"openreview:{forum}" if forum else None, text_of(fields, "doi")],
        abstract=text_of(fields, "abstract"),
        authors=names_of(fields.get("authors")),
        date=next(filter(None, days), None),
        venue=text_of(fields, "venue"),
        keywords=names_of(fields.get("keywords")),
    )


def _value(value: Any) -> Any:
    return value["value"] if isinstance(value, dict) and "value" in value else value
