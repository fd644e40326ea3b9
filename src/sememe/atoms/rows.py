"""Training rows: an array or a bank, split into training and held-out rows without splitting a document."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.atoms.weights import check_vectors
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.bank import Bank

MEMORY_LIMIT = 1 << 30  # bytes of float32 vectors that are simply read into memory
MINIMUM_ROWS = 10
OUTLIER = 8.0  # times the median length
MOST_OUTLIERS = 0.02  # of all vectors; where more are long, length is no accident
_BLOCK_ROWS = 4096
_BUFFER_BLOCKS = 32


@dataclass(frozen=True)
class Rows:
    """Vectors with a split.

    Attributes:
        data: all vectors, as an array in memory or a bank on disk.
        train, held_out: sorted row numbers.
        mean: mean of the training rows (d,).
        scale: their root mean squared distance from the mean.
        splits_a_document: whether one document has both training and held-out rows.
        norm_limit: longer vectors are in neither part; infinity when there are none.
        left_out: how many these are.
    """

    data: np.ndarray | Bank
    train: np.ndarray
    held_out: np.ndarray
    mean: np.ndarray
    scale: float
    splits_a_document: bool
    norm_limit: float = math.inf
    left_out: int = 0

    def blocks(self, rows: np.ndarray, size: int = _BLOCK_ROWS) -> Iterator[np.ndarray]:
        """The vectors of the given sorted row numbers, a block at a time, in order."""
        for start in range(0, len(rows), size):
            yield check_vectors(self.data[rows[start : start + size]])

    def shuffled(self, batch_size: int, random_state: int, first_batch: int = 0) -> Iterator[np.ndarray]:
        """Endless batches of training rows, a fresh order each time round; the same for the same seed.

        Rows in memory are shuffled whole. Rows on disk are read in contiguous blocks in random order, and shuffled
        within a buffer of many blocks, so that memory stays bounded and reads stay sequential.

        Args:
            batch_size: how many rows a batch has.
            random_state: the seed.
            first_batch: how many batches to leave out at the beginning; they are not read.
        """
        epoch, skip = divmod(first_batch * batch_size, len(self.train))
        waiting = np.empty((0, len(self.mean)), np.float32)
        while True:
            for rows, order in self._chunks(np.random.default_rng([random_state, 3, epoch])):
                if skip >= len(order):
                    skip -= len(order)
                    continue
                chunk = check_vectors(self.data[rows])[order[skip:]]
                skip = 0
                waiting = np.concatenate([waiting, chunk]) if len(waiting) else chunk
                full = len(waiting) // batch_size * batch_size
                for start in range(0, full, batch_size):
                    yield waiting[start : start + batch_size]
                waiting = waiting[full:].copy()
            epoch += 1

    def _chunks(self, generator: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers to read together, and the order in which to use what was read."""
        size = _BUFFER_BLOCKS * _BLOCK_ROWS
        if isinstance(self.data, np.ndarray):
            shuffled = generator.permutation(self.train)
            for start in range(0, len(shuffled), size):
                piece = shuffled[start : start + size]
                yield piece, np.arange(len(piece))
            return
        blocks = np.array_split(self.train, -(-len(self.train) // _BLOCK_ROWS))
        order = generator.permutation(len(blocks))
        for start in range(0, len(order), _BUFFER_BLOCKS):
            rows = np.concatenate([blocks[i] for i in np.sort(order[start : start + _BUFFER_BLOCKS])])
            yield rows, generator.permutation(len(rows))


def held_out_rows(data: Any, share: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """The training and held-out row numbers, sorted, that learning with this share and seed uses.

    Args:
        data: the vectors (n, d), or a bank.
        share: see `AtomsConfig.held_out`.
        random_state: the seed.
    """
    generator = np.random.default_rng([random_state, 0])
    train, held_out, _ = _split(len(data), getattr(data, "documents", None), share, generator)
    return _ordinary(vector_norms(data), train, held_out)[:2]


def vector_norms(data: Any) -> np.ndarray:
    """The Euclidean length of every vector (n,), float32, a block at a time."""
    norms = np.empty(len(data), np.float32)
    for start in range(0, len(data), _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, len(data)))
        norms[rows] = np.linalg.norm(check_vectors(data[rows]), axis=1)
    return norms


def norm_limit(norms: np.ndarray) -> float:
    """The length above which vectors are outliers: eight times the median, if that is true of few.

    Language models give a few tokens at the beginning of a text vectors that are over a hundred times longer than the
    others (Sun, Chen, Kolter & Liu, "Massive Activations in Large Language Models", arXiv 2402.17762). 33 of 199,000
    held half of all the squared length at one site of SmolLM2: figures that count them are half about them.
    """
    limit = OUTLIER * float(np.median(norms)) if len(norms) else math.inf
    return limit if 0 < (norms > limit).mean() <= MOST_OUTLIERS else math.inf


def prepare(data: Any, held_out: float, random_state: int) -> Rows:
    """Check the vectors, split them, and measure their mean and scale.

    Raises:
        InputError: not finite numbers (n, d), too few, or all the same.
    """
    generator = np.random.default_rng([random_state, 0])
    if not hasattr(data, "batches"):
        data = check_vectors(data)
    elif len(data) * data.dimensions * 4 <= MEMORY_LIMIT:
        documents = data.documents
        return _measure(check_vectors(data[:]), *_split(len(data), documents, held_out, generator))
    return _measure(data, *_split(len(data), getattr(data, "documents", None), held_out, generator))


def _split(
    n: int, documents: np.ndarray | None, share: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Sorted training and held-out row numbers, and whether a document had to be split."""
    if n < MINIMUM_ROWS:
        raise InputError(
            f"{n} vector{'s are' if n != 1 else ' is'} too few to learn atoms from",
            where="Atoms.fit",
            hint=f"Give at least {MINIMUM_ROWS}; thousands make useful atoms",
        )
    groups = np.arange(n) if documents is None else np.unique(documents, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    splits_a_document = n_groups == 1
    if splits_a_document:
        groups, n_groups = np.arange(n), n
    chosen = np.zeros(n_groups, bool)
    chosen[generator.permutation(n_groups)[: max(1, round(share * n_groups))]] = True
    is_held_out = chosen[groups]
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out), splits_a_document


def _ordinary(norms: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both parts without outliers, and the limit; as they are if one would be empty."""
    limit = norm_limit(norms)
    kept, kept_held_out = train[norms[train] <= limit], held_out[norms[held_out] <= limit]
    if not len(kept) or not len(kept_held_out):
        return train, held_out, math.inf
    return kept, kept_held_out, limit


def _measure(data: Any, train: np.ndarray, held_out: np.ndarray, splits_a_document: bool) -> Rows:
    """Leave outliers out, and add the mean and scale of the training rows, accumulated in float64."""
    norms = vector_norms(data)
    train, held_out, limit = _ordinary(norms, train, held_out)
    dimensions = data.shape[1] if isinstance(data, np.ndarray) else data.dimensions
    rows = Rows(data, train, held_out, np.zeros(dimensions), 1.0, splits_a_document)
    total = np.zeros(dimensions)
    for block in rows.blocks(train):
        total += block.sum(axis=0, dtype=np.float64)
    mean = total / len(train)
    squares = sum(float(np.square(block - mean).sum()) for block in rows.blocks(train))
    scale = float(np.sqrt(squares / len(train)))
    if scale <= 1e-6 * max(1e-30, float(np.abs(mean).max())):
        raise InputError(
            "all vectors are the same, so there is nothing to learn",
            where="Atoms.fit",
            hint="Check that the vectors are what you meant to give",
        )
    left_out = int((norms > limit).sum())
    return Rows(data, train, held_out, mean.astype(np.float32), scale, splits_a_document, limit, left_out)
