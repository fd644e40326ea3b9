"""A searchable collection on a Milvus server, with the interface of `sememe.Index`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.corpus import Corpus, Document
from sememe.errors import ArtifactError, InputError
from sememe.models import Encoder
from sememe.models.encoder import is_compared_by_cosine
from sememe.search.encoders import described, encoder_of
from sememe.search.expansion import RM3
from sememe.search.feedback import Feedback
from sememe.search.filters import Filter
from sememe.search.hits import Hit, Hits
from sememe.search.index import Index
from sememe.search.milvus.address import Address, is_address, make_address, parse_address
from sememe.search.milvus.config import MilvusConfig
from sememe.search.milvus.connection import TIMEOUT, Connection
from sememe.search.milvus.rows import DIGEST, DOCUMENT, ORDER, RECORD, WINDOW, WINDOWS, documents_of, keys_of
from sememe.search.milvus.schema import Card, create, is_complete, mark_complete, read_card
from sememe.search.milvus.searcher import RemoteSearcher
from sememe.search.milvus.sources import Indexed, Source, Texts
from sememe.search.milvus.writer import Writer, Written
from sememe.search.request import Request
from sememe.search.rerank import Reranker

if TYPE_CHECKING:
    from sememe.atoms import Atoms

_FIRST_ROWS = f"{WINDOW} == 0"


class MilvusIndex:
    """A collection on a Milvus server that is searched by meaning and, where the server can, by words.

    Make one with `MilvusIndex.build`, open one with `MilvusIndex.open`. Scores are those of an index on disk: exact
    inner products of the vectors that the server stores, and the sums of their atoms.

    Attributes:
        address: where it lies.
        written: what `build` wrote; None for one that was opened.

    """

    def __init__(self, connection: Connection, card: Card, encoder: Encoder | None) -> None:
        self.address = connection.address
        self.written: Written | None = None
        self._connection, self._card, self._encoder = connection, card, encoder
        self._writer = Writer(connection, card.config.language if card.lexical else None)
        self._searcher = RemoteSearcher(self, connection, card)

    # ── making and opening ───────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def build(
        cls,
        source: Corpus | Iterable[Document] | Index,
        encoder: Encoder | None = None,
        *,
        uri: str,
        collection: str,
        config: MilvusConfig | None = None,
        resume: bool = False,
        token: str | None = None,
        timeout: float = TIMEOUT,
        **settings: Any,
    ) -> MilvusIndex:
        """Make a collection from documents, or from an index, whose vectors are sent as they are.

        With `resume`, what is there is kept: documents that the server has and that have not changed are not sent
        again; of an index, documents that it no longer has are deleted. So a build that was stopped goes on, and one
        that is run again brings the collection up to date.

        Args:
            source: the documents, or an index.
            encoder: what turns texts into vectors; not needed for an index.
            uri: the server, `http://HOST:PORT`, or a file of milvus-lite that ends in `.db`.
            collection: its name there.
            config: the settings; or give its fields as keywords. Without any, those of the collection to resume, or the
                defaults. `overlap` and `language` are those of an index.
            resume: go on with a collection that is there, if it was made the same way.
            token: `USER:PASSWORD` or a key; by default what the variable SEMEME_MILVUS_TOKEN holds.
            timeout: seconds to wait for an answer.
            **settings: fields of `MilvusConfig`, when `config` is not given.

        Raises:
            ArtifactError: there is such a collection already, or the one to resume was made differently.
            InputError: a document repeats an id or is larger than Milvus stores, or an argument does not fit.
            RemoteError: the server cannot be reached or refuses.

        """
        given = config if config is not None else MilvusConfig(**settings) if settings else None
        kept = _described(source, encoder)
        connection = Connection(make_address(uri, collection), token=token, timeout=timeout)
        try:
            found = read_card(connection) if resume and connection.exists() else None
            chosen = _fitting(source, given or (found.config if found is not None else MilvusConfig()))
            documents = _documents(source, encoder, chosen)
            wanted = Card(kept, documents.name, chosen, documents.precision, connection.has_bm25())
            card = _created(connection, wanted) if found is None else _resumed(connection, found, wanted)
            index = cls(connection, card, encoder)
            index._fill(documents, source)
        except BaseException:
            connection.close()
            raise
        return index

    @classmethod
    def open(
        cls,
        uri: str,
        collection: str | None = None,
        *,
        encoder: Encoder | None = None,
        token: str | None = None,
        timeout: float = TIMEOUT,
    ) -> MilvusIndex:
        """Open a collection.

        Args:
            uri: the server, as in `build`; or `milvus://HOST:PORT/NAME` without a `collection`.
            collection: its name there.
            encoder: the encoder it was built with; loaded by its name when it is first needed otherwise.
            token: as in `build`.
            timeout: seconds to wait for an answer.

        Raises:
            ArtifactError: there is no such collection, it is half-built, or Sememe did not make it.
            RemoteError: the server cannot be reached or refuses.

        """
        connection = Connection(_address(uri, collection), token=token, timeout=timeout)
        try:
            card = read_card(connection)
            if not is_complete(connection):
                raise ArtifactError(
                    "is half-built: what made it was stopped",
                    where=str(connection.address),
                    hint="Run the same command again, which goes on where it stopped",
                )
            connection.load()
        except BaseException:
            connection.close()
            raise
        return cls(connection, card, encoder)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> MilvusIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """The number of documents."""
        return self._connection.count(_FIRST_ROWS)

    @property
    def config(self) -> MilvusConfig:
        """The settings it was made with."""
        return self._card.config

    @property
    def normalizes(self) -> bool:
        """Whether its vectors have unit length, so that scores are cosines."""
        return bool(self._card.encoder["normalizes"])

    @property
    def encoder(self) -> Encoder:
        """The encoder it was built with, loaded on first use.

        Raises:
            ModelError: the encoder that now has this name gives other vectors.

        """
        self._encoder = encoder_of(self._card.encoder, self._encoder, where=str(self.address))
        return self._encoder

    @property
    def atoms_path(self) -> None:
        """A collection has no folder for atoms; those of the index it was made from explain it too."""
        return

    def ids(self) -> Iterator[str]:
        """The ids of all documents, in no particular order."""
        return (row[DOCUMENT] for row in self._connection.select(_FIRST_ROWS, [DOCUMENT]))

    def __contains__(self, document_id: str) -> bool:
        return bool(self._connection.get(keys_of(document_id, 1), [DIGEST]))

    def document(self, document_id: str) -> Document:
        """A document by its id.

        Raises:
            InputError: there is no such document.

        """
        first = self._connection.get(keys_of(document_id, 1), [WINDOWS])
        keys = keys_of(document_id, int(first[0][WINDOWS])) if first else []
        found = documents_of(self._connection.get(keys, RECORD))
        if not found:
            raise InputError(f"has no document {document_id!r}", where=str(self.address))
        return next(iter(found.values()))[0]

    def info(self) -> dict[str, Any]:
        """What the collection is, and where."""
        return {
            "documents": len(self),
            "vectors": self._connection.count(f"{ORDER} >= 0"),
            "dimensions": self._card.encoder["dimensions"],
            "encoder": dict(self._card.encoder),
            "corpus": self._card.corpus,
            "config": asdict(self.config),
            "lexical": self._card.lexical,
            "address": str(self.address),
            "server": self._connection.version(),
        }

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────

    def search(
        self,
        query: str | np.ndarray,
        k: int = 10,
        *,
        mode: str = "dense",
        where: Filter | None = None,
        explain: Atoms | None = None,
        steer: Mapping[int, float] | None = None,
        feedback: Feedback | RM3 | None = None,
        rerank: Reranker | None = None,
    ) -> Hits[Hit]:
        """Find the documents that answer a query best; as `sememe.Index.search`.

        `Hit.row` is the number of the window in the order of adding. Feedback is refused: it needs an index on disk.
        """
        request = Request(k, mode, where, explain, steer, feedback, rerank)
        return self._searcher.search([query], request)[0]

    def search_batch(
        self,
        queries: Sequence[str] | Sequence[str | np.ndarray] | np.ndarray,
        k: int = 10,
        *,
        mode: str = "dense",
        where: Filter | None = None,
        explain: Atoms | None = None,
        steer: Mapping[int, float] | None = None,
        feedback: Feedback | RM3 | None = None,
        rerank: Reranker | None = None,
    ) -> list[Hits[Hit]]:
        """`search` for many queries at once: the server is asked once for all of them."""
        request = Request(k, mode, where, explain, steer, feedback, rerank)
        return self._searcher.search(queries, request)

    def rank_batch(
        self, queries: Sequence[str], k: int, *, mode: str = "dense", where: Filter | None = None
    ) -> list[dict[str, float]]:
        """As `search_batch`, but only ids and scores, the best first: no document is fetched."""
        return self._searcher.rank(queries, Request(k, mode, where))

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, documents: Iterable[Document]) -> int:
        """Add documents; each few hundred are durable before the next are encoded.

        Returns:
            How many were added.

        Raises:
            InputError: an id is already there; what was added before it stays.

        """
        return self._send(documents, "Adding", replacing=False)

    def replace(self, documents: Iterable[Document]) -> int:
        """Add documents in the place of older ones with the same ids; returns how many were added.

        A search in the moment in which a document is replaced may not find it.
        """
        return self._send(documents, "Replacing", replacing=True)

    def delete(self, ids: str | Iterable[str]) -> int:
        """Delete documents by id; those that are not there are passed over. Returns how many were deleted."""
        return self._writer.delete([ids] if isinstance(ids, str) else ids)

    def drop(self) -> None:
        """Delete the collection with everything in it."""
        self._connection.drop()

    # ── private ──────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, documents: Iterable[Document], doing: str, *, replacing: bool) -> int:
        source = Texts(documents, self.encoder, self.config.overlap, by_cosine=self.normalizes)
        return self._writer.send(source, doing=doing, unchanged=False, replacing=replacing).sent

    def _fill(self, documents: Source, source: Corpus | Iterable[Document] | Index) -> None:
        written = self._writer.send(documents, doing="Sending", unchanged=True, replacing=True)
        if isinstance(source, Index):
            written = Written(written.sent, written.unchanged, self._writer.keep_only(source.ids()))
        self._connection.flush()
        mark_complete(self._connection)
        self._connection.load()
        self.written = written


def _described(source: Corpus | Iterable[Document] | Index, encoder: Encoder | None) -> dict[str, Any]:
    """What the card says of the encoder."""
    if isinstance(source, Index):
        kept: dict[str, Any] = source.info()["encoder"]
        if encoder is not None:
            encoder_of(kept, encoder, where=str(source.path))
        return kept
    if encoder is None:
        raise InputError("documents need an encoder", hint="Pass one, or pass an index, which has their vectors")
    return described(encoder)


def _fitting(source: Corpus | Iterable[Document] | Index, config: MilvusConfig) -> MilvusConfig:
    """The settings, with those of an index where what is added later must be cut and stemmed as what is there."""
    if not isinstance(source, Index):
        return config
    return replace(config, overlap=source.config.overlap, language=source.config.language)


def _documents(source: Corpus | Iterable[Document] | Index, encoder: Encoder | None, config: MilvusConfig) -> Source:
    if isinstance(source, Index):
        return Indexed(source)
    assert encoder is not None
    return Texts(source, encoder, config.overlap, by_cosine=is_compared_by_cosine(encoder))


def _created(connection: Connection, card: Card) -> Card:
    if connection.exists():
        raise ArtifactError(
            "already exists",
            where=str(connection.address),
            hint="Bring it up to date with resume=True, or choose another name",
        )
    create(connection, card)
    return card


def _resumed(connection: Connection, found: Card, wanted: Card) -> Card:
    differing = found.differences(wanted)
    if differing:
        raise ArtifactError(
            f"cannot be brought up to date: {'; '.join(differing)}",
            where=str(connection.address),
            hint="Use the same arguments, or choose another name",
        )
    connection.load()
    return found


def _address(uri: str, collection: str | None) -> Address:
    if collection is not None:
        return make_address(uri, collection)
    if is_address(uri):
        return parse_address(uri)
    raise InputError("needs the name of a collection", where=uri, hint="Or write milvus://HOST:PORT/NAME")
