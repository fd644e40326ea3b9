"""Figures over the steps of a run, as curves that the server draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, MARGIN = 1000, 200, 6
MOST_POINTS = 250


@dataclass(frozen=True)
class Curve:
    """One figure; points are places in a box of 1000 x 200, as SVG's polyline and polygon take them.

    Attributes:
        name: of the figure.
        line: the means of groups of steps.
        band: from their least to their greatest; empty where every step has a point of its own.
        first: the first mean.
        last: the last mean.
        low: the least value that the box shows.
        high: the greatest one.
        steps: the first and the last step.

    """

    name: str
    line: str
    band: str
    first: float
    last: float
    low: float
    high: float
    steps: tuple[int, int]


def curves(rows: Sequence[Mapping[str, float]]) -> list[Curve]:
    """The curves of all figures but the step, the loss first; a figure that never changes has none.

    Args:
        rows: figures by name, `step` among them; a row may lack some.

    """
    names = sorted({name for row in rows for name in row} - {"step"}, key=lambda name: (name != "loss", name))
    drawn = (_curve(name, [(row["step"], row[name]) for row in rows if _is_finite(row.get(name))]) for name in names)
    return [curve for curve in drawn if curve is not None]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _curve(name: str, points: Sequence[tuple[float, float]]) -> Curve | None:
    if len(points) < 2:
        return None
    steps, values = np.array(points, np.float64).T
    if values.min() == values.max():
        return None
    size = -(-len(values) // MOST_POINTS)
    groups = [np.arange(start, min(start + size, len(values))) for start in range(0, len(values), size)]
    means = np.array([values[group].mean() for group in groups])
    least = np.array([values[group].min() for group in groups])
    greatest = np.array([values[group].max() for group in groups])
    x = _scaled(np.array([steps[group].mean() for group in groups]), WIDTH)
    low, high = float(values.min()), float(values.max())

    def y(of: np.ndarray) -> np.ndarray:
        return HEIGHT - MARGIN - (of - low) / (high - low) * (HEIGHT - 2 * MARGIN)

    band = "" if size == 1 else f"{_points(x, y(greatest))} {_points(x[::-1], y(least)[::-1])}"
    ends = (int(steps[0]), int(steps[-1]))
    return Curve(name, _points(x, y(means)), band, float(means[0]), float(means[-1]), low, high, ends)


def _scaled(of: np.ndarray, width: int) -> np.ndarray:
    span = max(float(of[-1] - of[0]), 1e-12)
    scaled: np.ndarray = (of - of[0]) / span * width
    return scaled


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
