"""TF-IDF and latent semantic indexing (Deerwester et al. 1990): the classical vectors of texts, no transformer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sememe.objectives.vocabulary import Vocabulary, Words


class LatentSemantics:
    """Counts times smoothed inverse document frequencies, at unit length, and their first singular directions.

    Args:
        texts: to learn from.
        dimensions: singular directions to keep.
        min_count: words that occur less often are left out.

    """

    def __init__(self, texts: Iterable[str], dimensions: int, min_count: int = 3) -> None:
        from scipy.sparse.linalg import svds

        self.vocabulary, words = Vocabulary.learn(texts, min_count=min_count)
        counts = self._counts(words)
        present = np.bincount(counts.indices, minlength=len(self.vocabulary))
        self._weights = np.log((1 + counts.shape[0]) / (1 + present)) + 1
        start = np.random.default_rng(0).standard_normal(min(counts.shape))
        _, values, directions = svds(self._weighed(counts), k=dimensions, v0=start)
        self._directions: np.ndarray = directions[np.argsort(-values)]

    def tf_idf(self, texts: Sequence[str]) -> Any:
        """Sparse vectors at unit length; shape (n, n_words)."""
        return self._weighed(self._counts(self.vocabulary.encode(texts)))

    def vectors(self, texts: Sequence[str], dimensions: int) -> np.ndarray:
        """The first `dimensions` coordinates, at unit length; shape (n, dimensions), float32."""
        from sememe.claims.topic_retrieval import unit

        return unit(self.tf_idf(texts) @ self._directions[:dimensions].T).astype(np.float32)

    def _counts(self, words: Words) -> Any:
        from scipy.sparse import csr_matrix

        ones = np.ones(len(words.ids))
        shape = (words.n_texts, len(self.vocabulary))
        return csr_matrix((ones, (words.texts, words.ids)), shape)  # equal places add up

    def _weighed(self, counts: Any) -> Any:
        from scipy.sparse import diags_array

        weighed = counts @ diags_array(self._weights)
        lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1))).ravel()
        return (diags_array(1 / np.maximum(lengths, 1e-12)) @ weighed).tocsr()
