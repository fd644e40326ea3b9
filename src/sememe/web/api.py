"""The JSON behind the pages; the same objects that the command line prints, and a little more."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from sememe.errors import InputError
from sememe.web.asked import Asked
from sememe.web.collection import Collection
from sememe.web.results import Results, ShownHit, answer
from sememe.web.views import atom_view


def api_routes(collection: Collection) -> APIRouter:
    """The routes that answer with JSON."""
    routes = APIRouter()

    @routes.get("/api/search")
    def search(request: Request) -> dict[str, Any]:
        asked = Asked.read(request.query_params.multi_items())
        if not asked.query:
            raise InputError("the query is empty", where="q", hint="Ask for /api/search?q=WORDS")
        return _answer(answer(collection, asked))

    @routes.get("/api/atom/{atom}")
    def atom(atom: int) -> dict[str, Any]:
        book = collection.atoms
        book.check(atom)
        view, (counts, edges) = atom_view(collection, atom), book.histogram(atom)
        return {
            "atom": atom,
            "label": view.label,
            "active": view.usage.active,
            "frequency": view.usage.share,
            "mean_activation": view.usage.mean,
            "largest_activation": view.usage.largest,
            "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
            "nearest": [{"atom": a, "label": book.label(a), "cosine": cosine} for a, cosine in view.nearest],
            "documents": [
                {"id": d.document.id, "title": d.document.title, "activation": d.activation} for d in view.documents
            ],
        }

    @routes.get("/healthz")
    def health() -> dict[str, Any]:
        return {"status": "ok"}

    return routes


def _answer(results: Results) -> dict[str, Any]:
    asked = results.asked
    return {
        "query": asked.query,
        "mode": asked.mode,
        "k": asked.k,
        "where": asked.where,
        "steer": {str(atom): amount for atom, amount in asked.steer.items()},
        "like": list(asked.like),
        "unlike": list(asked.unlike),
        "hits": [_hit(shown) for shown in results.hits],
        "atoms": [
            {"atom": k.atom, "label": k.label, "in_query": k.in_query, "in_hits": k.in_hits, "steer": k.amount}
            for k in results.knobs
        ],
        "changed": [change._asdict() for change in (*results.raised, *results.lowered)],
        "stages": [shown.report._asdict() for shown in results.stages],
        "milliseconds": round(results.milliseconds, 2),
    }


def _hit(shown: ShownHit) -> dict[str, Any]:
    hit = shown.hit
    return {
        "rank": hit.rank,
        "moved": shown.moved,
        "id": hit.document.id,
        "title": hit.document.title,
        "score": hit.score,
        "parts": dict(hit.parts),
        "window": [hit.window.start, hit.window.end],
        "explanation": hit.explanation.as_dict() if hit.explanation else None,
    }
