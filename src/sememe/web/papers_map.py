"""The map of a field's papers: where each dot lies, and its colour by year."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from sememe.errors import SememeError
from sememe.papers.map import FieldMap
from sememe.papers.safe_text import shortened
from sememe.web.atlas import HEIGHT, MARGIN, N_SIZES, WIDTH
from sememe.web.papers_desk import PapersDesk
from sememe.web.rendering import Renderer

MOST_DOTS, NAME_CHARACTERS = 4000, 34
OLDEST_HUE, NEWEST_HUE = 26, 3  # from blue to orange, through green


@dataclass(frozen=True)
class Dot:
    """A paper on the map, which is 1600 units wide and 1000 high."""

    id: str
    label: str
    name: str
    x: float
    y: float
    hue: int
    size: int


class Year(NamedTuple):
    """A year, how many papers it has, and its colour."""

    year: int
    n_papers: int
    hue: int


def map_routes(desk: PapersDesk, renderer: Renderer) -> APIRouter:
    """The route of the map."""
    routes = APIRouter()

    @routes.get("/map")
    def page(request: Request) -> Response:
        given = request.query_params.get("year", "")
        year = int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 0
        missing = ""
        try:
            field: FieldMap | None = desk.field()
        except SememeError as error:
            field, missing = None, f"{error.message[:1].upper()}{error.message[1:]}. {error.hint or ''}".strip()
        total = 0 if field is None else len(field.ids)
        return renderer.page(
            "papers_map.html",
            dots=[] if field is None else _dots(field, year),
            years=[] if field is None else _years(field),
            year=year or None,
            total=total,
            missing=missing,
            width=WIDTH,
            height=HEIGHT,
            margin=MARGIN,
        )

    return routes


def _dots(field: FieldMap, year: int) -> list[Dot]:
    """The dots of a year or of all, the newest first; of very many an even choice."""
    rows = np.flatnonzero(field.years == year) if year else np.arange(len(field.ids))
    if len(rows) > MOST_DOTS:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_DOTS).astype(np.int64)]
    rows = rows[np.argsort(-field.years[rows], kind="stable")]
    places = MARGIN + field.places[rows] * (np.array([WIDTH, HEIGHT]) - 2 * MARGIN)
    hues = {one.year: one.hue for one in _years(field)}
    return [
        Dot(
            field.ids[row],
            field.titles[row],
            shortened(field.titles[row], NAME_CHARACTERS),
            round(float(x), 1),
            round(float(y), 1),
            hues.get(int(field.years[row]), OLDEST_HUE),
            N_SIZES // 2,
        )
        for row, (x, y) in zip(rows.tolist(), places, strict=True)
    ]


def _years(field: FieldMap) -> list[Year]:
    """The years that are known, the oldest first."""
    counts = Counter(int(year) for year in field.years if year)
    first, last = min(counts, default=0), max(counts, default=0)
    step = (NEWEST_HUE - OLDEST_HUE) / max(last - first, 1)
    return [Year(year, counts[year], round(OLDEST_HUE + step * (year - first))) for year in sorted(counts)]
