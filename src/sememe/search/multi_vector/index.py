"""The searchable collection of texts with several vectors each: exact MaxSim of candidates, from vectors on disk."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from sememe import disk
from sememe.bank import Bank
from sememe.corpus import Corpus, Document
from sememe.errors import ArtifactError, InputError, ModelError
from sememe.models.multi_vector import MultiVectorEncoder
from sememe.progress import progress
from sememe.search.filters import Filter, allowed_documents
from sememe.search.hits import Hits
from sememe.search.multi_vector.config import EXACT_VECTORS, MultiVectorConfig
from sememe.search.multi_vector.encoding import Encoded, TokenEncoder, encode_pruned
from sememe.search.multi_vector.explaining import MultiVectorHit, words_of
from sememe.search.multi_vector.lists import PROBES, Lists
from sememe.search.multi_vector.pruning import Kind, Pruning
from sememe.search.multi_vector.searcher import Query, Searcher
from sememe.search.multi_vector.store import Store
from sememe.search.stages import Clock, StageReport

DOCUMENTS_PER_COMMIT = 256
LISTS = "lists"
Item = TypeVar("Item")


class MultiVectorIndex:
    """A collection on disk in which every text has several vectors, one a token or one a cluster of tokens.

    Make one with `MultiVectorIndex.build`, open one with `MultiVectorIndex.open`. Many processes may read it while one
    writes; a reader goes on seeing the version that it opened.
    """

    def __init__(self, path: Path, store: Store, encoder: TokenEncoder | None) -> None:
        self.path = path
        self._store = store
        self._encoder = encoder
        card = store.bank.provenance
        self.pruning = Pruning.parse(card["pruning"])
        self._coarse = str(card["coarse"])
        self._ordinals = store.ordinals()
        self._lists = self._saved_lists()
        if encoder is not None:
            self._check_encoder(encoder)

    # ── making and opening ───────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def build(
        cls,
        corpus: Corpus | Iterable[Document],
        encoder: TokenEncoder,
        path: str | Path,
        *,
        config: MultiVectorConfig | None = None,
        resume: bool = False,
        **settings: Any,
    ) -> MultiVectorIndex:
        """Encode a corpus into a new index.

        Args:
            corpus: the documents; title and text are encoded together, as far as the encoder reads.
            encoder: what gives token vectors.
            path: the folder to make.
            config: the settings; or give its fields as keywords, such as `pruning="C8x32"`. Without a pruning it is
                what the encoder was trained with, else `mv`; it holds for queries too.
            resume: go on with a build that was stopped, if it was made the same way.
            **settings: fields of `MultiVectorConfig`, when `config` is not given.

        Returns:
            The index, open for writing.

        Raises:
            InputError: an argument does not fit, a document has no tokens or repeats an id; the message names it.
            ArtifactError: there is something already, or the build to resume was made differently.

        """
        path, config = Path(path), config if config is not None else MultiVectorConfig(**settings)
        method = Pruning.parse(config.pruning or encoder.pruning or "mv")
        provenance = {
            "kind": "multi-vector index",
            "model": encoder.name,
            "model_fingerprint": encoder.fingerprint,
            "site": "tokens",
            "lengths": [encoder.query_length, encoder.document_length],
            "corpus": corpus.source if isinstance(corpus, Corpus) else "documents",
            "pruning": method.method,
            "renormalize": config.renormalize,
            "coarse": config.coarse,
        }
        if resume and path.exists() and any(path.iterdir()):
            store = _resumed(path, provenance, config.dtype)
        else:
            store = Store.create(path, encoder.dimensions, config.dtype, provenance)
        try:
            index = cls(path, store, encoder)
            if not store.complete:
                index._fill(_behind_known(iter(corpus), store, path))
            index.prepare()
        except BaseException:
            store.close()
            raise
        return index

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False, encoder: TokenEncoder | None = None) -> MultiVectorIndex:
        """Open an index.

        Args:
            path: its folder.
            writable: take the writer's lock, so that `add`, `delete` and `compact` work.
            encoder: the encoder it was built with; loaded by its name when it is first needed otherwise.

        Raises:
            ArtifactError: it is missing, damaged (the message names the file) or half-built.
            LockedError: `writable`, and another process is writing.
            ModelError: the encoder is another one, or was trained for another pruning.

        """
        path = Path(path)
        disk.recover(path)
        if not path.is_dir():
            raise ArtifactError("does not exist", where=str(path), hint="Make it with MultiVectorIndex.build")
        store = Store.open(path, writable=writable)
        try:
            if not store.complete:
                raise ArtifactError(
                    f"is half-built: its build was stopped after {len(store.live):,} documents",
                    where=str(path),
                    hint="Build it again with resume=True",
                )
            return cls(path, store, encoder)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close the files and release the writer's lock."""
        self._store.close()

    def __enter__(self) -> MultiVectorIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """The number of documents."""
        return len(self._ordinals)

    def __contains__(self, document_id: str) -> bool:
        return document_id in self._ordinals

    def ids(self) -> list[str]:
        """The ids of all documents, in the order of adding."""
        return list(self._ordinals)

    def document(self, document_id: str) -> Document:
        """A document by its id.

        Raises:
            InputError: there is no such document.

        """
        if document_id not in self._ordinals:
            raise InputError(f"has no document {document_id!r}", where=str(self.path))
        return self._store.records[self._ordinals[document_id]]

    @property
    def bank(self) -> Bank:
        """The vectors; rows of deleted documents stay until `compact`."""
        return self._store.bank

    @property
    def encoder(self) -> TokenEncoder:
        """The encoder it was built with, loaded on first use.

        Raises:
            ModelError: the encoder that now has this name gives other vectors.

        """
        if self._encoder is None:
            card = self.bank.provenance
            query_length, document_length = card["lengths"]
            encoder = MultiVectorEncoder.load(card["model"], query_length=query_length, document_length=document_length)
            self._check_encoder(encoder)
            self._encoder = encoder
        return self._encoder

    @property
    def config(self) -> MultiVectorConfig:
        """The settings it was built with."""
        card = self.bank.provenance
        return MultiVectorConfig(card["pruning"], card["renormalize"], self.bank.dtype, card["coarse"])

    def info(self) -> dict[str, Any]:
        """What the index is and how large."""
        card = self.bank.provenance
        live = self._store.live[self.bank.documents] if len(self.bank) else np.zeros(0, bool)
        lists = self._first_stage()
        return {
            "documents": len(self),
            "deleted": int((~self._store.live).sum()),
            "vectors": int(live.sum()),
            "tokens": sum(len(self._store.tokens(ordinal)) for ordinal in self._ordinals.values()),
            "dimensions": self.bank.dimensions,
            "encoder": {
                "name": card["model"],
                "fingerprint": card["model_fingerprint"],
                "query_length": card["lengths"][0],
                "document_length": card["lengths"][1],
            },
            "corpus": card["corpus"],
            "config": asdict(self.config),
            "coarse": {"kind": "exact"} if lists is None else {"kind": LISTS, "bytes": lists.nbytes},
            "bytes": sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file()),
        }

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            ArtifactError: a file is damaged; the message names it.

        """
        self.bank.verify()
        if (self.path / LISTS).exists():
            Lists.load(self.path / LISTS)

    # ── searching ────────────────────────────────────────────────────────────────────────────────────────────

    def search(
        self,
        query: str | np.ndarray,
        k: int = 10,
        *,
        explain: bool = False,
        candidates: int | None = None,
        where: Filter | None = None,
    ) -> Hits[MultiVectorHit]:
        """Find the documents with the highest Chamfer score ``sum over q of max over x of <q, x>``.

        Args:
            query: a text, or its vectors as they are; shape (m, d).
            k: how many hits; fewer are returned when there are fewer documents.
            explain: say which document vector each query vector found, and the words of both.
            candidates: how many documents are scored; 20 for each hit and at least 200 by default.
            where: a metadata filter, see `sememe.search.filters`.

        Returns:
            Hits, the best first; equal scores in the order of adding. Scores are exact for the stored vectors. `stages`
            says what each stage did.

        Raises:
            InputError: an argument does not fit.

        """
        k, candidates = _positive(k, "k"), candidates if candidates is None else _positive(candidates, "candidates")
        if isinstance(query, str):
            self.encoder  # noqa: B018  loading it is no part of a search
        clock = Clock()
        asked = self._query(query)
        before = (StageReport("encode", len(asked.vectors), 0, clock.lap()),)
        return self._searcher(where).search(asked, k, candidates, explain=explain, before=before)

    def rank_batch(
        self, queries: Sequence[str | np.ndarray], k: int, *, candidates: int | None = None
    ) -> list[dict[str, float]]:
        """Ids and scores for many queries, the best first: no document is read. For evaluation.

        Scores are float32 products, so that they are off by rounding.
        """
        k, searcher = _positive(k, "k"), self._searcher()
        return [searcher.rank(self._query(query), k, candidates) for query in queries]

    def candidates(self, query: str | np.ndarray, n: int, *, probes: int = PROBES) -> list[str]:
        """The ids of the `n` documents that the first stage proposes, so that its recall can be measured."""
        return self._searcher().candidates(self._query(query), n, probes)

    def using(self, coarse: str) -> MultiVectorIndex:
        """The same index, searched with another first stage that is made in memory; nothing is written.

        Args:
            coarse: the first stage, as in `MultiVectorConfig`.

        Raises:
            InputError: there is no such stage.

        """
        view = copy.copy(self)
        view._coarse = MultiVectorConfig(coarse=coarse).coarse
        return view

    def _searcher(self, where: Filter | None = None) -> Searcher:
        allowed = allowed_documents(where, self._store.live, self._store.records.metadata)
        return Searcher(self._store, self._first_stage(), allowed)

    def _query(self, query: str | np.ndarray) -> Query:
        if isinstance(query, str):
            if not query.strip():
                raise InputError("is empty", where="query")
            encoded = self._encoded([query], "query", ["the query"])[0]
            return Query(encoded.vectors, words_of(query, encoded.tokens, len(encoded.vectors)))
        vectors = np.asarray(query, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.bank.dimensions or not len(vectors):
            raise InputError(
                f"has shape {vectors.shape}; the index holds vectors of {self.bank.dimensions} dimensions "
                f"(encoder {self.bank.provenance['model']!r}, pruning {self.pruning.method})",
                where="query",
                hint=f"Give a text, or one or more vectors of shape (m, {self.bank.dimensions})",
            )
        if not np.isfinite(vectors).all():
            raise InputError("holds NaN or infinity", where="query")
        return Query(vectors, [()] * len(vectors))

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, documents: Iterable[Document]) -> int:
        """Add documents; each few hundred are durable before the next are encoded.

        Returns:
            How many were added.

        Raises:
            InputError: an id is already there, or a document has no tokens; what was added before it stays.

        """
        added = 0
        with progress("Adding", unit="documents") as bar:
            for chunk in _chunks(iter(documents)):
                self._add(chunk)
                added += len(chunk)
                bar.advance(len(chunk))
        return added

    def replace(self, documents: Iterable[Document]) -> int:
        """Add documents, deleting older ones with the same ids in the same step; returns how many were added."""
        added = 0
        for chunk in _chunks(iter(documents)):
            self._add(chunk, [document.id for document in chunk if document.id in self._ordinals])
            added += len(chunk)
        return added

    def delete(self, ids: str | Iterable[str]) -> int:
        """Delete documents by id; ids that are not there are passed over.

        Returns:
            How many were deleted.

        """
        found = {i: self._ordinals[i] for i in ([ids] if isinstance(ids, str) else ids) if i in self._ordinals}
        if found:
            self._store.delete(list(found.values()))
            for document_id in found:
                del self._ordinals[document_id]
        return len(found)

    def compact(self) -> None:
        """Write the index again without the deleted documents, and put it in the old one's place in one step."""
        old = self._store
        with disk.new_folder(self.path) as folder:
            new = Store.create(folder, old.bank.dimensions, old.bank.dtype, old.bank.provenance)
            try:
                for ordinals in _chunks(iter(self._ordinals.values())):
                    encoded = [Encoded(old.bank[old.rows(ordinal)], old.tokens(ordinal)) for ordinal in ordinals]
                    new.add([old.records[ordinal] for ordinal in ordinals], encoded)
                new.finish()
            finally:
                new.close()
        old.close()
        self._store = Store.open(self.path, writable=True)
        self._ordinals = self._store.ordinals()
        self._lists = None
        self.prepare()

    def prepare(self) -> None:
        """Make what is derived from the vectors and store it, so that readers find it."""
        lists = self._first_stage()
        if lists is not None:
            commit = self.bank.journal.commits[-1]
            lists.save(self.path / LISTS, {"ends": dict(commit.ends), "checksums": dict(commit.checksums)})

    def _fill(self, documents: Iterator[Document]) -> None:
        with progress("Indexing", unit="documents", done=len(self._store.live)) as bar:
            for chunk in _chunks(documents):
                self._add(chunk)
                bar.advance(len(chunk))
        self._store.finish()

    def _add(self, documents: Sequence[Document], replaced: Sequence[str] = ()) -> None:
        seen = self._ordinals.keys() - set(replaced)
        for document in documents:
            if document.id in seen:
                raise InputError(
                    f"the id {document.id!r} is already there",
                    where=str(self.path),
                    hint="Give every document its own id, or use MultiVectorIndex.replace",
                )
            seen.add(document.id)
        encoded = self._encoded([document.content for document in documents], "document", [d.id for d in documents])
        first = len(self._store.live)
        self._store.add(documents, encoded, [self._ordinals[i] for i in replaced])
        for document_id in replaced:
            del self._ordinals[document_id]
        self._ordinals.update({document.id: first + number for number, document in enumerate(documents)})

    def _encoded(self, texts: Sequence[str], kind: Kind, ids: Sequence[str]) -> list[Encoded]:
        renormalize = bool(self.bank.provenance["renormalize"])
        return encode_pruned(self.encoder, texts, kind, self.pruning, ids, renormalize=renormalize)

    # ── what is derived ──────────────────────────────────────────────────────────────────────────────────────

    def _first_stage(self) -> Lists | None:
        """The lists, brought up to date; None where every document is scored."""
        wanted = self._coarse == LISTS or (self._coarse == "auto" and len(self.bank) > EXACT_VECTORS)
        if not wanted or not len(self.bank):
            return None
        if self._lists is None:
            self._lists = Lists.fit(self.bank)
        if len(self._lists.codes) < len(self.bank):
            self._lists.extend(self.bank)
            if self._lists.is_outgrown:
                self._lists = Lists.fit(self.bank)
        return self._lists

    def _saved_lists(self) -> Lists | None:
        """The stored lists, if they were made from a state that this index has gone through."""
        if not (self.path / LISTS).is_dir():
            return None
        lists, card = Lists.load(self.path / LISTS)
        states = [(dict(commit.ends), dict(commit.checksums)) for commit in self.bank.journal.commits]
        if (card["ends"], card["checksums"]) not in states:
            return None  # another process has just compacted the index
        lists.extend(self.bank)
        return lists

    def _check_encoder(self, encoder: TokenEncoder) -> None:
        card = self.bank.provenance
        theirs = f"{encoder.name!r}, {encoder.dimensions} dimensions, pruning {encoder.pruning or 'none'}"
        ours = f"{card['model']!r}, {self.bank.dimensions} dimensions, pruning {self.pruning.method}"
        trained_otherwise = encoder.pruning is not None and encoder.pruning != self.pruning.method
        if encoder.fingerprint != card["model_fingerprint"] or trained_otherwise:
            raise ModelError(
                f"the index was built with another encoder or pruning: index {ours}; encoder {theirs}",
                where=str(self.path),
                hint="Open it with the encoder it was built with, or build it again",
            )


def _resumed(path: Path, provenance: dict[str, Any], dtype: str) -> Store:
    store = Store.open(path, writable=True)
    found = {**store.bank.provenance, "dtype": store.bank.dtype}
    wanted = {**provenance, "dtype": dtype}
    changed = {name: value for name, value in wanted.items() if found.get(name) != value}
    differing = [f"{name} was {found.get(name)!r} and is now {value!r}" for name, value in changed.items()]
    if differing:
        store.close()
        raise ArtifactError(
            f"cannot be resumed: {'; '.join(differing)}",
            where=str(path),
            hint="Use the same arguments, or choose another path",
        )
    return store


def _behind_known(documents: Iterator[Document], store: Store, path: Path) -> Iterator[Document]:
    """The documents behind those that an earlier build has stored."""
    for known, document in zip(store.ids, documents, strict=False):
        if document.id != known:
            raise ArtifactError(
                f"cannot be resumed: there was a document {known!r} where there is now {document.id!r}",
                where=str(path),
                hint="The corpus has changed: delete the index and build it again",
            )
    return documents


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while chunk := list(islice(items, DOCUMENTS_PER_COMMIT)):
        yield chunk


def _positive(value: int, name: str) -> int:
    if value < 1:
        raise InputError(f"is {value}", where=name, hint="Give 1 or more")
    return value
