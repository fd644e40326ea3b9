"""Batches of two views of windows of a corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.errors import InputError
from sememe.models.trainable import TrainableEncoder
from sememe.training.drawing import BySource, EveryEpoch
from sememe.training.objective import Batch
from sememe.training.token_store import TokenStore

Pair = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""A window of tokens and draws -> the two views of it, without what frames a text."""


Order = EveryEpoch | BySource


@dataclass(frozen=True, eq=False)
class Windows:
    """Where the windows of a stream of tokens are.

    Attributes:
        owners: the document of each window; (n,), int64.
        starts: its first token in the stream, before the shift; (n,), int64.
        begins, ends: the part of the stream that it may be shifted in; (n,), int64.
        size: tokens in a window, fewer only where there are no more.

    """

    owners: np.ndarray
    starts: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    size: int

    def draw(self, window: int, shift: int) -> tuple[int, int]:
        """Start and end of a window, moved by `shift` tokens as far as there is room."""
        begin, end = int(self.begins[window]), int(self.ends[window])
        start = max(begin, min(int(self.starts[window]) + shift, end - self.size))
        return start, min(start + self.size, end)


def windows_of(store: TokenStore, size: int, *, respect_documents: bool) -> Windows:
    """Windows of `size` tokens, one after another, inside documents or across them.

    Windows across documents, as in the published training, belong to the document that they start in.
    """
    if not respect_documents:
        starts = np.arange(0, max(1, len(store.tokens) - size + 1), size, dtype=np.int64)
        owners = np.searchsorted(store.starts, starts, side="right") - 1
        begins, ends = np.zeros_like(starts), np.full_like(starts, len(store.tokens))
        return Windows(owners, starts, begins, ends, size)
    lengths = np.diff(store.starts)
    counts = -(-lengths // size)
    owners = np.repeat(np.arange(len(store)), counts)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins, ends = store.starts[owners], store.starts[owners + 1]
    return Windows(owners, begins + size * within, begins, ends, size)


class CropData:
    """Two views of windows, each shifted by a random number of tokens.

    Args:
        store: the tokens.
        windows: where the windows are.
        pair: makes the two views.
        order: which windows are drawn.
        encoder: frames them.
        batch_size: windows in a batch.
        seed: of every draw.

    Raises:
        InputError: a batch has more windows than the corpus.

    """

    def __init__(
        self,
        store: TokenStore,
        windows: Windows,
        pair: Pair,
        order: Order,
        *,
        encoder: TrainableEncoder,
        batch_size: int,
        seed: int,
    ) -> None:
        if len(windows.owners) < batch_size:
            raise InputError(
                f"a batch of {batch_size} needs as many windows of text, and the corpus has {len(windows.owners)}",
                where="batch_size",
                hint=f"Give at most {len(windows.owners)}",
            )
        self._store, self._windows, self._pair = store, windows, pair
        self._encoder, self._batch_size, self._seed = encoder, batch_size, seed
        self._order = order

    @property
    def fingerprint(self) -> str:
        return self._store.fingerprint

    @property
    def about(self) -> Mapping[str, Any]:
        lengths = np.diff(self._store.starts)
        return {
            "trained_on": len(self._store),
            "too_short": self._store.skipped,
            "tokens": int(lengths.sum()),
            "windows": len(self._windows.owners),
        }

    def batch(self, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, 1, number])
        windows = self._order.draw(number, self._batch_size).tolist()
        queries, keys = [], []
        for window in windows:
            start, end = self._windows.draw(window, int(rng.integers(self._windows.size)))
            query, key = self._pair(np.asarray(self._store.tokens[start:end]), rng)
            queries.append(self._encoder.framed(query.tolist(), "query"))
            keys.append(self._encoder.framed(key.tolist(), "document"))
        owners = self._windows.owners[windows]
        documents = [self._store.ids[owner] for owner in owners]
        return Batch({"query": queries, "key": keys}, documents, {"owners": owners})
