"""Binary codes for the first stage of large collections: one bit a dimension in memory, vectors on disk.

The codes are RaBitQ's (Gao and Long, SIGMOD 2024), as faiss computes them: the signs of a vector around a
centroid and two correction factors, d/8 + 8 bytes. They only propose rows; `sememe.search.dense` decides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sememe import artifact
from sememe.bank import Bank

KIND = "codes"
TRAINING_ROWS = 50_000
QUERY_BITS = 8
MIN_CANDIDATES = 100
CANDIDATES_PER_HIT = 10
TARGET_RECALL = 0.95
SAMPLED_QUERIES = 200


class Codes:
    """RaBitQ codes of the rows of a bank.

    Attributes:
        centroid: what signs are taken around; shape (d,).
        n_rows: how many rows have codes.
        per_hit: candidates proposed for each hit that is asked for.
        recall: the measured share of the true top 10 among the candidates for 10, or None before `measure`.

    """

    def __init__(self, centroid: np.ndarray, codes: np.ndarray, per_hit: int, recall: float | None) -> None:
        import faiss

        self.per_hit, self.recall = per_hit, recall
        index: Any = faiss.index_factory(len(centroid), "RaBitQ", faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(np.ascontiguousarray(centroid, np.float32), index.center)
        faiss.copy_array_to_vector(np.ascontiguousarray(codes, np.uint8).reshape(-1), index.codes)
        index.ntotal = len(codes)
        index.is_trained = True
        self._index: Any = index
        self.centroid = centroid

    @classmethod
    def fit(cls, bank: Bank) -> Codes:
        """Take the centroid of the first rows; `extend` then makes the codes."""
        import faiss

        sample = bank[: min(TRAINING_ROWS, len(bank))]
        index: Any = faiss.index_factory(bank.dimensions, "RaBitQ", faiss.METRIC_INNER_PRODUCT)
        index.train(sample)
        codes = cls(
            faiss.vector_to_array(index.center), np.zeros((0, index.code_size), np.uint8), CANDIDATES_PER_HIT, None
        )
        codes.extend(bank)
        codes.measure(bank)
        return codes

    @property
    def n_rows(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        """The memory that the codes take."""
        return self.n_rows * int(self._index.code_size)

    def extend(self, bank: Bank) -> None:
        """Make the codes of rows that have none yet; the centroid stays."""
        for start, block in bank.batches(16_384):
            if start + len(block) > self.n_rows:
                self._index.add(np.ascontiguousarray(block[max(0, self.n_rows - start) :]))

    def n_candidates(self, k: int) -> int:
        """How many rows to propose for `k` hits."""
        return max(MIN_CANDIDATES, self.per_hit * k)

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        """The `n` allowed rows whose codes are nearest to the query; fewer when fewer are allowed."""
        import faiss

        bitmap = np.packbits(allowed, bitorder="little")
        parameters: Any = faiss.RaBitQSearchParameters()
        parameters.qb = QUERY_BITS
        selector: Any = faiss.IDSelectorBitmap
        parameters.sel = selector(bitmap)
        _, rows = self._index.search(query.reshape(1, -1), min(n, self.n_rows), params=parameters)
        return np.asarray(rows[0][rows[0] >= 0])

    def measure(self, bank: Bank, random_state: int = 0) -> None:
        """Measure recall@10 with sampled rows as queries, and propose more rows until it reaches the target.

        A row is no fair query for itself, so it is left out of its own true and proposed lists.
        """
        rows = np.random.default_rng(random_state).choice(len(bank), min(SAMPLED_QUERIES, len(bank)), replace=False)
        rows.sort()
        queries = bank[rows]
        truth = _true_top(bank, queries, rows, 10)
        allowed = np.ones(len(bank), bool)
        while True:
            found = []
            for row, query, true in zip(rows, queries, truth, strict=True):
                proposed = self.candidates(query, self.n_candidates(10) + 1, allowed)
                found.append(np.isin(true, proposed[proposed != row]).mean() if len(true) else 1.0)
            self.recall = float(np.mean(found))
            if self.recall >= TARGET_RECALL or self.n_candidates(10) >= len(bank):
                return
            self.per_hit *= 2

    def save(self, path: Path) -> None:
        """Write the codes as an artifact, checksums included."""
        import faiss

        codes = faiss.vector_to_array(self._index.codes).reshape(self.n_rows, -1)
        card: dict[str, Any] = {"per_hit": self.per_hit, "recall@10": self.recall}
        artifact.save(path, KIND, {"centroid": self.centroid, "codes": codes}, card)

    @classmethod
    def load(cls, path: Path) -> Codes:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is damaged; the message names the file.

        """
        arrays, card = artifact.load(path, KIND)
        return cls(arrays["centroid"], arrays["codes"], card["per_hit"], card["recall@10"])


def _true_top(bank: Bank, queries: np.ndarray, own_rows: np.ndarray, k: int) -> list[np.ndarray]:
    best = [np.zeros((0, 2)) for _ in queries]
    for start, block in bank.batches(16_384):
        scores = queries @ block.T
        inside = (own_rows >= start) & (own_rows < start + len(block))
        scores[np.flatnonzero(inside), own_rows[inside] - start] = -np.inf
        keep = min(k, len(block))
        top = np.argpartition(-scores, keep - 1, axis=1)[:, :keep]
        for number, columns in enumerate(top):
            merged = np.vstack([best[number], np.column_stack([scores[number, columns], columns + start])])
            best[number] = merged[np.argsort(-merged[:, 0])][:k]
    return [rows[np.isfinite(rows[:, 0]), 1].astype(np.int64) for rows in best]
