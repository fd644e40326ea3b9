"""InfoNCE: the cross-entropy of finding what belongs to a query among what belongs to others (Oord et al., 2018).

With in-batch negatives and hard negatives it is how dense retrievers are trained (Karpukhin et al., EMNLP 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sememe.extras import require

Scores = Callable[[Any, Any], Any]
"""Two representations of n and m texts -> a matrix (n, m) of scores; higher means that they fit better."""


def dot_scores(a: Any, b: Any) -> Any:
    """Inner products: tensors (n, d) and (m, d) to (n, m)."""
    return a @ b.T


def cosine_scores(a: Any, b: Any) -> Any:
    """Cosines: tensors (n, d) and (m, d) to (n, m)."""
    normalize = require("torch.nn.functional", "models").normalize
    return normalize(a, dim=-1) @ normalize(b, dim=-1).T


def comparable(vectors: Any, unit: bool) -> Any:
    """Vectors of an encoder, or their first dimensions, as they are compared: `unit` ones again have length one."""
    return require("torch.nn.functional", "models").normalize(vectors, dim=-1) if unit else vectors


def info_nce(scores: Any, temperature: float, own: Any = None, masked: Any = None) -> Any:
    """Mean over rows i of ``-log(exp(s_io / T) / sum_j exp(s_ij / T))`` with o the own column of row i.

    Args:
        scores: tensor (n, m).
        temperature: T.
        own: the column that belongs to each row, int64 tensor (n,); by default column i to row i, so that columns from
            n on are negatives of all rows.
        masked: boolean tensor (n, m), what is no negative of a row although it stands there, such as another part of
            the row's own document. The own column is never left out.

    """
    torch = require("torch", "models")
    own = _own(scores, own)
    return torch.nn.functional.cross_entropy(_without(scores / temperature, own, masked), own)


def accuracy(scores: Any, own: Any = None, masked: Any = None) -> float:
    """The share of rows whose own column has the highest score; arguments as `info_nce`."""
    scores = scores.detach()
    own = _own(scores, own)
    return float((_without(scores, own, masked).argmax(1) == own).float().mean())


def spread(vectors: Any) -> float:
    """The standard deviation of unit vectors over a batch, mean over dimensions, times sqrt(d).

    1 for directions that are spread evenly; near 0 when all vectors point the same way, which is called collapse.
    """
    normalize = require("torch.nn.functional", "models").normalize
    units = normalize(vectors.detach(), dim=-1)
    return float(units.std(0, correction=0).mean() * units.shape[1] ** 0.5)


def _own(scores: Any, own: Any) -> Any:
    torch = require("torch", "models")
    return torch.arange(len(scores), device=scores.device) if own is None else own


def _without(scores: Any, own: Any, masked: Any) -> Any:
    if masked is None:
        return scores
    return scores.masked_fill(masked.scatter(1, own[:, None], False), float("-inf"))
