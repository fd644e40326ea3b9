"""The parts of a score as a table whose numbers visibly add up, and as a bar that starts at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sememe.search import Explanation

DECIMALS = 3
TABLE_ATOMS = 12
BAR_ATOMS = 8


@dataclass(frozen=True)
class Part:
    """One addend of a score.

    Attributes:
        kind: `atom`, `rest` (all atoms that are not listed), `bias` or `residual`.
        label: for people.
        value: exact.
        shown: rounded so that the shown parts add up to the shown score.
        atom: its number, or -1.
        in_document: the atom's activation in the document; `value` is this times `in_query`.
        in_query: the inner product of the query and the atom.
    """

    kind: str
    label: str
    value: float
    shown: float
    atom: int = -1
    in_document: float = 0.0
    in_query: float = 0.0


@dataclass(frozen=True)
class Segment:
    """A stretch of the bar: where it starts and how wide it is, in percent of the bar's width."""

    kind: str
    label: str
    value: float
    atom: int
    x: float
    width: float


@dataclass(frozen=True)
class Bar:
    """Positive parts to the right of zero, negative ones to the left of it, and where their sum lies; in percent."""

    segments: Sequence[Segment]
    zero: float
    score: float


@dataclass(frozen=True)
class Scale:
    """The range that all bars of a page share: from `low` (at most 0) to `high`."""

    low: float
    high: float

    @classmethod
    def of(cls, explanations: Sequence[Explanation]) -> Scale:
        """The least range that holds all of them."""
        sums = [_signed_sums(explanation) for explanation in explanations]
        return cls(min((low for low, _ in sums), default=0.0), max((high for _, high in sums), default=0.0) or 1.0)

    def place(self, value: float) -> float:
        """Where a value lies, in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)


def table(explanation: Explanation, decoder: np.ndarray, query: np.ndarray) -> list[Part]:
    """The atoms with the largest parts, the rest of them in one line, the bias and the residual.

    Args:
        explanation: the score taken apart.
        decoder: the atoms (n_atoms, d).
        query: the vector that was searched with (d,).
    """
    listed = explanation.top(TABLE_ATOMS)
    n_rest = len(explanation.atoms) - len(listed)
    values = [part.contribution for part in listed]
    rest = float(explanation.contributions[len(listed) :].sum())
    tail = [("rest", f"{n_rest} other atom{'s' if n_rest != 1 else ''}", rest)] if n_rest else []
    tail += [("bias", "bias", explanation.bias), ("residual", "residual", explanation.residual)]
    shown = round_to_sum([*values, *(value for _, _, value in tail)], explanation.score)
    inner = decoder[[part.atom for part in listed]].astype(np.float64) @ query.astype(np.float64)
    parts = [
        Part("atom", part.label, part.contribution, rounded, part.atom, part.contribution / product, float(product))
        for part, product, rounded in zip(listed, inner, shown, strict=False)
    ]
    return parts + [
        Part(kind, label, value, rounded)
        for (kind, label, value), rounded in zip(tail, shown[len(listed) :], strict=True)
    ]


def bar(explanation: Explanation, scale: Scale) -> Bar:
    """The bar of a score: its largest atoms one by one, the others together by sign, bias, residual."""
    listed = explanation.top(BAR_ATOMS)
    others = explanation.contributions[len(listed) :]
    parts = [("atom", part.label, part.contribution, part.atom) for part in listed]
    parts += [("rest", "other atoms", float(others[others > 0].sum()), -1)]
    parts += [("rest", "other atoms", float(others[others < 0].sum()), -1)]
    parts += [("bias", "bias", explanation.bias, -1), ("residual", "residual", explanation.residual, -1)]
    right = left = 0.0
    segments = []
    for kind, label, value, atom in parts:
        if value > 0:
            start, right = right, right + value
        else:
            left += value
            start = left
        width = scale.place(start + abs(value)) - scale.place(start)
        if width > 0:
            segments.append(Segment(kind, label, value, atom, scale.place(start), round(width, 3)))
    return Bar(segments, scale.place(0.0), scale.place(explanation.score))


def round_to_sum(values: Sequence[float], total: float, decimals: int = DECIMALS) -> list[float]:
    """Round values so that they add up to the rounded total; each moves by less than one unit of the last place.

    The largest-remainder method: round all down, then raise those that lost most.
    """
    unit = 10.0**-decimals
    scaled = np.asarray(values, np.float64) / unit
    down = np.floor(scaled)
    missing = round(total / unit) - int(down.sum())
    raised = np.argsort(-(scaled - down), kind="stable")[: max(0, missing)]
    down[raised] += 1
    return [float(value) for value in np.round(down * unit, decimals)]


def _signed_sums(explanation: Explanation) -> tuple[float, float]:
    parts = np.array([*explanation.contributions, explanation.bias, explanation.residual], np.float64)
    return float(parts[parts < 0].sum()), float(parts[parts > 0].sum())
