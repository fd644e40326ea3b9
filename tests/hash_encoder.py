"""Encoders for tests that need vectors, not a transformer."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from sememe.models.multi_vector import TokenVectors


class HashEncoder:
    """A bag-of-words encoder with no weights: every word has a fixed random direction.

    It has the interface of `sememe.Encoder`, runs in microseconds and needs no package, so that tests of
    storage and search do not wait for a transformer.
    """

    name = "hash-encoder"
    fingerprint = "hash-encoder-1"
    max_tokens = 32
    normalizes = True
    given_prompts: ClassVar[dict[str, str]] = {}

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

    def with_prompts(self, query: str | None = None, document: str | None = None) -> HashEncoder:
        assert query is None is document
        return self

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


class LongVectors(HashEncoder):
    """Vectors whose length says nothing of their meaning: that of a text is 1 and its number of letters."""

    name = fingerprint = "long-vectors"
    normalizes, similarity = False, "cosine"

    def _vector(self, text):
        return super()._vector(text) * np.float32(1 + len(text))


class HashTokens:
    """A token encoder without a model: a word's vector is its own direction and a little of its neighbours'."""

    name = "hash-tokens"
    fingerprint = "hash-tokens-1"
    pruning: str | None = None
    query_length, document_length = 32, 512

    def __init__(self, dimensions: int = 16) -> None:
        self.dimensions = dimensions

    def encode(self, texts, kind):
        return [self._one(text, kind) for text in texts]

    def _one(self, text, kind):
        spans, start = [(0, 0)], 0
        for word in text.replace("\n", " ").split(" "):
            if word:
                spans.append((start, start + len(word)))
            start += len(word) + 1
        directions = np.stack([self._direction(f"[{kind}]")] + [self._direction(text[s:e]) for s, e in spans[1:]])
        mixed = directions + 0.3 * np.roll(directions, 1, axis=0)
        vectors = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        return TokenVectors(vectors.astype(np.float32), np.asarray(spans, np.int32))

    def _direction(self, word):
        return np.random.default_rng(zlib.crc32(word.lower().encode())).standard_normal(self.dimensions)
