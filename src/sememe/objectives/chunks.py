"""Documents cut into chunks of whole sentences, and batches in which chunks of few documents lie together."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import chain, zip_longest

import numpy as np

_SENTENCE = re.compile(r".+?(?:[.!?]+[\"')\]]*(?:\s+|$)|\n\s*\n|$)", re.DOTALL)
_WORD = re.compile(r"\S+\s*|\s+")


def chunk_text(text: str, max_words: int = 120) -> list[str]:
    """Whole sentences, packed greedily; a sentence that is longer than a chunk is cut between words.

    Joined together the chunks are the text.
    """
    chunks: list[str] = []
    n_words = max_words
    for part in chain.from_iterable(_parts(sentence, max_words) for sentence in _SENTENCE.findall(text)):
        n = len(part.split())
        if chunks and n_words + n <= max_words:
            chunks[-1] += part
            n_words += n
        else:
            chunks.append(part)
            n_words = n
    return chunks


def interleaved(rows: Sequence[Sequence[int]]) -> list[int]:
    """The first of each, the second of each, and so on; rows that run out are passed over."""
    return [item for items in zip_longest(*rows) for item in items if item is not None]


class DocumentBatches:
    """Batches of chunks of a few documents each; every epoch in another order.

    Args:
        owners: the document of each chunk, ascending; (n,), int64.
        batch_size: chunks in a batch; what is left at the end of an epoch is left out.
        documents: whose chunks are interleaved.
        seed: of the orders.

    """

    def __init__(self, owners: np.ndarray, batch_size: int, documents: int, seed: int) -> None:
        self._of = np.split(np.arange(len(owners)), np.flatnonzero(np.diff(owners)) + 1)
        self._size, self._documents, self._seed = batch_size, documents, seed
        self._epoch_size = len(owners) // batch_size
        self._order = functools.lru_cache(2)(self._ordered)

    def draw(self, number: int) -> list[int]:
        """The chunks of batch `number`, in random order."""
        epoch, place = divmod(number, self._epoch_size)
        chunks = self._order(epoch)[place * self._size : (place + 1) * self._size]
        shuffled: list[int] = np.random.default_rng([self._seed, 1, number]).permutation(chunks).tolist()
        return shuffled

    def _ordered(self, epoch: int) -> list[int]:
        order = np.random.default_rng([self._seed, 2, epoch]).permutation(len(self._of))
        groups = [order[start : start + self._documents] for start in range(0, len(order), self._documents)]
        return [chunk for group in groups for chunk in interleaved([self._of[one].tolist() for one in group])]


def _parts(sentence: str, max_words: int) -> list[str]:
    if len(sentence.split()) <= max_words:
        return [sentence]
    words = _WORD.findall(sentence)
    return ["".join(words[start : start + max_words]) for start in range(0, len(words), max_words)]
