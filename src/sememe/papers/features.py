"""What papers are compared by: a vector of what each means, and the words that set it apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from sememe.lexical.bm25 import Lexical
    from sememe.search import Index


@dataclass(frozen=True, eq=False)
class Features:
    """The features of all papers of an index, by row; a row is a paper's place in `ids`.

    Attributes:
        ids: the papers.
        vectors: the mean of the vectors of a paper's windows (n, d), float32.
        words: the BM25 weights of its words (n, m), float32, scaled to rows of length one.
        vocabulary: what the columns of `words` are: stems.
        language: whose stems they are.

    """

    ids: Sequence[str]
    vectors: np.ndarray
    words: csr_matrix
    vocabulary: Sequence[str]
    language: str

    @classmethod
    def of(cls, index: Index) -> Features:
        """Read them from an index."""
        rows = index.live_rows()
        documents = index.bank.documents[rows]
        starts = np.flatnonzero(np.diff(documents, prepend=-1))
        counts = np.diff(np.append(starts, len(rows)))[:, None]
        sums = np.add.reduceat(index.bank[rows], starts, axis=0) if len(rows) else index.bank[rows]
        ids = [index.id_of(int(rows[start])) for start in starts]
        lexical = index.lexical
        words = weighted_words(lexical)
        return cls(ids, (sums / counts).astype(np.float32), words, _in_order(lexical.words), lexical.language)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def units(self) -> np.ndarray:
        """The vectors scaled to length one (n, d), float32; a vector of zeros stays as it is."""
        scaled: np.ndarray = self.vectors / self.lengths[:, None].astype(np.float32)
        return scaled

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean of `units` (d,), float64."""
        mean: np.ndarray = self.units.mean(axis=0, dtype=np.float64)
        return mean

    @cached_property
    def covariance(self) -> np.ndarray:
        """The covariance of `units` (d, d), float64."""
        centred = self.units - self.mean.astype(np.float32)
        product: np.ndarray = (centred.T @ centred).astype(np.float64) / max(len(self), 1)
        return product

    @cached_property
    def mean_words(self) -> np.ndarray:
        """The mean of `words` (m,), float64."""
        return mean_of(self.words)

    @cached_property
    def lengths(self) -> np.ndarray:
        """The lengths of the vectors (n,), float64; 1 where it is zero."""
        lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=1)
        return np.where(lengths > 0, lengths, 1.0)

    def row(self, id: str) -> int:
        """A paper's row.

        Raises:
            InputError: the paper is not indexed.

        """
        if id not in self._rows:
            raise InputError(f"is not indexed: {id[:80]}", hint="Bring the index up to date: catch_up()")
        return self._rows[id]

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The rows of papers (k,), int64. Errors as `row`."""
        return np.asarray([self.row(id) for id in ids], np.int64)

    def known(self, ids: Sequence[str]) -> list[str]:
        """Those of `ids` that are indexed."""
        return [id for id in ids if id in self._rows]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.ids)}


def mean_of(words: csr_matrix) -> np.ndarray:
    """The mean of sparse rows (n, m), which is dense (m,), float64."""
    mean: np.ndarray = np.asarray(words.mean(axis=0), np.float64).ravel()
    return mean


def weighted_words(lexical: Lexical) -> csr_matrix:
    """BM25 weights by document and word (n, m), each row of length one."""
    from scipy.sparse import csc_matrix, diags

    shape = (lexical.n_documents, len(lexical.words))
    words = csc_matrix((lexical.scores, lexical.items, lexical.starts), shape=shape).tocsr().astype(np.float32)
    lengths = np.sqrt(np.asarray(words.multiply(words).sum(axis=1)).ravel())
    return (diags((1 / np.maximum(lengths, 1e-12)).astype(np.float32)) @ words).tocsr()


def _in_order(words: dict[str, int]) -> list[str]:
    return sorted(words, key=words.__getitem__)
