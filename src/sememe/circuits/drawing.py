"""Drawing a circuit: the map of layers and heads, as text and as a picture."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sememe.circuits.circuit import Circuit

SHADES = " ·░▒▓█"
CELL, GAP, MARGIN, HEADING = 26, 4, 56, 64
MOST_EDGES = 24


def text_map(grid: np.ndarray, marked: np.ndarray) -> str:
    """Layers from below upwards, heads from left to right; each cell is shaded by its share of the largest value;
    what has less than a tenth of it stays empty.

    Args:
        grid: (layers, heads); absolute values count.
        marked: which cells belong to the circuit, bool (layers, heads); they stand in brackets.

    """
    size = np.abs(grid)
    largest = size.max() or 1.0
    lines = []
    for layer in range(len(grid) - 1, -1, -1):
        cells = []
        for head in range(grid.shape[1]):
            shade = SHADES[int(size[layer, head] / largest * (len(SHADES) - 1) + 0.5)]
            cells.append(f"[{shade}]" if marked[layer, head] else f" {shade} ")
        lines.append(f"{layer:>5} {''.join(cells)}".rstrip())
    lines.append("layer " + "".join(f"{head:^3}" for head in range(grid.shape[1])).rstrip() + "  head")
    return "\n".join(lines)


def circuit_svg(circuit: Circuit) -> str:
    """The map as a picture: shade is score, colour is direction, frames are the circuit, lines its strongest edges."""
    n_layers, n_heads = circuit.n_layers, circuit.n_heads
    width = 2 * MARGIN + n_heads * (CELL + GAP)
    height = HEADING + n_layers * (CELL + GAP) + MARGIN
    title = f"{circuit.card['task']} in {circuit.card['model']}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(width, 420)} {height}" font-family="sans-serif" '
        f'font-size="11" role="img" aria-label="{escape(title)}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="{MARGIN}" y="44" fill="#555">shade: score; green works for the answer, red against it; '
        "framed: the circuit</text>",
    ]
    parts += _lines(circuit)
    parts += _cells(circuit)
    for layer in range(n_layers):
        _, y = _corner(circuit, layer, 0)
        parts.append(f'<text x="{MARGIN - 8}" y="{y + CELL - 8}" text-anchor="end" fill="#555">{layer}</text>')
    for head in range(n_heads):
        x, y = _corner(circuit, 0, head)
        parts.append(f'<text x="{x + CELL / 2}" y="{y + CELL + 16}" text-anchor="middle" fill="#555">{head}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _corner(circuit: Circuit, layer: int, head: int) -> tuple[float, float]:
    return MARGIN + head * (CELL + GAP), HEADING + (circuit.n_layers - 1 - layer) * (CELL + GAP)


def _cells(circuit: Circuit) -> list[str]:
    largest = float(np.abs(circuit.score).max()) or 1.0
    signed, members = circuit.evidence["attribution"], set(circuit.heads.tolist())
    cells = []
    for place, score in enumerate(circuit.score):
        x, y = _corner(circuit, *divmod(place, circuit.n_heads))
        share = abs(float(score)) / largest
        colour = "#1b7f4b" if signed[place] >= 0 else "#b3362b"
        frame = ' stroke="#111" stroke-width="2"' if place in members else ' stroke="#ccc" stroke-width="0.5"'
        cells.append(
            f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="3" fill="{colour}" fill-opacity="{share:.3f}"'
            f"{frame}><title>{circuit.name(place)}: score {score:.3f}</title></rect>"
        )
    return cells


def _lines(circuit: Circuit) -> list[str]:
    lines = []
    edges = [edge for edge in circuit.edges if edge[2] > 0][:MOST_EDGES]
    most = max((count for _, _, count in edges), default=1)
    for start, end, count in edges:
        (x1, y1), (x2, y2) = (_corner(circuit, *divmod(place, circuit.n_heads)) for place in (start, end))
        half = CELL / 2
        lines.append(
            f'<line x1="{x1 + half}" y1="{y1 + half}" x2="{x2 + half}" y2="{y2 + half}" stroke="#446" '
            f'stroke-opacity="{0.12 + 0.38 * count / most:.2f}"/>'
        )
    return lines
