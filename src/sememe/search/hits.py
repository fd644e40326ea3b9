"""What a search returns: hits, and the exact additive explanation of a score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from sememe.corpus import Document, Window
from sememe.search.stages import StageReport

if TYPE_CHECKING:
    from sememe.search.second_search import Record


class Contribution(NamedTuple):
    """One atom's part of a score."""

    atom: int
    label: str
    contribution: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """A score taken apart: ``score = sum(contributions) + bias + residual``, exactly.

    With a document vector ``x = sum_j a_j d_j + b + r`` (atoms ``d_j``, code ``a``, bias ``b``, and what the
    dictionary leaves over ``r``), the score of query ``q`` is ``<q,x> = sum_j a_j <q,d_j> + <q,b> + <q,r>``.
    Nothing is estimated: the residual is shown, not spread over the atoms.

    Attributes:
        atoms: the atoms with a part in the score, the largest absolute contribution first; shape (m,).
        contributions: their parts ``a_j <q,d_j>``; shape (m,).
        labels: their labels.
        bias: ``<q,b>``, the part that every document shares.
        residual: ``<q,r>``, the part that no atom explains.

    """

    atoms: np.ndarray
    contributions: np.ndarray
    labels: Sequence[str]
    bias: float
    residual: float

    @property
    def score(self) -> float:
        """The sum of all parts."""
        return float(self.contributions.sum()) + self.bias + self.residual

    @property
    def residual_share(self) -> float:
        """The residual's share of the absolute parts, from 0 (fully explained) to 1."""
        parts = float(np.abs(self.contributions).sum()) + abs(self.bias) + abs(self.residual)
        return abs(self.residual) / parts if parts else 0.0

    def top(self, n: int) -> list[Contribution]:
        """The `n` atoms with the largest absolute contributions."""
        return [
            Contribution(int(atom), label, float(part))
            for atom, label, part in zip(self.atoms[:n], self.labels[:n], self.contributions[:n], strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints: every atom, none left out."""
        return {
            "atoms": [part._asdict() for part in self.top(len(self.atoms))],
            "bias": self.bias,
            "residual": self.residual,
        }


@dataclass(frozen=True, eq=False)
class Hit:
    """One search result.

    Attributes:
        document: the document found.
        score: what the hits are ordered by: the inner product (dense), BM25 (lexical) or the fused
            reciprocal-rank score (hybrid).
        rank: its place, from 1.
        row: the bank row of the best matching window.
        window: the part of `document.text` that this row stands for.
        parts: the scores that went into `score`, by pipeline: `dense`, `lexical`.
        explanation: what the dense score consists of, when it was asked for.

    """

    document: Document
    score: float
    rank: int
    row: int
    window: Window
    parts: Mapping[str, float] = field(default_factory=dict)
    explanation: Explanation | None = None

    @property
    def passage(self) -> str:
        """The text of the best matching window."""
        return self.document.text[self.window.start : self.window.end]


AnyHit = TypeVar("AnyHit")


class Hits(list[AnyHit], Generic[AnyHit]):
    """The hits of one search, the best first, and what its stages did.

    Attributes:
        stages: one report a stage, in the order in which they ran.
        feedback: what relevance feedback did to the query, when it was asked for.
        vector: what dense scores are products with, steered and moved by feedback; shape (d,). None where there is
            none.

    """

    def __init__(
        self,
        hits: Iterable[AnyHit] = (),
        stages: Sequence[StageReport] = (),
        feedback: Record | None = None,
        vector: np.ndarray | None = None,
    ) -> None:
        super().__init__(hits)
        self.stages = tuple(stages)
        self.feedback = feedback
        self.vector = vector
