"""Made data for benchmarks: vectors in clusters, texts with a natural word distribution, an encoder that looks up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from sememe.corpus import Document

DIMENSIONS, INTRINSIC, N_CLUSTERS = 384, 96, 2000
VOCABULARY, WORDS_PER_TEXT = 30_000, 120


def clustered_vectors(n: int, n_queries: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (n, 384) in 2,000 clusters of intrinsic dimension 96, and queries near some of them."""
    rng = np.random.default_rng(random_state)
    basis = np.linalg.qr(rng.standard_normal((DIMENSIONS, INTRINSIC)))[0].T.astype(np.float32)
    centres = rng.standard_normal((N_CLUSTERS, INTRINSIC), np.float32)
    inner = centres[rng.integers(0, N_CLUSTERS, n)] + 0.5 * rng.standard_normal((n, INTRINSIC), np.float32)
    near = inner[rng.choice(n, n_queries, replace=False)] + 0.3 * rng.standard_normal(
        (n_queries, INTRINSIC), np.float32
    )
    return _unit(inner @ basis), _unit(near @ basis)


def zipf_texts(n: int, n_words: int = WORDS_PER_TEXT, random_state: int = 0) -> list[str]:
    """Texts of made-up words whose frequencies fall as 1 / rank."""
    rng = np.random.default_rng(random_state)
    letters = np.array(list("bcdfghklmnprtvz"))
    words = np.array(
        ["".join(letters[[i % 15, i // 15 % 15, i // 225 % 15, i // 3375]]) + "a" for i in range(VOCABULARY)]
    )
    weights = 1 / np.arange(1, VOCABULARY + 1)
    drawn = rng.choice(VOCABULARY, (n, n_words), p=weights / weights.sum())
    return [" ".join(words[row]) for row in drawn]


class TableEncoder:
    """The interface of `sememe.Encoder` over vectors that are there already: text number i of the texts has row i."""

    name = "table"
    fingerprint = "table-1"
    max_tokens = 1 << 20
    normalizes = True
    given_prompts: ClassVar[dict[str, str]] = {}

    def __init__(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        self._row = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors
        self.dimensions = vectors.shape[1]

    def encode_document(self, texts: Sequence[str]) -> np.ndarray:
        return np.take(self._vectors, [self._row[text] for text in texts], axis=0)

    encode_query = encode_document

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [(place, place + 1) for place in range(len(text))]


def documents(texts: Sequence[str]) -> Iterator[Document]:
    """A document a text."""
    return (Document(str(row), text) for row, text in enumerate(texts))


def _unit(vectors: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled.astype(np.float32)
