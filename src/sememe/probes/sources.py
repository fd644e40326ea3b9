"""Texts and pairs without labels, as the probes read them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from sememe.corpus import read
from sememe.errors import InputError

QUERY = "query"


def read_texts(source: str, limit: int) -> tuple[list[str], list[str]]:
    """Ids and texts: of a .txt file one a line, of any other source one a document.

    Raises:
        InputError: the source is missing or empty, or a record is bad.
    """
    path = Path(source).expanduser()
    if path.suffix == ".txt" and path.is_file():
        try:
            lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read as UTF-8 text ({error})", where=source) from None
        texts = [line for line in lines if line][:limit]
        ids = [f"line {number}" for number in range(1, len(texts) + 1)]
    else:
        documents = list(islice(read(source), limit))
        ids, texts = [document.id for document in documents], [document.content for document in documents]
    if not texts:
        raise InputError("holds no texts", where=source)
    return ids, texts


def read_pairs(source: str, limit: int) -> list[tuple[str, str]]:
    """Pairs of a query and a text that says the same, from records with the fields `query` and `text`.

    Raises:
        InputError: a record has no query, or is bad.
    """
    pairs = []
    for document in islice(read(source), limit):
        query = document.metadata.get(QUERY)
        if not isinstance(query, str) or not query.strip():
            raise InputError(f"has no {QUERY!r}", where=f"{source}, record {document.id!r}")
        pairs.append((query, document.text))
    return pairs
