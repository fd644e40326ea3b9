"""An encoder for tests that need vectors, not a transformer."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


class HashEncoder:
    """A bag-of-words encoder with no weights: every word has a fixed random direction.

    It has the interface of `sememe.Encoder`, runs in microseconds and needs no package, so that tests of
    storage and search do not wait for a transformer.
    """

    name = "hash-encoder"
    fingerprint = "hash-encoder-1"
    max_tokens = 32
    normalizes = True

    def __init__(self, dimensions: int = 16) -> None:
        self.dimensions = dimensions

    def encode(self, texts: str | Sequence[str], **_: object) -> np.ndarray:
        single = isinstance(texts, str)
        rows = (
            np.stack([self._vector(text) for text in ([texts] if single else texts)])
            if len(texts)
            else (np.zeros((0, self.dimensions), np.float32))
        )
        return rows[0] if single else rows

    encode_query = encode
    encode_document = encode

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        spans, start = [], 0
        for word in text.split(" "):
            if word:
                spans.append((start, start + len(word)))
            start += len(word) + 1
        return spans

    def _vector(self, text: str) -> np.ndarray:
        total = np.zeros(self.dimensions)
        for word in text.lower().split():
            total += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dimensions)
        norm = np.linalg.norm(total)
        return (total / norm if norm else total).astype(np.float32)
