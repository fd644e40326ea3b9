"""Running a language model over texts: checked at once, tokenised as needed, batched by length, results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from sememe.errors import InputError
from sememe.models.texts import as_texts, batches

Texts = str | Sequence[str] | Sequence[Sequence[int]]
"""Texts, or the token ids of texts."""

Result = TypeVar("Result")

# Results come in the order of the texts, so those of this many batches are held at a time.
_BATCHES_PER_SLAB = 8


class Tokens(NamedTuple):
    """A text as a model reads it."""

    ids: list[int]
    spans: list[tuple[int, int]]
    """The characters of each token, (0, 0) for special tokens; empty when the text was given as ids."""


def as_inputs(texts: Texts) -> list[str] | list[list[int]]:
    """Texts, or the ids of texts, as a list.

    Raises:
        InputError: an item is neither, or a text is not valid Unicode.

    """
    if isinstance(texts, str):
        return as_texts([texts])
    items = list(texts)
    if any(isinstance(item, str) for item in items):
        return as_texts(items)
    ids: list[list[int]] = []
    for place, item in enumerate(items):
        row = np.asarray(item)
        if row.ndim != 1 or (len(row) > 0 and row.dtype.kind not in "iu"):
            raise InputError(f"expected a text or token ids, got {type(item).__name__}", where=f"texts[{place}]")
        ids.append(row.astype(np.int64).tolist())
    return ids


def in_order(
    items: Sequence[str] | Sequence[list[int]],
    tokenize: Callable[[str], Tokens],
    limit: int,
    budget: int,
    compute: Callable[[list[list[int]]], list[Result]],
) -> Iterator[tuple[Tokens, Result]]:
    """`compute` on batches of texts of similar length; results come in the order of the texts.

    Args:
        items: texts, or ids.
        tokenize: from a text to its tokens.
        limit: longer texts are cut to so many tokens.
        budget: how many tokens a batch may have, padding included.
        compute: from the ids of several texts to one result for each.

    """
    for slab in _slabs(items, tokenize, limit, _BATCHES_PER_SLAB * budget):
        results: dict[int, Result] = {}
        for batch in batches([len(tokens.ids) for tokens in slab], budget):
            results.update(zip(batch, compute([slab[row].ids for row in batch]), strict=True))
        for row, tokens in enumerate(slab):
            yield tokens, results.pop(row)


def _slabs(
    items: Sequence[Any], tokenize: Callable[[str], Tokens], limit: int, n_tokens: int
) -> Iterator[list[Tokens]]:
    """Tokenised texts, about `n_tokens` tokens at a time."""
    slab: list[Tokens] = []
    held = 0
    for item in items:
        tokens = tokenize(item) if isinstance(item, str) else Tokens(item, [])
        slab.append(Tokens(tokens.ids[:limit], tokens.spans[:limit]))
        held += len(slab[-1].ids)
        if held >= n_tokens:
            yield slab
            slab, held = [], 0
    if slab:
        yield slab
