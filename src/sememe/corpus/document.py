"""The record that everything else is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """A text with a name.

    Args:
        id: unique in its corpus and the same each time the source is read.
        text: the text itself; it may be empty.
        title: a short name for people; it may be empty.
        metadata: everything else that the source says, as JSON values.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """What is encoded and searched: the title on a line of its own, then the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that was left out, where it is and why."""

    place: str
    reason: str
