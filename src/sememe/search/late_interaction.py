"""Late interaction as the last stage: token vectors of query and text are compared when a hit is read.

Khattab and Zaharia, ColBERT, SIGIR 2020. Nothing is stored: the texts of the best hits are encoded at search time. For
a whole collection of token vectors there is `sememe.search.multi_vector.MultiVectorIndex`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sememe.errors import InputError
from sememe.models.multi_vector import MultiVectorEncoder
from sememe.multi_vector.maxsim import exact_shares
from sememe.search.rerank import DEPTH


class LateInteraction:
    """A reranker: the mean over the query's vectors of the best inner product with a vector of the text.

    Attributes:
        name: what its score is called in `Hit.parts`.
        depth: how many of the best hits it reads.

    """

    name = "late interaction"

    def __init__(self, encoder: MultiVectorEncoder, *, depth: int = DEPTH) -> None:
        if depth < 1:
            raise InputError(f"depth must be at least 1, not {depth}", where="LateInteraction")
        self.encoder, self.depth = encoder, depth

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """The score of each text for the query; shape (n,), float32."""
        asked = self.encoder.encode([query], "query")[0].vectors
        documents = self.encoder.encode(list(texts), "document")
        return np.array([exact_shares(asked, document.vectors)[1].mean() for document in documents], np.float32)
