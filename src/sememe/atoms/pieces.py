"""How a token reads: its own piece of text, its leading space included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_DAMAGED = "\ufffd"


def read_pieces(tokenizer: Any, ids: Iterable[int]) -> dict[int, str]:
    r"""The text that each token adds behind another one: " the" for GPT-2's `Ġthe`, "ing" for BERT's `##ing`.

    A token that is only part of a character is shown by its bytes, such as `\xe2\x80`; an id that the tokenizer does
    not know as `<50300>`.

    Args:
        tokenizer: a fast Hugging Face tokenizer.
        ids: the tokens; each is read once.
    """
    backend = tokenizer.backend_tokenizer
    unique = sorted({int(number) for number in ids})
    anchor = backend.encode("a", add_special_tokens=False).ids
    prefix = backend.decode(anchor, skip_special_tokens=False)
    texts = backend.decode_batch([[*anchor, number] for number in unique], skip_special_tokens=False)
    pieces = {}
    for number, text in zip(unique, texts, strict=True):
        piece = text[len(prefix) :]
        if not piece or _DAMAGED in piece or not text.startswith(prefix):
            token = backend.id_to_token(number)
            piece = f"<{number}>" if token is None else _shown_bytes(token)
        pieces[number] = piece
    return pieces


def _shown_bytes(token: str) -> str:
    """A byte-level token as escaped bytes; any other token as it is."""
    values = [_BYTES.get(character) for character in token]
    if any(value is None for value in values):
        return token
    return "".join(f"\\x{value:02x}" for value in values)


def _byte_table() -> dict[str, int]:
    """GPT-2's characters for bytes: those that print stand for themselves, the others follow from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in plain]
    return {chr(value): value for value in plain} | {chr(256 + n): value for n, value in enumerate(others)}


_BYTES = _byte_table()
