"""The page of a training run: how the loss fell, and what the encoder was good for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from sememe.training.runs import TrainingRun
from sememe.web.curves import HEIGHT, WIDTH, curves
from sememe.web.rendering import Renderer

REFRESH_SECONDS = 15


def training_routes(path: Path, renderer: Renderer) -> APIRouter:
    """The one page; a run that goes on is read anew each time."""
    routes = APIRouter()

    @routes.get("/")
    def run() -> Response:
        found = TrainingRun.read(path)
        return renderer.page(
            "training.html",
            run=found,
            curves=curves(found.rows),
            width=WIDTH,
            height=HEIGHT,
            facts=_facts(found.card) if found.card else [],
            measured=_measured(found.card) if found.card else [],
            refresh=REFRESH_SECONDS if found.state == "unfinished" else None,
        )

    return routes


def _facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a reader wants to know first, as names and words."""
    data, training = card["data"], card["training"]
    return [
        ("objective", str(card["objective"]["name"])),
        ("started from", str(card["start"]["name"])),
        ("vectors", f"{card['width']} dimensions, compared by {card['similarity']}"),
        ("trained on", f"{data['trained_on']:,} documents; {data['held_out']:,} questions held out"),
        ("steps", f"{card['steps']:,} of {training['batch_size']:,}; kept: step {card['kept_step']:,}"),
        ("learning rate", f"{training['learning_rate']:g}"),
        ("seed", str(training["seed"])),
    ]


def _measured(card: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """A table and its words for the held-out texts and each test collection."""
    return [("Held-out texts of the corpus", card["evaluation"]), *card["collections"].items()]
