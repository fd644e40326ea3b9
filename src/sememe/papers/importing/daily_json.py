"""The JSON of a daily-papers API: a list of objects that hold a `paper`."""

from __future__ import annotations

from typing import Any

from sememe.corpus.entries import BadRecordError
from sememe.papers.importing.fields import a_count, names_of, text_of
from sememe.papers.importing.records import make_paper, read_day
from sememe.papers.paper import Paper


def daily_json_paper(entry: dict[str, Any]) -> Paper:
    """One entry: `{"paper": {"id": "2405.12522", "title", "summary", "authors": [{"name"}], "publishedAt"}}`.

    Raises:
        BadRecordError: it holds no paper, or one that cannot be used.

    """
    inner = entry.get("paper")
    if not isinstance(inner, dict):
        raise BadRecordError("holds no paper", "Each entry has an object of that name")
    identifier = text_of(inner, "id")
    published = text_of(inner, "publishedAt") or text_of(entry, "publishedAt")
    return make_paper(
        text_of(inner, "title") or text_of(entry, "title"),
        names=[f"arxiv:{identifier}" if identifier else None],
        abstract=text_of(inner, "summary") or text_of(entry, "summary"),
        authors=names_of(inner.get("authors")),
        date=read_day(published),
        votes=a_count(inner, "upvotes"),
        keywords=names_of(inner.get("ai_keywords")),
    )
