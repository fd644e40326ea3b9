"""Lists of papers for other programs: Atom, JSON Feed, and the formats of reference managers."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from sememe.papers import Paper
from sememe.papers.digest import in_words
from sememe.papers.exporting import export, kept
from sememe.papers.message import DigestEntry
from sememe.papers.syndication import ATOM_TYPE, JSON_TYPE, Channel, atom_feed, json_feed
from sememe.web.papers_asked import FeedAsked, SearchAsked
from sememe.web.papers_desk import Found, PapersDesk

EXPORT_TYPES = {
    "bibtex": ("application/x-bibtex", "bib"),
    "ris": ("application/x-research-info-systems", "ris"),
    "csv": ("text/csv", "csv"),
    "markdown": ("text/markdown", "md"),
    "jsonl": ("application/jsonl", "jsonl"),
}
_NEVER = datetime.date(1970, 1, 1)


def feed_routes(desk: PapersDesk) -> APIRouter:
    """The routes of the two kinds of feeds; the same list as the page with the same parameters."""
    routes = APIRouter()

    @routes.get("/feed.atom")
    def atom(request: Request) -> Response:
        channel, entries = _listed(desk, request)
        return Response(atom_feed(channel, entries), media_type=f"{ATOM_TYPE}; charset=utf-8")

    @routes.get("/feed.json")
    def json(request: Request) -> Response:
        channel, entries = _listed(desk, request)
        return JSONResponse(json_feed(channel, entries), media_type=JSON_TYPE)

    @routes.get("/export/{form}")
    def export_file(form: str, request: Request) -> Response:
        if form not in EXPORT_TYPES:
            raise HTTPException(404, "papers are not written in that format")
        text = "".join(export(kept(desk.store, _exported(desk, request)), form))
        kind, suffix = EXPORT_TYPES[form]
        return Response(
            text.encode(),
            media_type=f"{kind}; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="papers.{suffix}"'},
        )

    return routes


def _exported(desk: PapersDesk, request: Request) -> list[Paper]:
    """One paper by its id, or all that a search finds."""
    if "id" in request.query_params:
        return [desk.store.paper(request.query_params["id"])]
    return [paper for paper, _, _ in desk.everything(SearchAsked.read(request.query_params.multi_items()))]


def _listed(desk: PapersDesk, request: Request) -> tuple[Channel, list[DigestEntry]]:
    searched = SearchAsked.read(request.query_params.multi_items())
    if searched.is_empty:
        asked, feed = desk.feed(FeedAsked.read(request.query_params))
        found: Sequence[Found] = [(entry.paper, entry.reasons, entry.score) for entry in feed.entries]
        title = f"Papers for “{asked.interest}”" if asked.order == "for-me" else f"Papers, {asked.order}"
        page = asked.url()
    else:
        # Whoever follows a search wants what is new in it, not what fits best for ever.
        found, _ = desk.search(dataclasses.replace(searched, page=1))
        found = sorted(found, key=lambda one: one[0].date or _NEVER, reverse=True)
        title, page = f"Papers: {searched.query or searched.mark or searched.tag or 'more like these'}", searched.url()
    base = f"{request.url.scheme}://{request.headers['host']}"  # the guard has let only our own names pass
    newest = max((paper.date for paper, _, _ in found if paper.date), default=_NEVER)
    updated = datetime.datetime.combine(newest, datetime.time(), datetime.UTC)
    query = f"?{request.url.query}" if request.url.query else ""
    channel = Channel(title, base + page, f"{base}{request.url.path}{query}", base, updated)
    return channel, [DigestEntry(paper, in_words(reasons)) for paper, reasons, _ in found]
