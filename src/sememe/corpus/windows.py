"""Cutting a long text into overlapping windows of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sememe.errors import InputError


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a document: `document.text[start:end]`, counted in characters."""

    start: int
    end: int


def windows(text: str, spans: Sequence[tuple[int, int]], max_tokens: int, overlap: int) -> list[Window]:
    """Windows of at most `max_tokens` tokens, each but the first starting `overlap` tokens before the last one's end.

    Args:
        text: the text that is cut.
        spans: start and end of each token in `text`, in order.
        max_tokens: how many tokens a window may hold.
        overlap: how many tokens two neighbours share.

    Returns:
        At least one window, in order. The first starts at character 0 and the last ends at `len(text)`; a text
        that fits is one window. Between windows that share no token, white space may be in neither.

    Raises:
        InputError: not `0 <= overlap < max_tokens`.
    """
    if not 0 <= overlap < max_tokens:
        raise InputError(
            f"windows of {max_tokens} tokens cannot overlap by {overlap}",
            hint="Choose an overlap of at least 0 and below the number of tokens",
        )
    if len(spans) <= max_tokens:
        return [Window(0, len(text))]
    step = max_tokens - overlap
    starts = range(0, len(spans) - overlap, step)
    cuts = [(spans[start][0], spans[min(start + max_tokens, len(spans)) - 1][1]) for start in starts]
    cuts[0] = (0, cuts[0][1])
    cuts[-1] = (cuts[-1][0], len(text))
    return [Window(start, end) for start, end in cuts]
