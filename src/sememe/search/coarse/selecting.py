"""What all first stages need: a sample of rows to learn from, the rows that have no codes yet, and faiss selectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sememe.bank import Bank

SAMPLE_ROWS = 50_000


def sampled_rows(bank: Bank, random_state: int, n: int = SAMPLE_ROWS) -> np.ndarray:
    """At most `n` rows of a bank, drawn without replacement, ascending; shape (n,), int64."""
    if len(bank) <= n:
        return np.arange(len(bank))
    rows: np.ndarray = np.random.default_rng(random_state).choice(len(bank), n, replace=False)
    return np.sort(rows)


def new_rows(bank: Bank, first: int, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of a bank from `first` on, in blocks of at most `size`: (first row of the block, vectors (m, d))."""
    for start in range(first, len(bank), size):
        yield start, np.ascontiguousarray(bank[start : start + size], np.float32)


def search_parameters(kind: str, **values: Any) -> Any:
    """The faiss search parameters of a kind, such as `RaBitQSearchParameters`; they keep what they refer to alive."""
    import faiss

    return getattr(faiss, kind)(**values)


def selector_of(allowed: np.ndarray) -> Any:
    """A faiss selector of the rows where `allowed` is true, which keeps its bitmap alive; None where all are."""
    import faiss

    if allowed.all():
        return None
    selector: Any = faiss.IDSelectorBitmap
    return selector(np.packbits(allowed, bitorder="little"))
