"""The token ids of many texts, on disk while training runs, so that memory does not grow with the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from sememe import disk
from sememe.corpus import Document
from sememe.errors import InputError
from sememe.models.trainable import TrainableEncoder
from sememe.progress import progress

_AT_ONCE = 1024


class TokenStore:
    """Token ids of documents, one row each, without what frames a text.

    Attributes:
        ids: the documents' ids.
        starts: where each row starts in the stream of all ids; (n + 1,), int64.
        tokens: the stream, int32; mapped into memory.
        skipped: how many documents had fewer tokens than were asked for.
        fingerprint: of all of it.

    """

    def __init__(self, ids: list[str], starts: np.ndarray, tokens: np.ndarray, skipped: int, fingerprint: str) -> None:
        self.ids, self.starts, self.tokens = ids, starts, tokens
        self.skipped, self.fingerprint = skipped, fingerprint

    @classmethod
    def build(
        cls, documents: Iterable[Document], encoder: TrainableEncoder, file: Path, *, least: int = 2
    ) -> TokenStore:
        """Tokenise documents.

        Args:
            documents: `document.content` is what is read.
            encoder: whose tokens.
            file: where the ids go; it is written anew.
            least: documents with fewer tokens are left out.

        Raises:
            InputError: fewer than two documents have so many tokens.

        """
        ids: list[str] = []
        lengths = [0]
        skipped = 0
        digest = hashlib.sha256()
        with disk.reported(file), open(file, "wb") as stream, progress("Tokenising", unit="documents") as bar:
            for chunk in _chunks(documents):
                for document, row in zip(chunk, encoder.tokenize([each.content for each in chunk]), strict=True):
                    if len(row) < least:
                        skipped += 1
                        continue
                    data = np.asarray(row, np.int32).tobytes()
                    digest.update(document.id.encode() + b"\0" + len(row).to_bytes(8, "big") + data)
                    disk.write(stream, data)
                    ids.append(document.id)
                    lengths.append(len(row))
                bar.advance(len(chunk))
        if len(ids) < 2:
            raise InputError(
                f"{len(ids)} documents have {least} tokens or more ({skipped} have fewer)",
                where="the corpus",
                hint="Training needs at least two",
            )
        starts = np.cumsum(np.asarray(lengths, np.int64))
        tokens = np.memmap(file, np.int32, "r", shape=(int(starts[-1]),))
        return cls(ids, starts, tokens, skipped, digest.hexdigest())

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, number: int) -> np.ndarray:
        """The ids of a document, int32."""
        return np.asarray(self.tokens[self.starts[number] : self.starts[number + 1]])


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    reader = iter(documents)
    while chunk := list(islice(reader, _AT_ONCE)):
        yield chunk
