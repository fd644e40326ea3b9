"""The pages: search, atoms, atlas, the collection's card, a document."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from sememe.web.asked import MODES, Asked
from sememe.web.atlas import HEIGHT, MARGIN, WIDTH, dots
from sememe.web.book import N_HUES, AtomBook
from sememe.web.collection import Collection
from sememe.web.histogram import columns
from sememe.web.listing import SORTS, list_atoms
from sememe.web.notes import card_notes
from sememe.web.rendering import Renderer
from sememe.web.results import answer
from sememe.web.views import atom_view, document_view

N_STARTS = 12


def page_routes(collection: Collection, renderer: Renderer) -> APIRouter:
    """The routes that answer with HTML; each is a reading of the address, the collection and a template."""
    routes = APIRouter()
    map_dots = dots(collection.book) if collection.book else []
    starts = _starts(collection.book) if collection.book else []

    @routes.get("/")
    def search(request: Request) -> Response:
        asked = Asked.read(request.query_params.multi_items())
        if "form" in request.query_params:  # sent by the form: every field, and one parameter a slider
            return RedirectResponse(asked.url, 303)
        results = answer(collection, asked) if asked.query else None
        return renderer.page("search.html", asked=asked, results=results, modes=MODES, starts=starts)

    @routes.get("/atoms")
    def atoms(request: Request) -> Response:
        return renderer.page("atoms.html", listing=list_atoms(collection.atoms, request.query_params), sorts=SORTS)

    @routes.get("/atom/{atom}")
    def atom(atom: int) -> Response:
        book = collection.atoms
        book.check(atom)
        return renderer.page("atom.html", view=atom_view(collection, atom), columns=columns(*book.histogram(atom)))

    @routes.get("/atlas")
    def atlas() -> Response:
        collection.atoms.check(0)
        return renderer.page("atlas.html", dots=map_dots, width=WIDTH, height=HEIGHT, margin=MARGIN)

    @routes.get("/collection")
    def card() -> Response:
        return renderer.page("collection.html", info=collection.info, notes=card_notes(collection))

    @routes.get("/document/{document_id:path}")
    def document(document_id: str, request: Request) -> Response:
        query, row = request.query_params.get("q", ""), request.query_params.get("row", "")
        return renderer.page("document.html", view=document_view(collection, document_id, query, row))

    return routes


def _starts(book: AtomBook) -> list[int]:
    """An atom from each part of the map, the most frequent there: something to begin with."""
    best: dict[int, int] = {}
    for atom in sorted(range(len(book)), key=lambda atom: book.shares[atom]):
        if book.atoms.labels[atom]:
            best[int(book.hues[atom]) * N_STARTS // N_HUES] = atom
    return [best[part] for part in sorted(best)]
