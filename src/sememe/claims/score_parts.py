"""How much of a score an explanation leaves in the dark, measured so that large cancelling parts gain nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SHARE = 0.8


class ScoreParts(NamedTuple):
    """Scores taken apart: score = sum of contributions + bias + residual, one row a score.

    Attributes:
        contributions: (n, m), 0 where a component is not active.
        bias: (n,).
        residual: (n,).

    """

    contributions: np.ndarray
    bias: np.ndarray
    residual: np.ndarray

    @classmethod
    def of(
        cls, queries: np.ndarray, vectors: np.ndarray, codes: np.ndarray, directions: np.ndarray, bias: np.ndarray
    ) -> ScoreParts:
        """Take <q, x> apart with x = b + sum_j a_j d_j + r.

        Args:
            queries: (n, d).
            vectors: (n, d).
            codes: (n, m).
            directions: (m, d).
            bias: (d,).

        """
        queries = queries.astype(np.float64)
        residual = vectors.astype(np.float64) - bias - codes @ directions
        return cls(codes * (queries @ directions.T), queries @ bias, np.einsum("nd,nd->n", queries, residual))

    @property
    def score(self) -> np.ndarray:
        """The sum of all parts; (n,)."""
        total: np.ndarray = self.contributions.sum(axis=1) + self.bias + self.residual
        return total

    def residual_share(self) -> np.ndarray:
        """|residual| / |score|; (n,). Not over the sum of absolute parts, which cancelling parts would inflate."""
        shares: np.ndarray = np.abs(self.residual) / _size(self.score)
        return shares

    def cancellation(self) -> np.ndarray:
        """The sum of absolute parts / |score|; (n,), 1 when no part works against another."""
        total = np.abs(self.contributions).sum(axis=1) + np.abs(self.bias) + np.abs(self.residual)
        ratios: np.ndarray = total / _size(self.score)
        return ratios

    def parts_to_cover(self, share: float = SHARE) -> np.ndarray:
        """How many components must be shown, beside the bias, to account for `share` of a score; (n,).

        The smallest c such that everything not shown, the residual and all but the c largest absolute contributions,
        adds up in absolute value to at most (1 - share) |score|. So no hidden part, nor all of them together, can
        change the score by more. Large contributions that cancel must each be shown, and they do not make the hidden
        part look smaller. A score that is not covered by all m components counts m + 1.
        """
        sizes = -np.sort(-np.abs(self.contributions), axis=1)
        n, m = sizes.shape
        hidden = np.zeros((n, m + 1))
        hidden[:, :m] = sizes[:, ::-1].cumsum(axis=1)[:, ::-1]
        hidden += np.abs(self.residual)[:, None]
        # The slack is for rounding: a component of exactly the allowed size may stay hidden.
        enough = hidden <= ((1 - share) * np.abs(self.score) * (1 + 1e-9))[:, None]
        counts: np.ndarray = np.where(enough.any(axis=1), enough.argmax(axis=1), m + 1)
        return counts


def _size(score: np.ndarray) -> np.ndarray:
    size: np.ndarray = np.maximum(np.abs(score), 1e-12)  # a score of 0 has no share of anything
    return size
