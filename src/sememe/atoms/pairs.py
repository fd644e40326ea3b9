"""Arithmetic over chosen pairs of rows: what a dense product would give, at the cost of the pairs alone."""

from __future__ import annotations

import warnings
from typing import Any

from sememe.extras import require


def starts_of(group: Any, n: int) -> Any:
    """Where each of `n` groups starts once the group numbers (m,) are sorted, and m; shape (n + 1,)."""
    torch = require("torch", "models")
    starts = torch.zeros(n + 1, dtype=torch.long)
    torch.cumsum(torch.bincount(group, minlength=n), 0, out=starts[1:])
    return starts


def products_of_pairs(left: Any, right: Any, starts: Any, column: Any) -> Any:
    """The inner products of some pairs of rows.

    Args:
        left: (n, d).
        right: (m, d).
        starts: where the pairs of each left row start, and their number (n + 1,).
        column: the right row of each pair (p,).

    Returns:
        Shape (p,).
    """
    torch = require("torch", "models")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        blank = torch.zeros(len(column), dtype=left.dtype)
        pattern = torch.sparse_csr_tensor(starts, column, blank, (len(left), len(right)), check_invariants=False)
        return torch.sparse.sampled_addmm(pattern, left, right.T, beta=0).values()


def sums_of_rows(rows: Any, starts: Any, chosen: Any, weights: Any) -> Any:
    """Weighted sums of rows, one sum a group.

    Args:
        rows: (m, d).
        starts: where each group starts in `chosen`, and its length (n + 1,).
        chosen: the row of each member (p,).
        weights: of each member (p,).

    Returns:
        Shape (n, d).
    """
    torch = require("torch", "models")
    return torch.nn.functional.embedding_bag(chosen, rows, starts[:-1], mode="sum", per_sample_weights=weights)
