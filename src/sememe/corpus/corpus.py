"""A re-iterable stream of documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from sememe.corpus.document import Document, Skipped
from sememe.corpus.entries import BadRecordError, Entry, Problem
from sememe.corpus.records import content_id, storable
from sememe.errors import InputError

MAX_LISTED = 1000
SKIP_HINT = "or go on without such records with --on-error skip (in Python: on_error='skip')"


@dataclass
class _Log:
    listed: list[Skipped] = field(default_factory=list)
    count: int = 0

    def add(self, place: str, reason: str) -> None:
        self.count += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(Skipped(place, reason))


class Corpus:
    """Documents that are read anew each time one iterates, one at a time.

    Make one with `read` or `from_documents`. Iterating checks that ids are unique; it remembers 16 bytes of hash
    and a place for each id (about 120 MiB for a million).

    Args:
        source: what was asked for.
        entries: starts a new pass over the source.
        name: a short name for people.
        label: how places begin in messages, as in `LABEL:17`.
        on_error: `stop` raises at the first bad record, `skip` counts and lists them.
        limit: yield at most this many documents.
    """

    def __init__(
        self,
        source: str,
        entries: Callable[[], Iterator[Entry]],
        *,
        name: str,
        label: str,
        on_error: str = "stop",
        limit: int | None = None,
    ) -> None:
        self.source = source
        self.name = name
        self._entries, self._label, self._on_error, self._limit = entries, label, on_error, limit
        self._log = _Log()

    @classmethod
    def from_documents(cls, documents: Iterable[Document], *, name: str = "documents") -> Corpus:
        """A corpus of documents that are in memory already.

        Raises:
            InputError: while iterating: an item is not a `Document`, cannot be stored, or has the id of another.
        """
        held = tuple(documents)
        return cls(name, lambda: _held_entries(held, name), name=name, label=name)

    def __iter__(self) -> Iterator[Document]:
        """Read the source from its beginning.

        Raises:
            InputError: the source or one of its records cannot be used; `where` is the place.
        """
        self._log = _Log()
        return islice(self._documents(self._log), self._limit)

    @property
    def skipped(self) -> list[Skipped]:
        """The first thousand records that the last iteration left out."""
        return list(self._log.listed)

    @property
    def n_skipped(self) -> int:
        """How many records the last iteration left out."""
        return self._log.count

    def take(self, n: int) -> Corpus:
        """A corpus of the first `n` documents of this one."""
        if n < 0:
            raise InputError(f"cannot take {n} documents")
        limit = n if self._limit is None else min(n, self._limit)
        return Corpus(
            self.source, self._entries, name=self.name, label=self._label, on_error=self._on_error, limit=limit
        )

    def __repr__(self) -> str:
        return f"Corpus({self.source!r})"

    def _documents(self, log: _Log) -> Iterator[Document]:
        places: dict[int, int] = {}
        for entry in self._entries():
            if isinstance(entry, Skipped):
                log.add(entry.place, entry.reason)
            elif isinstance(entry, Problem):
                self._refuse(entry, log)
            else:
                number, document = entry
                first = places.setdefault(_digest(document.id), number)
                if first == number:
                    yield document
                else:
                    self._refuse(self._duplicate(document, first, number), log)

    def _refuse(self, problem: Problem, log: _Log) -> None:
        if self._on_error == "skip":
            log.add(problem.place, problem.reason)
            return
        hint = f"{problem.hint}, {SKIP_HINT}" if problem.hint else f"Mend it, {SKIP_HINT}"
        raise InputError(problem.reason, where=problem.place, hint=hint)

    def _duplicate(self, document: Document, first: int, number: int) -> Problem:
        if document.id == content_id(document.title, document.text, document.metadata):
            reason = f"repeats the record at {self._label}:{first}, and records without an id are told apart by content"
        else:
            reason = f"has the same id as the record at {self._label}:{first}: {document.id!r}"
        return Problem(f"{self._label}:{number}", reason, "Give each record an id of its own")


def _digest(identifier: str) -> int:
    # 128 bits as one integer: ids of any length take the same little memory, and two never meet by chance.
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=16).digest(), "big")


def _held_entries(documents: tuple[Document, ...], label: str) -> Iterator[Entry]:
    for number, document in enumerate(documents, start=1):
        try:
            yield number, storable(document)
        except BadRecordError as bad:
            yield Problem.at(f"{label}:{number}", bad)
