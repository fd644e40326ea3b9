"""The pages of a study: the model's sites, a site's dictionary, its list of atoms, an atom."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from sememe.atoms.study import Study
from sememe.probes.report import PROBES, reports_in
from sememe.web.listing import page_number
from sememe.web.rendering import Renderer
from sememe.web.study_book import N_NEAREST, SORTS, StudyBooks, model_table


def study_routes(study: Study, renderer: Renderer) -> APIRouter:
    """The routes; each is a reading of the address, the study and a template."""
    routes = APIRouter()
    books = StudyBooks(study)
    cards = {site: study.atoms(site) for site in study.sites}
    metrics, rows = model_table(cards)
    source = next(iter(cards.values())).card.get("source", {})
    del cards

    @routes.get("/")
    def model() -> Response:
        # Read anew each time: a probe may have been run since.
        reports = reports_in(study.path / PROBES)
        return renderer.page("model.html", metrics=metrics, rows=rows, source=source, reports=reports)

    @routes.get("/site/{site}")
    def dictionary(site: str) -> Response:
        return renderer.page("dictionary.html", book=books[site])

    @routes.get("/site/{site}/atoms")
    def atoms(site: str, request: Request) -> Response:
        book, given = books[site], request.query_params
        find, sort = given.get("find", "").strip(), given.get("sort") or "frequency"
        page = page_number(given.get("page", ""))
        lines, total, n_pages = book.lines(find, sort, page)
        here = f"/site/{site}/atoms"

        def url(number: int) -> str:
            kept = {"find": find, "sort": sort if sort != "frequency" else "", "page": number if number > 1 else ""}
            asked = urlencode({name: value for name, value in kept.items() if value})
            return here + (f"?{asked}" if asked else "")

        return renderer.page(
            "site_atoms.html",
            book=book,
            lines=lines,
            total=total,
            find=find,
            sort=sort,
            page_number=min(page, n_pages),
            n_pages=n_pages,
            sorts=SORTS,
            url_of=url,
        )

    @routes.get("/site/{site}/atom/{atom}")
    def atom(site: str, atom: int) -> Response:
        book = books[site]
        book.check(atom)
        contexts = [] if book.contexts is None else book.contexts.of(atom)
        return renderer.page(
            "site_atom.html",
            book=book,
            atom=atom,
            contexts=[(context, book.shaded(context, atom)) for context in contexts],
            columns=book.histogram(atom),
            nearest=book.atoms.nearest(atom, N_NEAREST),
        )

    return routes
