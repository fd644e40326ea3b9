"""Writing documents to a server so that a kill at any moment, and doing it again, does no harm.

The first row of a document stands for all of it: it is written last and deleted last, and says how many rows there are
and what they hold. So whatever was interrupted looks as if it had not been begun, and is done again as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sememe.errors import InputError
from sememe.progress import progress
from sememe.search.milvus.connection import Connection
from sememe.search.milvus.rows import DIGEST, KEY, WINDOW, WINDOWS, Row, batched, digest_of, keys_of, name_of, rows_of
from sememe.search.milvus.sources import Cut, Source

DOCUMENTS_AT_ONCE = 256
MOST_MESSAGE_BYTES = 4 << 20
"""Servers refuse messages of 64 MiB."""
EVERY_ROW = "order >= 0"


class Written(NamedTuple):
    """What a write did, in documents."""

    sent: int
    unchanged: int
    deleted: int = 0


class _Stored(NamedTuple):
    digest: str
    n_windows: int


class Writer:
    """Writes to one collection.

    Args:
        connection: to it.
        language: of its lexical part; None if it has none.

    """

    def __init__(self, connection: Connection, language: str | None) -> None:
        self._connection, self._language = connection, language
        self._last = 0

    def send(self, source: Source, *, doing: str, unchanged: bool, replacing: bool) -> Written:
        """Write documents, a few hundred at a time.

        Args:
            source: the documents.
            doing: what the progress bar says.
            unchanged: pass over those that are there and hold the same.
            replacing: write over others with the same ids.

        Raises:
            InputError: an id is given twice or, unless `replacing`, is there already; what was written before it
                stays.

        """
        sent = passed = 0
        with progress(doing, unit="documents") as bar:
            for cuts in _chunks(source):
                _check_unique(cuts)
                stored = self._stored([cut.document.id for cut in cuts])
                if not replacing:
                    self._refuse_known(cuts, stored)
                names = [_name(cut) for cut in cuts]
                new = [
                    cut
                    for cut, name in zip(cuts, names, strict=True)
                    if not (unchanged and name in stored and stored[name].digest == digest_of(*cut))
                ]
                self._write(source, new, stored)
                sent, passed = sent + len(new), passed + len(cuts) - len(new)
                bar.advance(len(cuts))
        return Written(sent, passed)

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by their ids; those that are not there are passed over. Returns how many there were."""
        deleted, remaining = 0, iter(dict.fromkeys(ids))
        while chunk := list(islice(remaining, DOCUMENTS_AT_ONCE)):
            stored = self._stored(chunk)
            keys = [keys_of(i, stored[name].n_windows) for i in chunk if (name := name_of(keys_of(i, 1)[0])) in stored]
            self._remove([key for of_one in keys for key in of_one])
            deleted += len(keys)
        return deleted

    def keep_only(self, ids: Iterable[str]) -> int:
        """Delete every document but these, and rows that an interrupted write has left. Returns how many documents."""
        kept = {name_of(keys_of(document_id, 1)[0]) for document_id in ids}
        keys = (str(row[KEY]) for row in self._connection.select(EVERY_ROW, [KEY]))
        superfluous = [key for key in keys if name_of(key) not in kept]
        self._remove(superfluous)
        return sum(key.endswith(":0") for key in superfluous)

    def _write(self, source: Source, cuts: Sequence[Cut], stored: dict[str, _Stored]) -> None:
        if not cuts:
            return
        rows: list[Row] = []
        surplus: list[str] = []
        for cut, vectors in zip(cuts, source.vectors(cuts), strict=True):
            rows += rows_of(*cut, vectors, self._next_order(len(cut.windows)), self._language)
            before = stored.get(_name(cut))
            if before is not None:
                surplus += keys_of(cut.document.id, before.n_windows)[len(cut.windows) :]
        for batch in batched([row for row in rows if row[WINDOW] > 0], MOST_MESSAGE_BYTES):
            self._connection.upsert(batch)
        self._connection.delete(surplus)
        for batch in batched([row for row in rows if row[WINDOW] == 0], MOST_MESSAGE_BYTES):
            self._connection.upsert(batch)

    def _remove(self, keys: Sequence[str]) -> None:
        self._connection.delete([key for key in keys if not key.endswith(":0")])
        self._connection.delete([key for key in keys if key.endswith(":0")])

    def _stored(self, ids: Sequence[str]) -> dict[str, _Stored]:
        """What is there of documents, by the names in their keys."""
        found = self._connection.get([keys_of(i, 1)[0] for i in ids], [KEY, DIGEST, WINDOWS])
        return {name_of(row[KEY]): _Stored(row[DIGEST], int(row[WINDOWS])) for row in found}

    def _refuse_known(self, cuts: Sequence[Cut], stored: dict[str, _Stored]) -> None:
        for cut in cuts:
            if _name(cut) in stored:
                raise InputError(
                    f"the id {cut.document.id!r} is already there",
                    where=str(self._connection.address),
                    hint="Give every document its own id, or use replace",
                )

    def _next_order(self, n_rows: int) -> int:
        """The number of the next row: microseconds since 1970, so that it grows from one writer to the next."""
        first = max(self._last + 1, time.time_ns() // 1000)
        self._last = first + n_rows - 1
        return first


def _name(cut: Cut) -> str:
    return name_of(keys_of(cut.document.id, 1)[0])


def _check_unique(cuts: Sequence[Cut]) -> None:
    seen: set[str] = set()
    for cut in cuts:
        if cut.document.id in seen:
            raise InputError(f"the id {cut.document.id!r} is given twice", hint="Give every document its own id")
        seen.add(cut.document.id)


def _chunks(source: Source) -> Iterator[list[Cut]]:
    cuts = iter(source)
    while chunk := list(islice(cuts, DOCUMENTS_AT_ONCE)):
        yield chunk
