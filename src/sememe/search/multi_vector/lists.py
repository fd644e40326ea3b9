"""Candidates without a scan: which documents have a vector near each of a few thousand centroids.

The centroids are those of k-means over all vectors of the collection, and every vector belongs to the nearest. A query
vector looks only into the lists of the centroids that are best for it, and a document that is in none of them counts as
if it were in the best list that was left out (as in WARP, Scheerer et al. 2025; PLAID, Santhanam et al. 2022, for the
rest). The scores only choose candidates; the exact ones come from the stored vectors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.search.centroids import kmeans_centroids
from sememe.search.top_items import top_items

KIND = "multi-vector lists"
PROBES = 16
# On Cranfield with MiniLM, 165,049 token vectors, 100 queries: the share of the exact top 10 among 100 candidates is
# .947, .985, .994 with 1, 2, 4 centroids for each root of a vector; more iterations add .002 and double the time.
CENTROIDS_PER_ROOT = 4.0
_POINTS_PER_CENTROID = 32
_ITERATIONS = 4
_REFIT_FACTOR = 4
_BLOCK_ROWS = 8192


class Lists:
    """The documents near each centroid.

    Attributes:
        centroids: shape (n_centroids, d), float32.
        codes: the centroid of every bank row; shape (n_rows,), int32.
        fitted_rows: how many rows there were when the centroids were learned.

    """

    def __init__(self, centroids: np.ndarray, codes: np.ndarray, fitted_rows: int) -> None:
        self.centroids, self.codes, self.fitted_rows = centroids, codes, fitted_rows
        self._documents = np.zeros(0, np.int32)
        self._starts = np.zeros(len(centroids) + 1, np.int64)

    @classmethod
    def fit(cls, bank: Bank, random_state: int = 0) -> Lists:
        """Learn centroids from a sample of the rows and give every row its own."""
        root = CENTROIDS_PER_ROOT * np.sqrt(len(bank))
        n = min(len(bank), 2 ** int(np.round(np.log2(max(root, 1)))))
        rng = np.random.default_rng(random_state)
        rows = np.sort(rng.choice(len(bank), min(len(bank), n * _POINTS_PER_CENTROID), replace=False))
        centroids = kmeans_centroids(bank[rows], n, iterations=_ITERATIONS, random_state=random_state)
        lists = cls(centroids, np.zeros(0, np.int32), len(bank))
        lists.extend(bank)
        return lists

    @property
    def nbytes(self) -> int:
        """The memory that it takes while searching."""
        return sum(array.nbytes for array in (self.centroids, self.codes, self._documents, self._starts))

    @property
    def is_outgrown(self) -> bool:
        """Whether there are so many more rows than the centroids were learned from that new ones are due."""
        return len(self.codes) > _REFIT_FACTOR * self.fitted_rows

    def covers(self, bank: Bank) -> bool:
        """Whether the lists hold every row of the bank."""
        return len(self.codes) == len(bank) and len(self._documents) > 0

    def extend(self, bank: Bank) -> None:
        """Give the rows that have no centroid yet the nearest one; the centroids stay."""
        half = np.square(self.centroids).sum(axis=1) / 2
        found = [self.codes]
        for start in range(len(self.codes), len(bank), _BLOCK_ROWS):
            block = bank[start : min(start + _BLOCK_ROWS, len(bank))]
            found.append((block @ self.centroids.T - half).argmax(axis=1).astype(np.int32))
        self.codes = np.concatenate(found)
        documents = np.asarray(bank.documents)
        width = int(documents.max(initial=0)) + 1
        pairs = np.unique(self.codes * np.int64(width) + documents)
        self._documents = (pairs % width).astype(np.int32)
        self._starts = np.searchsorted(pairs, np.arange(len(self.centroids) + 1) * np.int64(width))

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray, probes: int = PROBES) -> np.ndarray:
        """The `n` allowed documents that look best; fewer when fewer are allowed.

        Args:
            query: the query's vectors; shape (m, d).
            n: how many.
            allowed: which documents may be proposed; shape (n_documents,), boolean.
            probes: into how many lists each query vector looks at least; more when these hold too few documents.

        Returns:
            int64 ordinals, the best first; equal ones in their order.

        """
        if n >= int(np.count_nonzero(allowed)):
            return np.flatnonzero(allowed)
        similarities = query @ self.centroids.T
        while True:
            probes = min(probes, len(self.centroids))
            gains = self._gains(similarities, probes, len(allowed))
            found = top_items(gains, allowed, n, at_least=0.0)
            if len(found) == n or probes == len(self.centroids):
                return found
            probes *= 4

    def _gains(self, similarities: np.ndarray, probes: int, n_documents: int) -> np.ndarray:
        """For each document, the sum over query vectors of what it has over the best list left out."""
        total, best = np.zeros(n_documents, np.float32), np.empty(n_documents, np.float32)
        for row in similarities:
            if probes < len(row):
                order = np.argpartition(row, len(row) - probes - 1)[len(row) - probes - 1 :]
                order = order[np.argsort(row[order], kind="stable")]
                floor, order = row[order[0]], order[1:]
            else:
                order = np.argsort(row, kind="stable")
                floor = row[order[0]] - 1
            lists = [self._documents[self._starts[c] : self._starts[c + 1]] for c in order]
            documents = np.concatenate(lists)
            # From the worst list to the best, so that the best one that holds a document has the last word.
            best[documents] = np.repeat(row[order] - floor, [len(part) for part in lists])
            total[documents] += best[documents]  # a document that is there twice is written twice, not added twice
        return total

    def save(self, path: Path) -> None:
        """Write it as an artifact."""
        arrays = {"centroids": self.centroids, "codes": self.codes}
        artifact.save(path, KIND, arrays, {"fitted_rows": self.fitted_rows})

    @classmethod
    def load(cls, path: Path) -> Lists:
        """Read what `save` wrote. The lists are there after `extend`.

        Raises:
            ArtifactError: it is damaged or of another kind; the message names the file.

        """
        arrays, card = artifact.load(path, KIND)
        return cls(arrays["centroids"], arrays["codes"], card["fitted_rows"])
