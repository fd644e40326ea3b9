"""The map of all atoms: where each dot lies, how large it is, and which names are written from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sememe.web.book import AtomBook

WIDTH, HEIGHT, MARGIN = 1600, 1000, 40
N_SIZES = 5
MAX_NAMES = 30
CHARACTER_WIDTH, NAME_HEIGHT = 10.0, 30.0  # of the written names, in units of the map


@dataclass(frozen=True)
class Dot:
    """An atom on the map, which is 1600 units wide and 1000 high.

    Attributes:
        name: the first two terms of its label.
        size: a size class 0 to 4, by how often the atom is active.
        named: whether its name is written when nothing has been zoomed.
    """

    atom: int
    label: str
    name: str
    x: float
    y: float
    hue: int
    size: int
    named: bool


def dots(book: AtomBook) -> Sequence[Dot]:
    """The atoms that are ever active, the most frequent first."""
    order = [int(atom) for atom in np.argsort(-book.shares, kind="stable") if book.shares[atom] > 0]
    places = MARGIN + book.map * (np.array([WIDTH, HEIGHT]) - 2 * MARGIN)
    names = {atom: book.name(atom) for atom in order}
    named = _without_overlap(order, names, places)
    ranks = {atom: rank for rank, atom in enumerate(order)}
    return [
        Dot(
            atom,
            book.label(atom),
            names[atom],
            round(float(places[atom, 0]), 1),
            round(float(places[atom, 1]), 1),
            int(book.hues[atom]),
            N_SIZES - 1 - ranks[atom] * N_SIZES // len(order),
            atom in named,
        )
        for atom in order
    ]


def _without_overlap(order: Sequence[int], names: dict[int, str], places: np.ndarray) -> set[int]:
    """The names of the most frequent atoms that can be written without touching one another."""
    boxes: list[tuple[float, float, float, float]] = []
    chosen: set[int] = set()
    for atom in order:
        x, y = places[atom]
        half = len(names[atom]) * CHARACTER_WIDTH / 2
        box = (x - half, y - NAME_HEIGHT, x + half, y)
        inside = box[0] >= 0 and box[2] <= WIDTH and box[1] >= 0
        if inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes):
            boxes.append(box)
            chosen.add(atom)
        if len(chosen) == MAX_NAMES:
            break
    return chosen
