"""One atom and one document, made ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from sememe.corpus import Document
from sememe.errors import InputError
from sememe.web.book import Usage
from sememe.web.collection import Collection
from sememe.web.highlight import Highlighter, Piece
from sememe.web.results import title_of

N_DOCUMENTS = 12
N_NEAREST = 8
N_LIKE = 6


@dataclass(frozen=True)
class AtomDocument:
    """A document in which an atom is active."""

    document: Document
    row: int
    title: Sequence[Piece]
    excerpt: Sequence[Piece]
    activation: float


@dataclass(frozen=True)
class AtomView:
    """An atom, how it is used, what is near it and where it is most active."""

    atom: int
    label: str
    usage: Usage
    nearest: Sequence[tuple[int, float]]
    documents: Sequence[AtomDocument]


@dataclass(frozen=True)
class DocumentView:
    """A document with its matched window and the atoms of that window.

    Attributes:
        before, within, after: the text around the window, the window, and the rest.
        rows: the bank rows of all its windows; `row` is the one shown.
        atoms: active atoms and activations, the largest first.
        like: the nearest other documents with their scores.
    """

    document: Document
    title: str
    query: str
    facts: Mapping[str, Any]
    before: Sequence[Piece]
    within: Sequence[Piece]
    after: Sequence[Piece]
    rows: Sequence[int]
    row: int
    atoms: Sequence[tuple[int, float]]
    like: Sequence[tuple[Document, float]]


def atom_view(collection: Collection, atom: int) -> AtomView:
    """Everything about an atom."""
    book = collection.atoms
    highlighter = Highlighter(book.atoms.labels[atom], collection.language)
    documents: dict[str, AtomDocument] = {}
    for row, activation in book.strongest(atom, 4 * N_DOCUMENTS):  # a long document may have several windows
        document, window = collection.index.row(row)
        if document.id not in documents:
            documents[document.id] = AtomDocument(
                document,
                row,
                highlighter.pieces(title_of(document)),
                highlighter.excerpt(document.text[window.start : window.end]),
                activation,
            )
    shown = list(documents.values())[:N_DOCUMENTS]
    return AtomView(atom, book.label(atom), book.usage(atom), book.nearest(atom, N_NEAREST), shown)


def document_view(collection: Collection, document_id: str, query: str, row: str) -> DocumentView:
    """A document, with the words of a query marked.

    Args:
        collection: where it is.
        document_id: which one.
        query: the search that led here, or nothing.
        row: the bank row of the window that matched, or nothing.

    Raises:
        HTTPException: there is no such document (404).
    """
    try:
        rows = collection.index.rows_of(document_id).tolist()
    except InputError:
        raise HTTPException(404, "there is no such document in this collection") from None
    chosen = int(row) if row.isascii() and row.isdigit() and len(row) < 12 and int(row) in rows else rows[0]
    document, window = collection.index.row(chosen)
    highlighter = Highlighter(query, collection.language)
    whole = len(rows) == 1
    start, end = (0, len(document.text)) if whole else (window.start, window.end)
    return DocumentView(
        document,
        title_of(document),
        query,
        {name: _fact(value) for name, value in document.metadata.items() if value not in (None, "", [])},
        highlighter.pieces(document.text[:start]),
        highlighter.pieces(document.text[start:end]),
        highlighter.pieces(document.text[end:]),
        rows,
        chosen,
        list(collection.book.code(chosen).items()) if collection.book else [],
        [(hit.document, hit.score) for hit in collection.like(chosen, N_LIKE)],
    )


def _fact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)
