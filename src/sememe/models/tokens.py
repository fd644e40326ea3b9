"""Texts to token ids, for encoders: a fast tokenizer that cuts long texts and never pads."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from sememe.models.texts import check_text

NO_LIMIT = 2**31 - 1
"""The token limit of a model that reads texts of any length."""

# A text is first cut to this many characters for each token that fits, because tokenising a whole book to keep
# its first 256 tokens would cost more than the model does.
_CHARACTERS_PER_TOKEN = 16
_MARGIN = 16
# Offsets of a long text are found piece by piece: a piece needs a few hundred bytes a token while it is worked on.
_PIECE = 1 << 16
_PROBE = "a"


class TextTokenizer:
    """A fast tokenizer with one fixed way to make ids.

    Args:
        backend: a `tokenizers.Tokenizer`; it is copied, because its settings are changed.
        max_length: how many ids a text may have, special tokens included.
        side: where texts that are too long are cut, `right` or `left`.
        add_special_tokens: whether ids get what the model expects around a text.

    """

    def __init__(
        self, backend: Any, max_length: int = NO_LIMIT, *, side: str = "right", add_special_tokens: bool = True
    ) -> None:
        self.json: str = backend.to_str()
        self._add_special_tokens = add_special_tokens
        self._cuts_right = side == "right"
        self._cutting = _parse(self.json)
        self.n_special: int = self._cutting.num_special_tokens_to_add(False) if add_special_tokens else 0
        self.max_length = max_length
        if max_length < NO_LIMIT:
            self._cutting.enable_truncation(max_length, direction=side)

    def encode(self, texts: Sequence[str]) -> list[Any]:
        """One `tokenizers.Encoding` a text, with `ids` and `type_ids`, cut to `max_length`."""
        prefixes = [self._prefix(text) for text in texts]
        encodings: list[Any] = self._cut(prefixes)
        # A prefix stands for its text when the limit falls well inside it; else the whole text is needed.
        unsure = [
            row
            for row, (text, prefix) in enumerate(zip(texts, prefixes, strict=True))
            if len(prefix) < len(text) and self.count(prefix) < self.max_length + _MARGIN
        ]
        for row, encoding in zip(unsure, self._cut([texts[row] for row in unsure]), strict=True):
            encodings[row] = encoding
        return encodings

    def count(self, text: str) -> int:
        """How many tokens `text` has, special tokens left out, nothing cut."""
        return len(self._whole.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character spans of all tokens of `text`, special tokens left out, nothing cut.

        Raises:
            InputError: the text is not valid Unicode.

        """
        check_text(text, "the text")
        spans: list[tuple[int, int]] = []
        start = 0
        while start < len(text):
            end = _piece_end(text, start)
            encoding = self._whole.encode(text[start:end], add_special_tokens=False)
            spans.extend((start + left, start + right) for left, right in encoding.offsets)
            start = end
        return spans

    def ids_and_spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a whole text, special tokens included, and their character spans, (0, 0) for special tokens."""
        encoding = self._whole.encode(text, add_special_tokens=self._add_special_tokens)
        return encoding.ids, encoding.offsets

    @functools.cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer puts before and after a text of its own."""
        bare = self._whole.encode(_PROBE, add_special_tokens=False).ids
        framed = self._whole.encode(_PROBE, add_special_tokens=self._add_special_tokens).ids
        start = next(place for place in range(len(framed)) if framed[place : place + len(bare)] == bare)
        return framed[:start], framed[start + len(bare) :]

    @functools.cached_property
    def _whole(self) -> Any:
        return _parse(self.json)

    def _cut(self, texts: list[str]) -> list[Any]:
        encodings: list[Any] = self._cutting.encode_batch_fast(texts, add_special_tokens=self._add_special_tokens)
        return encodings

    def _prefix(self, text: str) -> str:
        length = _CHARACTERS_PER_TOKEN * self.max_length
        if len(text) <= length or not self._cuts_right:
            return text
        space = text.rfind(" ", length // 2, length)
        return text[: space if space > 0 else length]


def as_batch(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    """Rows of ids as one int64 array (rows, longest), filled up on the right with `fill`."""
    batch = np.full((len(rows), max(map(len, rows), default=0)), fill, np.int64)
    for target, row in zip(batch, rows, strict=True):
        target[: len(row)] = row
    return batch


def _parse(json: str) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _piece_end(text: str, start: int) -> int:
    """Where the piece that begins at `start` ends: before white space when there is some."""
    end = start + _PIECE
    if end >= len(text):
        return len(text)
    for mark in ("\n", " "):
        cut = text.rfind(mark, start + _PIECE // 2, end)
        if cut > 0:
            return cut
    return end
