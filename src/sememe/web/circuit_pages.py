"""The pages of a circuit: the map of layers and heads, and a head with its attention and its codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sememe.circuits.circuit import Circuit
from sememe.circuits.finding import METHODS
from sememe.errors import InputError
from sememe.web.rendering import Renderer

N_SHADES, N_LISTED, N_CODES = 9, 20, 30
SIGNED = ("attribution", "patching")
SIGNS = "; green works for the answer, red against it"


@dataclass(frozen=True)
class Cell:
    """One head on a map: how dark, which way it works, and whether it is in the circuit."""

    name: str
    shade: int
    against: bool
    member: bool
    title: str


@dataclass(frozen=True)
class Map:
    """The heads of all layers, the highest layer first."""

    title: str
    explained: str
    rows: list[tuple[int, list[Cell]]]


@dataclass(frozen=True)
class Token:
    """A token of an example, shaded by the attention that the last token pays to it."""

    text: str
    shade: int
    weight: float


@dataclass(frozen=True)
class Example:
    """A head's attention on one prompt; `squares` are (column, row, shade, title) of the whole pattern."""

    tokens: list[Token]
    answer: str
    squares: list[tuple[int, int, int, str]]


def circuit_routes(circuit: Circuit, renderer: Renderer) -> APIRouter:
    """The routes; each is a reading of the address, the circuit and a template."""
    routes = APIRouter()
    maps = _maps(circuit)
    lines = [_line(circuit, int(place)) for place in circuit.ranked[: max(N_LISTED, len(circuit.heads))]]

    @routes.get("/")
    def overview() -> Response:
        edges = [(circuit.name(a), circuit.name(b), count) for a, b, count in circuit.edges[:N_LISTED] if count]
        return renderer.page(
            "circuit.html", circuit=circuit, maps=maps, lines=lines, edges=edges, methods=METHODS, card=circuit.card
        )

    @routes.get("/head/{name}")
    def head(name: str) -> Response:
        try:
            place = circuit.place(name)
        except InputError as error:
            raise HTTPException(404, error.message) from None
        n = len(circuit.score)
        return renderer.page(
            "head.html",
            circuit=circuit,
            line=_line(circuit, place),
            rank=int(np.flatnonzero(circuit.ranked == place)[0]) + 1,
            previous=circuit.name(place - 1) if place else None,
            following=circuit.name(place + 1) if place + 1 < n else None,
            examples=_examples(circuit, place),
            codes=circuit.code_table(place)[:N_CODES],
            n_codes=len(circuit.code_table(place)),
        )

    return routes


def _maps(circuit: Circuit) -> list[Map]:
    """Ours, and beside it patching where it was run, otherwise the paper's codes."""
    ours = _map(circuit, "reliable", "Our scores", "shade: score; framed: the circuit" + SIGNS)
    if "patching" in circuit.evidence:
        return [
            ours,
            _map(circuit, "patching", "Patching", "shade: change of the logit difference; framed: our circuit" + SIGNS),
        ]
    return [ours, _map(circuit, "normalised", "The paper’s codes", "shade: share of codes in positives only")]


def _map(circuit: Circuit, name: str, title: str, explained: str) -> Map:
    values = circuit.evidence[name]
    signs = values if name in SIGNED else circuit.evidence["attribution"]
    largest = float(np.abs(values).max()) or 1.0
    members = set(circuit.heads.tolist())

    def cell(place: int) -> Cell:
        shade = round(abs(float(values[place])) / largest * N_SHADES)
        against = bool(signs[place] < 0) and name != "normalised"
        head = circuit.name(place)
        return Cell(head, shade, against, place in members, f"{head}: {values[place]:.3f}")

    rows = [
        (layer, [cell(layer * circuit.n_heads + head) for head in range(circuit.n_heads)])
        for layer in reversed(range(circuit.n_layers))
    ]
    return Map(title, explained, rows)


def _line(circuit: Circuit, place: int) -> dict[str, Any]:
    """What the tables show of a head."""
    values = {name: float(values[place]) for name, values in circuit.evidence.items()}
    return {"name": circuit.name(place), "member": place in set(circuit.heads.tolist()), **values}


def _examples(circuit: Circuit, place: int) -> list[Example]:
    layer, head = divmod(place, circuit.n_heads)
    return [
        _example(example, pattern[layer, head].astype(np.float64))
        for example, pattern in zip(circuit.card["examples"], circuit.attention, strict=True)
    ]


def _example(example: dict[str, Any], pattern: np.ndarray) -> Example:
    texts = example["tokens"]
    last = pattern[-1]
    tokens = [Token(text, _shade(weight), float(weight)) for text, weight in zip(texts, last, strict=True)]
    squares = [
        (column, row, _shade(pattern[row, column]), f"{texts[row]!r} → {texts[column]!r}: {pattern[row, column]:.2f}")
        for row in range(len(texts))
        for column in range(row + 1)
        if _shade(pattern[row, column])
    ]
    return Example(tokens, str(example["answer"][0]), squares)


def _shade(weight: float) -> int:
    return min(N_SHADES, round(float(weight) * N_SHADES + 0.3))
