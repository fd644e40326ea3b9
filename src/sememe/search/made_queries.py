"""Queries made from the stored vectors, to measure a first stage with where nobody gave real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.bank import Bank


@dataclass(frozen=True, eq=False)
class Queries:
    """Queries, and which rows are no answers to them because they were made from these.

    Attributes:
        vectors: shape (n, d), float32.
        own: for each the first row and the first after of every range of rows that are its own; shape (n, m, 2).

    """

    vectors: np.ndarray
    own: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)

    def others(self, number: int, allowed: np.ndarray) -> np.ndarray:
        """Which of the allowed rows may answer a query; boolean, shaped as `allowed`."""
        found = allowed.copy()
        for low, high in self.own[number]:
            found[low:high] = False
        return found


def between_rows(bank: Bank, allowed: np.ndarray, n: int, generator: np.random.Generator) -> Queries:
    """Queries halfway between two sampled rows; all rows of their documents are their own.

    Rows themselves would be easier than what people ask: with 100 candidates titles of arXiv's abstracts found fewer of
    their true ten best than rows where a stage missed any, and about as many as such midpoints or more.

    Args:
        bank: the vectors.
        allowed: the rows that may be found; shape (len(bank),), boolean, one true at least.
        n: how many queries; fewer where there are fewer rows, or where a pair is drawn twice.
        generator: draws the rows.

    """
    rows = np.flatnonzero(allowed)
    drawn = np.sort(generator.choice(rows, (min(n, len(rows)), 2)), axis=1)
    pairs = generator.permutation(np.unique(drawn, axis=0))
    documents = bank.documents
    # The rows of a document lie together.
    own = np.stack([np.searchsorted(documents, documents[pairs], side) for side in ("left", "right")], axis=2)
    return Queries(bank[pairs[:, 0]] + bank[pairs[:, 1]], own)
