"""The pages about what a reader wants: interests, subscriptions, and the link that ends one."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from sememe.errors import SememeError
from sememe.papers import Interest
from sememe.papers.for_me import DEFAULT, Driver, Learned, drivers, learn_interest, marked_interest
from sememe.papers.learning import ENOUGH_DISLIKED, ENOUGH_LIKED
from sememe.papers.sending import unconfirmed
from sememe.papers.unsubscribing import address_in
from sememe.web.form_keys import FormKeys
from sememe.web.papers_desk import PapersDesk
from sememe.web.papers_text import rendered
from sememe.web.rendering import Renderer

N_DRIVERS = 14


@dataclass(frozen=True)
class InterestView:
    """An interest, what was learned for it, and the papers it was learned from."""

    interest: Interest
    note: str
    is_learned: bool
    drivers: list[Driver]
    liked: list[tuple[str, Markup]]
    disliked: list[tuple[str, Markup]]


def setting_routes(desk: PapersDesk, renderer: Renderer, keys: FormKeys) -> APIRouter:
    """The routes; none of them changes anything."""
    routes = APIRouter()

    @routes.get("/interests")
    def interests() -> Response:
        saved = {interest.name: interest for interest in desk.store.interests()}
        names = [DEFAULT, *(name for name in saved if name != DEFAULT)]
        views = [_view(desk, name) for name in names]
        return renderer.page("papers_interests.html", views=views, form_key=keys.new(), enough=_ENOUGH)

    @routes.get("/interest/{name:path}")
    def interest(name: str) -> Response:
        note = "" if desk.collection.atoms is not None else desk.collection.note
        return renderer.page(
            "papers_interest.html", view=_view(desk, name), form_key=keys.new(), enough=_ENOUGH, atoms_note=note
        )

    @routes.get("/subscriptions")
    def subscriptions() -> Response:
        found = desk.store.subscriptions()
        return renderer.page(
            "papers_subscriptions.html",
            subscriptions=[(one, desk.store.sent(one.address), unconfirmed(desk.store, one.address)) for one in found],
            interests=sorted({DEFAULT, *(interest.name for interest in desk.store.interests())}),
            form_key=keys.new(),
            folder=desk.store.folder,
        )

    @routes.get("/unsubscribe")
    def unsubscribe(request: Request) -> Response:
        token = request.query_params.get("token", "")
        address = address_in(token, desk.unsubscribe_key)
        return renderer.page("papers_unsubscribe.html", address=address, done=False, token=token)

    return routes


_ENOUGH = (ENOUGH_LIKED, ENOUGH_DISLIKED)


def _view(desk: PapersDesk, name: str) -> InterestView:
    interest = desk.store.interest(name)
    try:
        learned: Learned | None = learn_interest(desk.collection, name)
        shown = drivers(desk.collection, learned, N_DRIVERS) if learned is not None else []
        interest, note = marked_interest(desk.collection, name), learned.note if learned is not None else ""
    except SememeError as error:  # nothing indexed yet, or weights of atoms that are gone: it can still be edited
        learned, shown, note = None, [], f"{error.message}. {error.hint or ''}".strip()
    return InterestView(
        interest,
        note,
        learned is not None and learned.score is not None,
        shown,
        [(id, rendered(desk.store.paper(id).title)) for id in interest.liked],
        [(id, rendered(desk.store.paper(id).title)) for id in interest.disliked],
    )
