"""How strongly an atom is active, as a histogram that the server draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_HEIGHT = 1.5


@dataclass(frozen=True)
class Column:
    """One bin: its place in percent of the width and height, and what it counts."""

    x: float
    width: float
    height: float
    count: int
    low: float
    high: float


def columns(counts: np.ndarray, edges: np.ndarray) -> Sequence[Column]:
    """The columns of a histogram; a bin that is not empty is high enough to be seen.

    Args:
        counts: (bins,).
        edges: (bins + 1,).
    """
    n = len(counts)
    tallest = max(int(counts.max(initial=0)), 1)
    return [
        Column(
            round(100 * i / n, 3),
            round(100 / n - 0.4, 3),
            max(MIN_HEIGHT, round(100 * int(count) / tallest, 2)) if count else 0.0,
            int(count),
            float(edges[i]),
            float(edges[i + 1]),
        )
        for i, count in enumerate(counts)
    ]
