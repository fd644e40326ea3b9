"""Cutting documents into the windows that are encoded, one vector each."""

from __future__ import annotations

from sememe.corpus import Document, Window, windows
from sememe.models import Encoder


def windows_of(document: Document, encoder: Encoder, overlap: int) -> list[Window]:
    """The windows of a document: one if the encoder takes it whole, else overlapping ones.

    The title stands in front of every window, so that a passage does not lose what it is about; it may take half
    of the encoder's room.
    """
    room = encoder.max_tokens
    if document.title:
        room -= min(len(encoder.token_spans(document.title)), room // 2)
    if len(document.text) <= room:  # a token has at least one character
        return [Window(0, len(document.text))]
    return windows(document.text, encoder.token_spans(document.text), room, min(overlap, room // 2))


def content(document: Document, window: Window) -> str:
    """What is encoded for a window: the title and the window's text."""
    text = document.text[window.start : window.end]
    return f"{document.title}\n{text}" if document.title else text
