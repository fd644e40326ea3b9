"""The pages of a feed folder: the feed, a paper, search, the map. None of them changes anything."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from sememe.errors import InputError
from sememe.papers import Paper
from sememe.papers.feed import FEED_ORDERS, PERIODS
from sememe.papers.for_me import DEFAULT
from sememe.web.form_keys import FormKeys
from sememe.web.papers_asked import PER_PAGE, SEARCH_MODES, WHERE, FeedAsked, SearchAsked, interest_url, paper_url
from sememe.web.papers_desk import PapersDesk
from sememe.web.papers_links import links
from sememe.web.papers_rows import atom_hue, chips, row, rows, written_day
from sememe.web.papers_text import rendered
from sememe.web.rendering import Renderer

N_SIMILAR = 10
NAVIGATION = [
    ("/", "Feed"),
    ("/search", "Search"),
    ("/interests", "Interests"),
    ("/map", "Map"),
    ("/subscriptions", "E-mail"),
]
PERIOD_NAMES = {"day": "Day", "week": "Week", "month": "Month", "all": "All"}
FORMATS = [("bibtex", "BibTeX"), ("ris", "RIS"), ("csv", "CSV"), ("markdown", "Markdown")]
ORDER_NAMES = {"newest": "Newest", "trending": "Trending", "for-me": "For me"}


def paper_routes(desk: PapersDesk, renderer: Renderer, keys: FormKeys) -> APIRouter:
    """The routes that answer with HTML; each is a reading of the address, the desk and a template."""
    routes = APIRouter()

    @routes.get("/")
    def feed(request: Request) -> Response:
        asked, found = desk.feed(FeedAsked.read(request.query_params))
        entries = rows(desk.store, [(e.paper, e.reasons, e.score or None) for e in found.entries])
        return renderer.page(
            "papers_feed.html",
            asked=asked,
            feed=found,
            rows=entries,
            title=_title(found.since, found.until),
            earlier=_day_before(found.since),
            later=_day_after(found.until, desk),
            period=_period(found.since, found.until),
            n_pages=max(1, -(-found.total // PER_PAGE)),
            interests=sorted({DEFAULT, *(interest.name for interest in desk.store.interests())}),
            periods=[(period, PERIOD_NAMES[period]) for period in PERIODS],
            orders=[(order, ORDER_NAMES[order]) for order in FEED_ORDERS],
            form_key=keys.new(),
            back=_address(request),
        )

    @routes.get("/search")
    def search(request: Request) -> Response:
        asked = SearchAsked.read(request.query_params.multi_items())
        if "form" in request.query_params:
            return RedirectResponse(asked.url(page=1), 303)
        found, total = desk.search(asked) if not asked.is_empty else ([], 0)
        chosen = [(kind, desk.store.paper(id)) for kind in ("like", "unlike") for id in getattr(asked, kind)]
        return renderer.page(
            "papers_search.html",
            asked=asked,
            rows=rows(desk.store, found),
            chosen=[(kind, paper, rendered(paper.title)) for kind, paper in chosen],
            total=total,
            n_pages=max(1, -(-total // PER_PAGE)),
            n_papers=len(desk.store),
            modes=SEARCH_MODES,
            where=WHERE,
            tags=desk.store.all_tags(),
            note=desk.collection.note if found and not asked.is_empty else "",
            form_key=keys.new(),
            back=_address(request),
        )

    @routes.get("/paper/{paper_id:path}")
    def paper(paper_id: str, request: Request) -> Response:
        shown = _paper(desk, paper_id)
        order = "date" if request.query_params.get("sort") == "date" else "likeness"
        similar, missing = desk.similar(shown.id, N_SIMILAR, order)
        return renderer.page(
            "papers_paper.html",
            row=row(shown, desk.about(shown.id), desk.store.marks([shown.id])[shown.id]),
            for_me=chips(desk.for_me(shown.id)),
            similar=rows(desk.store, similar),
            missing=missing,
            order=order,
            links=links(shown, desk.store.identities(shown.id)),
            authors=shown.authors,
            interests=[interest for interest in desk.store.interests() if interest.name != DEFAULT],
            note=desk.store.note(shown.id),
            tags=desk.store.tags(shown.id),
            versions=[
                (version, rendered(version.paper.title), rendered(version.paper.abstract))
                for version in desk.store.versions(shown.id)
            ],
            reasons_note=desk.collection.note if similar else "",
            form_key=keys.new(),
            back=_address(request),
        )

    return routes


def shared_names() -> dict[str, Any]:
    """What the templates of a feed folder may use beside the values of a page."""
    return {
        "navigation": NAVIGATION,
        "formats": FORMATS,
        "paper_url": paper_url,
        "interest_url": interest_url,
        "written_day": written_day,
        "atom_hue": atom_hue,
        "called": lambda name: "For me" if name == DEFAULT else name,
    }


def _paper(desk: PapersDesk, paper_id: str) -> Paper:
    try:
        return desk.store.paper(paper_id)
    except InputError:
        raise HTTPException(404, "there is no such paper in this feed") from None


def _title(since: datetime.date | None, until: datetime.date | None) -> str:
    period = _period(since, until)
    if since is None or until is None:
        return "All papers"
    if period == "day":
        return written_day(since)
    if period == "month":
        return f"{since:%B %Y}"
    return f"Week of {written_day(since)}"


def _period(since: datetime.date | None, until: datetime.date | None) -> str:
    if since is None or until is None:
        return "all"
    return {1: "day", 7: "week"}.get((until - since).days + 1, "month")


def _day_before(since: datetime.date | None) -> datetime.date | None:
    return None if since is None else since - datetime.timedelta(days=1)


def _day_after(until: datetime.date | None, desk: PapersDesk) -> datetime.date | None:
    """The first day of the next period, if any paper is so new."""
    if until is None or not desk.store.select(since=until + datetime.timedelta(days=1), limit=1):
        return None
    return until + datetime.timedelta(days=1)


def _address(request: Request) -> str:
    """The address of the page itself, to come back to after a form."""
    path, query = quote(request.scope["path"]), request.url.query
    return f"{path}?{query}" if query else path
