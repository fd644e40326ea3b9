"""Documents as rows of a collection, one row a window, and back.

A row holds the part of its document's text from the start of its window to the start of the next one, so that the rows
of a document hold its text once, however long it is and however much its windows overlap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sememe.corpus import Document, Window
from sememe.errors import ArtifactError, InputError
from sememe.lexical.words import tokenizer
from sememe.search.milvus.expressions import FIELDS, SHAPES, filterable
from sememe.search.passages import content

KEY, ORDER, DENSE = "key", "order", "dense"
DOCUMENT, DIGEST = "document", "digest"
WINDOW, WINDOWS, START, END = "window", "windows", "start", "end"
TITLE, PIECE, METADATA, WORDS = "title", "piece", "metadata", "words"
RECORD = (KEY, DOCUMENT, DIGEST, WINDOW, WINDOWS, START, END, TITLE, PIECE, METADATA)
"""What a document is made from again."""
MOST_BYTES = 65_535  # of a text field, in every version of Milvus
MOST_JSON_BYTES = 65_536

Row = dict[str, Any]


def keys_of(document_id: str, n_windows: int) -> list[str]:
    """The primary keys of a document's rows: they depend on its id and nothing else, and hold hex digits and a colon.

    So writing a document twice leaves one, and no id can be mistaken for a part of an expression.
    """
    name = hashlib.blake2b(document_id.encode(), digest_size=16).hexdigest()
    return [f"{name}:{window}" for window in range(n_windows)]


def name_of(key: str) -> str:
    """The part of a key that all rows of a document share."""
    return key.partition(":")[0]


def digest_of(document: Document, windows: Sequence[Window]) -> str:
    """A checksum of what was encoded and is stored of a document: with an equal one, nothing need be written again."""
    spans = [(window.start, window.end) for window in windows]
    whole = json.dumps([document.id, document.title, document.text, _metadata(document), spans])
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def rows_of(
    document: Document, windows: Sequence[Window], vectors: np.ndarray, order: int, language: str | None
) -> list[Row]:
    """The rows of a document.

    Args:
        document: the document.
        windows: its windows.
        vectors: theirs; shape (n_windows, d).
        order: the number of its first row in the order of adding.
        language: of the stems that words are searched by; None for a collection without a lexical part.

    Raises:
        InputError: a part of it is longer than Milvus stores; the message names the document.

    """
    metadata = _metadata(document)
    fields, shapes = filterable({**json.loads(metadata), "id": document.id, "title": document.title})
    starts = [0, *[window.start for window in windows[1:]], len(document.text)]
    shared = {
        DOCUMENT: document.id,
        DIGEST: digest_of(document, windows),
        WINDOWS: len(windows),
        TITLE: document.title,
        METADATA: metadata,
        FIELDS: fields,
        SHAPES: shapes,
    }
    rows = []
    for number, (key, window) in enumerate(zip(keys_of(document.id, len(windows)), windows, strict=True)):
        row = {
            **shared,
            KEY: key,
            ORDER: order + number,
            DENSE: np.ascontiguousarray(vectors[number], np.float32),
            WINDOW: number,
            START: window.start,
            END: window.end,
            PIECE: document.text[starts[number] : starts[number + 1]],
        }
        if language is not None:
            row[WORDS] = _shortened(" ".join(tokenizer(language)(content(document, window))))
        rows.append(row)
    _check_sizes(rows, document.id)
    return rows


def size_of(row: Row) -> int:
    """Roughly the bytes that a row takes in a message."""
    texts = sum(len(value) for value in row.values() if isinstance(value, str))
    return texts + int(row[DENSE].nbytes) + len(json.dumps(row[FIELDS])) + 200


def documents_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Document, list[Window]]]:
    """The documents that rows are of, with their windows, by the name in the rows' keys.

    A document of which rows are missing, or that is being replaced, is left out.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(name_of(row[KEY]), []).append(row)
    return {name: _assembled(of_one) for name, of_one in by_name.items() if _whole(of_one)}


def metadata_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a filter sees of a row's document."""
    return {**_loaded(row), "id": row[DOCUMENT], "title": row[TITLE]}


def _assembled(rows: Sequence[Mapping[str, Any]]) -> tuple[Document, list[Window]]:
    ordered = sorted(rows, key=lambda row: int(row[WINDOW]))
    first = ordered[0]
    text = "".join(row[PIECE] for row in ordered)
    windows = [Window(int(row[START]), int(row[END])) for row in ordered]
    return Document(first[DOCUMENT], text, first[TITLE], _loaded(first)), windows


def _whole(rows: Sequence[Mapping[str, Any]]) -> bool:
    one_version = len({(row[DIGEST], int(row[WINDOWS])) for row in rows}) == 1
    return one_version and sorted(int(row[WINDOW]) for row in rows) == list(range(int(rows[0][WINDOWS])))


def _metadata(document: Document) -> str:
    return json.dumps(dict(document.metadata), ensure_ascii=False, sort_keys=True, default=str)


def _loaded(row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        metadata: dict[str, Any] = json.loads(row[METADATA])
    except ValueError as error:
        raise ArtifactError("holds metadata that are not JSON", where=f"document {row[DOCUMENT]!r}") from error
    return metadata


def _shortened(words: str) -> str:
    data = words.encode()
    return words if len(data) <= MOST_BYTES else data[:MOST_BYTES].decode(errors="ignore").rpartition(" ")[0]


def _check_sizes(rows: Sequence[Row], document_id: str) -> None:
    for name, value in _long_fields(rows):
        what = {PIECE: "a passage of its text", DOCUMENT: "its id", TITLE: "its title"}.get(name, "its metadata")
        raise InputError(
            f"{what} takes {value:,} bytes, and Milvus stores at most {MOST_BYTES:,} in a field",
            where=f"document {document_id[:100]!r}",
            hint="Shorten it, or leave the document out",
        )


def _long_fields(rows: Sequence[Row]) -> Iterator[tuple[str, int]]:
    for row in rows:
        for name in (DOCUMENT, TITLE, METADATA, PIECE):
            if len(row[name].encode()) > MOST_BYTES:
                yield name, len(row[name].encode())
        if len(json.dumps(row[FIELDS]).encode()) > MOST_JSON_BYTES:
            yield FIELDS, len(json.dumps(row[FIELDS]).encode())


def batched(rows: Sequence[Row], most_bytes: int) -> Iterator[list[Row]]:
    """Rows in batches of at most `most_bytes`, each of one row or more."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        more = size_of(row)
        if batch and size + more > most_bytes:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += more
    if batch:
        yield batch
