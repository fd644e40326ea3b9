"""From queries to the vectors that are searched with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sememe.errors import InputError
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
    if len(texts) == len(queries):
        vectors = np.asarray(index.encoder.encode_query(texts), np.float32)
    else:
        vectors = _checked(index, dimensions, queries)
    vectors = vectors.reshape(len(queries), dimensions)
    if not steer:
        return vectors
    if explain is None:
        raise InputError("steering needs the atoms to steer along", hint="Pass them as explain=atoms")
    return steered(vectors, explain, steer, unit_length=bool(index.normalizes))


def _checked(index: Encodes, dimensions: int, queries: Queries) -> np.ndarray:
    rows = []
    for number, query in enumerate(queries):
        row = np.asarray(index.encoder.encode_query(query) if isinstance(query, str) else query, np.float32)
        if row.shape != (dimensions,):
            raise InputError(f"query {number} has shape {row.shape}, the index holds vectors of ({dimensions},)")
        if not np.isfinite(row).all():
            raise InputError(f"query {number} holds NaN or infinity")
        rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, dimensions), np.float32)
