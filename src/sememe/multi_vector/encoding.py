"""From texts to the vectors that are stored and searched with: token vectors, pruned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from sememe.models.multi_vector import TokenVectors, padded
from sememe.multi_vector.pruning import Kind, Pruning, prune_with_members

_TEXTS_AT_ONCE = 32


class TokenEncoder(Protocol):
    """What an index needs of an encoder; see `sememe.models.multi_vector.MultiVectorEncoder`."""

    name: str
    fingerprint: str
    dimensions: int
    query_length: int
    document_length: int
    pruning: str | None

    def encode(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[TokenVectors]: ...


class Encoded(NamedTuple):
    """The vectors of one text.

    Attributes:
        vectors: shape (k, d), float32; at least one.
        tokens: for each token the first and the last character of the text and the vector that it went into, -1 for
            none; shape (n, 3), int32.

    """

    vectors: np.ndarray
    tokens: np.ndarray


def encode_pruned(
    encoder: TokenEncoder, texts: Sequence[str], kind: Kind, pruning: Pruning, ids: Sequence[str], *, renormalize: bool
) -> list[Encoded]:
    """Encode texts and reduce their token vectors.

    Args:
        encoder: what gives token vectors.
        texts: the texts.
        kind: `query` or `document`.
        pruning: how many vectors are kept.
        ids: the texts' names for error messages.
        renormalize: scale the means of clusters to unit length.

    Raises:
        InputError: a text has no tokens, or a vector holds NaN; the message names the text.

    """
    import torch

    records = encoder.encode(texts, kind)
    encoded: dict[int, Encoded] = {}
    for batch in _by_length([len(record.vectors) for record in records]):
        vectors, mask = padded([records[place] for place in batch])
        pruned = prune_with_members(
            torch.from_numpy(vectors),
            torch.from_numpy(mask),
            pruning,
            kind,
            renormalize=renormalize,
            ids=[ids[place] for place in batch],
        )
        for row, place in enumerate(batch):
            members = pruned.members[row, : len(records[place].spans)].numpy()
            tokens = np.column_stack([records[place].spans, members]).astype(np.int32)
            encoded[place] = Encoded(pruned.vectors[row][pruned.mask[row]].numpy(), tokens)
    return [encoded[place] for place in range(len(records))]


def _by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places in batches of similar length, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    for start in range(0, len(order), _TEXTS_AT_ONCE):
        yield order[start : start + _TEXTS_AT_ONCE]
