"""What a model accepts as texts, and in which batches it reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sememe.errors import InputError

# So much is tokenised at once: enough to sort by length well, little enough to stream millions of texts.
_TEXTS_PER_SLAB = 4096
_CHARACTERS_PER_SLAB = 8 << 20


def as_texts(texts: Any) -> list[str]:
    """A list of checked texts, from any iterable of them (a numpy array or a column of a table too).

    Raises:
        InputError: it is no iterable, or an item is not a valid text; the place is the item's position.

    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InputError(f"expected texts, got {type(texts).__name__}", hint="Give a string or a list of strings")
    items = texts.tolist() if hasattr(texts, "tolist") else list(texts)
    for place, item in enumerate(items):
        check_text(item, f"texts[{place}]")
    return items


def check_text(text: Any, where: str) -> None:
    """Refuse what is not a string of valid Unicode.

    Raises:
        InputError: it is not.

    """
    if not isinstance(text, str):
        raise InputError(f"expected a string, got {type(text).__name__}", where=where)
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise InputError(
            f"is not valid Unicode: half a surrogate pair at character {fault.start}",
            where=where,
            hint="Replace it: text.encode('utf-8', 'replace').decode()",
        ) from None


def slabs(texts: Sequence[str]) -> Iterator[slice]:
    """Slices of `texts` that are worked on one after the other, so that memory does not grow with their number."""
    start = characters = 0
    for end, text in enumerate(texts):
        if end > start and (end - start == _TEXTS_PER_SLAB or characters + len(text) > _CHARACTERS_PER_SLAB):
            yield slice(start, end)
            start, characters = end, 0
        characters += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


def batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Positions in batches of similar length, the longest first, each with at most `max_tokens` padded tokens.

    A text that is longer than `max_tokens` by itself is a batch of its own.
    """
    batch: list[int] = []
    width = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if batch and width * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        if not batch:
            width = lengths[position]
        batch.append(position)
    if batch:
        yield batch
