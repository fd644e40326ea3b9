"""Documents whose vectors are made of planted directions, so that the truth is known and no model is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from sememe.corpus import Document

DIMENSIONS, N_DIRECTIONS, N_ACTIVE = 48, 64, 6
NOISE = 0.02


def planted_documents(n: int) -> Iterator[Document]:
    """Documents for `PlantedEncoder`: the text names a document's vector, the title that of a question about it."""
    for number in range(n):
        yield Document(f"p{number}", f"vector {number}", title=f"question {number}")


class PlantedEncoder:
    """The interface of `sememe.Encoder` on vectors that are made, not computed from a text.

    A document's vector is a common mean, six of 64 planted directions and noise; the question about it has the three
    strongest of these directions.

    Attributes:
        directions: (64, 48), unit norm.

    """

    name = "planted"
    dimensions = DIMENSIONS
    max_tokens = 512
    normalizes, similarity = False, "dot"
    given_prompts: ClassVar[dict[str, str]] = {}

    def __init__(self, n: int, random_state: int = 0) -> None:
        self.fingerprint = f"planted-{n}-{DIMENSIONS}-{N_DIRECTIONS}-{N_ACTIVE}-{random_state}"
        rng = np.random.default_rng([random_state, 3])
        self.directions = rng.standard_normal((N_DIRECTIONS, DIMENSIONS))
        self.directions /= np.linalg.norm(self.directions, axis=1, keepdims=True)
        mean = 0.5 * rng.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS)
        chosen = np.argsort(rng.random((n, N_DIRECTIONS)), axis=1)[:, :N_ACTIVE]
        strength = -np.sort(-rng.uniform(0.5, 1.5, (n, N_ACTIVE)), axis=1)
        parts = strength[:, :, None] * self.directions[chosen]
        noise = NOISE * rng.standard_normal((2, n, DIMENSIONS))
        self._vectors: np.ndarray = (mean + parts.sum(axis=1) + noise[0]).astype(np.float32)
        self._questions: np.ndarray = (mean + parts[:, :3].sum(axis=1) + noise[1]).astype(np.float32)

    def encode_document(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors that the texts name; (n, 48)."""
        return np.take(self._vectors, [_number(text) for text in texts], axis=0)

    def encode_query(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of the questions; (n, 48)."""
        return np.take(self._questions, [_number(text) for text in texts], axis=0)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """One token a character."""
        return [(place, place + 1) for place in range(len(text))]


def _number(text: str) -> int:
    return int(text.rsplit(" ", maxsplit=1)[1])
