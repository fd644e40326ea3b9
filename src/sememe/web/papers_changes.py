"""What a reader changes on the pages of a feed folder: marks, notes, tags, interests, subscriptions.

Every change is a POST with a key of the page that it was sent from (see `FormKeys`); the guard has checked the Origin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Set
from typing import Any, cast

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from sememe.errors import InputError
from sememe.papers import Subscription
from sememe.papers.addresses import address_of
from sememe.papers.for_me import DEFAULT
from sememe.papers.sending import require_interest
from sememe.papers.subscriptions import Every
from sememe.papers.unsubscribing import address_in
from sememe.web.form_keys import FormKeys
from sememe.web.papers_asked import interest_url
from sememe.web.papers_desk import PapersDesk
from sememe.web.rendering import Renderer
from sememe.web.sent_fields import SentFields, sent_fields

ON, OFF = "on", "off"


def change_routes(desk: PapersDesk, renderer: Renderer, keys: FormKeys) -> APIRouter:
    """The routes that change something; each does one thing and leads back."""
    routes = APIRouter()

    def change(path: str, do: Callable[[PapersDesk, SentFields], dict[str, Any]], leads_to: str | None = None) -> None:
        async def answer(request: Request) -> Response:
            sent = await sent_fields(request, keys)
            changed = await run_in_threadpool(do, desk, sent)
            if sent.is_json:
                return JSONResponse(changed)
            return RedirectResponse(changed.get("leads_to") or leads_to or sent.back, 303)

        routes.add_api_route(path, answer, methods=["POST"], response_model=None)

    change("/mark", _mark)
    change("/note", _note)
    change("/tags", _tags)
    change("/interests/save", _save_interest)
    change("/interests/remove", _remove_interest, "/interests")
    change("/subscriptions/add", _subscribe, "/subscriptions")
    change("/subscriptions/remove", _unsubscribe, "/subscriptions")

    @routes.post("/unsubscribe")
    async def unsubscribe(request: Request) -> Response:
        # Mail programs send this by themselves (RFC 8058): the signed token in the address is the proof.
        await sent_fields(request, None)
        address = address_in(request.query_params.get("token", ""), desk.unsubscribe_key)
        await run_in_threadpool(desk.store.unsubscribe, address)
        return renderer.page("papers_unsubscribe.html", address=address, done=True, token="")

    return routes


def _mark(desk: PapersDesk, sent: SentFields) -> dict[str, Any]:
    kind, _, state = sent["set"].partition(":")
    if state not in (ON, OFF):
        raise InputError(f"a mark is {ON} or {OFF}, not {state!r}", where="set")
    paper = desk.store.paper(sent["id"]).id
    desk.store.mark(paper, kind, state == ON)
    return {"id": paper, "marks": sorted(desk.store.marks([paper])[paper])}


def _note(desk: PapersDesk, sent: SentFields) -> dict[str, Any]:
    desk.store.set_note(sent["id"], sent.get("text").replace("\r\n", "\n"))
    return {"id": sent["id"], "note": desk.store.note(sent["id"])}


def _tags(desk: PapersDesk, sent: SentFields) -> dict[str, Any]:
    desk.store.set_tags(sent["id"], _parts(sent.get("tags"), ","))
    return {"id": sent["id"], "tags": list(desk.store.tags(sent["id"]))}


def _save_interest(desk: PapersDesk, sent: SentFields) -> dict[str, Any]:
    """What the form of an interest says; papers are liked and disliked elsewhere, or taken out here."""
    name = " ".join(sent["name"].split())
    before = desk.store.interest(name)
    gone = set(sent.fields.get("without", ()))
    liked, disliked = sent.get("like"), sent.get("dislike")
    after = dataclasses.replace(
        before,
        liked=_changed(before.liked, liked, gone | {disliked}),
        disliked=_changed(before.disliked, disliked, gone | {liked}),
        authors=_lines(sent, "authors", before.authors),
        require=_lines(sent, "require", before.require),
        forbid=_lines(sent, "forbid", before.forbid),
        atom_weights={**before.atom_weights, **_weights(sent)},
    )
    for atom in _cleared(sent):
        cast(dict[int, float], after.atom_weights).pop(atom, None)
    desk.store.save_interest(after)
    for id in gone if name == DEFAULT else ():
        for kind in ("liked", "disliked"):
            desk.store.mark(id, kind, False)
    return {"interest": name, "leads_to": sent.back if sent.get("stay") else interest_url(name)}


def _remove_interest(desk: PapersDesk, sent: SentFields) -> dict[str, Any]:
    desk.store.remove_interest(sent["name"])
    return {"interest": sent["name"]}


def _subscribe(desk: PapersDesk, sent: SentFields) -> dict[str, Any]:
    at_most = sent.get("at_most", "20")
    if not at_most.isdigit() or len(at_most) > 4:
        raise InputError(f"{at_most!r} is no number of papers", where="at_most")
    subscription = Subscription(
        address_of(sent["address"], where="address"),
        sent.get("interest") or None,
        cast(Every, sent.get("every", "daily")),
        int(at_most),
    )
    require_interest(desk.store, subscription.interest)
    desk.store.subscribe(subscription)
    return {"address": subscription.address}


def _unsubscribe(desk: PapersDesk, sent: SentFields) -> dict[str, Any]:
    return {"address": sent["address"], "ended": desk.store.unsubscribe(sent["address"])}


def _lines(sent: SentFields, name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of a field; what there was before when it was not sent."""
    return tuple(_parts(sent.get(name), "\n")) if name in sent.fields else before


def _parts(text: str, separator: str) -> list[str]:
    parts = (" ".join(part.split()) for part in text.split(separator))
    return list(dict.fromkeys(part for part in parts if part))


def _changed(ids: Iterable[str], added: str, gone: Set[str]) -> tuple[str, ...]:
    """The papers of an interest with one more, if one was given, and without those that are to go."""
    return tuple(id for id in dict.fromkeys([*ids, *filter(None, [added])]) if id not in gone)


def _weights(sent: SentFields) -> dict[int, float]:
    """The weights that differ from those that the form was filled in with."""
    found = {}
    for name, values in sent.fields.items():
        if not (name.startswith("atom") and name[4:].isascii() and name[4:].isdigit() and len(name) < 14):
            continue
        if not values[0].strip() or values[0] == sent.get(f"was{name[4:]}"):
            continue
        try:
            found[int(name[4:])] = float(values[0].replace("−", "-"))
        except ValueError:
            raise InputError(f"{values[0]!r} is no weight", where=f"atom {name[4:]}", hint="Such as 1.5") from None
    return found


def _cleared(sent: SentFields) -> list[int]:
    """The atoms whose weight was emptied: what was learned counts again."""
    return [
        int(name[4:])
        for name, values in sent.fields.items()
        if name.startswith("atom") and name[4:].isascii() and name[4:].isdigit() and not values[0].strip()
    ]
