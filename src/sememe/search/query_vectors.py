"""From queries to the vectors that are searched with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sememe.errors import InputError
from sememe.models.encoder import compared
from sememe.search.explaining import steered
from sememe.search.request import Queries

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.models import Encoder


class Encodes(Protocol):
    """What is needed of an index: its encoder, loaded on first use, and whether its vectors have unit length."""

    @property
    def encoder(self) -> Encoder: ...

    @property
    def normalizes(self) -> bool: ...


def query_vectors(
    index: Encodes, dimensions: int, queries: Queries, explain: Atoms | None, steer: Mapping[int, float] | None
) -> np.ndarray:
    """The vectors of queries, steered; shape (n_queries, d), float32.

    Raises:
        InputError: a query is a vector of another shape or not finite, or there are no atoms to steer along.

    """
    texts = [query for query in queries if isinstance(query, str)]
    vectors = encoded_queries(index, texts) if len(texts) == len(queries) else _checked(index, dimensions, queries)
    vectors = vectors.reshape(len(queries), dimensions)
    if not steer:
        return vectors
    if explain is None:
        raise InputError("steering needs the atoms to steer along", hint="Pass them as explain=atoms")
    return steered(vectors, explain, steer, unit_length=bool(index.normalizes))


def encoded_queries(index: Encodes, texts: Sequence[str]) -> np.ndarray:
    """The vectors of query texts, of length one where those of the index are; shape (n_texts, d), float32."""
    vectors = np.asarray(index.encoder.encode_query(list(texts)), np.float32)
    return compared(vectors, index.encoder, by_cosine=index.normalizes)


def _checked(index: Encodes, dimensions: int, queries: Queries) -> np.ndarray:
    rows = []
    for number, query in enumerate(queries):
        row = encoded_queries(index, [query])[0] if isinstance(query, str) else np.asarray(query, np.float32)
        if row.shape != (dimensions,):
            raise InputError(f"query {number} has shape {row.shape}, the index holds vectors of ({dimensions},)")
        if not np.isfinite(row).all():
            raise InputError(f"query {number} holds NaN or infinity")
        rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, dimensions), np.float32)
