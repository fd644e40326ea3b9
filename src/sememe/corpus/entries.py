"""What the readers hand to a corpus: documents with their place, and what could not become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sememe.corpus.document import Document, Skipped


class BadRecordError(Exception):
    """One record cannot be used; those behind it can. Never leaves this room.

    Args:
        reason: what is wrong with it, as the rest of a sentence about it.
        hint: what to do about it.
    """

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """A bad record: an error, or one more skipped record, as the reader's caller chose."""

    place: str
    reason: str
    hint: str | None = None

    @classmethod
    def at(cls, place: str, bad: BadRecordError) -> Problem:
        return cls(place, bad.reason, bad.hint)


Fields = dict[str, Any]
Numbered = tuple[int, Document]
"""A document and its line, row or ordinal in its source, from 1."""
Entry = Numbered | Problem | Skipped
"""A `Skipped` is left out whatever the caller chose: no user can mend the docstring of an installed package."""
