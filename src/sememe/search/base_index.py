"""What both kinds of index are: documents in a folder that are built, opened, read, changed and compacted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np

from sememe import artifact, disk
from sememe.bank import Bank
from sememe.corpus import Corpus, Document
from sememe.errors import ArtifactError, InputError
from sememe.progress import progress
from sememe.search import folders
from sememe.search.generation import Addition, Generation
from sememe.search.manifest import Config, Kind, Manifest

DOCUMENTS_PER_COMMIT = 256
CARD = "card.json"
AnyEncoder = TypeVar("AnyEncoder")
Item = TypeVar("Item")


class Derived(Protocol):
    """What is made from an index's documents and can be made again."""

    def save(self) -> None:
        """Write what is missing for the present state and delete what is stale."""
        ...

    def verify(self) -> None:
        """Compare what was saved with its checksums."""
        ...


class BaseIndex(ABC, Generic[Config, AnyEncoder]):
    """The life of an index; `Index` and `MultiVectorIndex` say how documents are encoded and searched."""

    kind: ClassVar[Kind[Any]]

    def __init__(
        self, path: Path, manifest: Manifest[Config], generation: Generation, encoder: AnyEncoder | None
    ) -> None:
        self.path = path
        self._manifest = manifest
        self._generation = generation
        self._encoder = encoder
        self._ordinals: dict[str, int] | None = None

    # ── what a kind of index adds ────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _encoded(self, documents: Sequence[Document]) -> Addition:
        """Encode documents."""

    @abstractmethod
    def _derived(self) -> Derived:
        """What is derived from the present generation."""

    @abstractmethod
    def _renewed(self) -> None:
        """Forget what was derived from an earlier generation or with earlier settings."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """What the index is and how large."""

    # ── making and opening ───────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def _built(
        cls,
        corpus: Corpus | Iterable[Document],
        encoder: AnyEncoder,
        path: Path,
        *,
        described: Mapping[str, Any],
        config: Config,
        resume: bool,
    ) -> Self:
        """Encode a corpus into a new index, or go on with one that was stopped; `described` is the encoder."""
        source = corpus.source if isinstance(corpus, Corpus) else "documents"
        manifest: Manifest[Config] = Manifest(cls.kind, described, source, config)
        if resume and path.exists() and not folders.is_unborn(path):
            manifest, generation = folders.resume(path, manifest)
        else:
            generation = folders.create(path, manifest, resume=resume)
        try:
            index = cls(path, manifest, generation, encoder)
            index._fill(iter(corpus))
        except BaseException:
            generation.close()
            raise
        return index

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False, encoder: AnyEncoder | None = None) -> Self:
        """Open an index.

        Args:
            path: its folder.
            writable: take the writer's lock, so that `add`, `delete` and `compact` work.
            encoder: the encoder it was built with; loaded by its name when it is first needed otherwise.

        Raises:
            ArtifactError: it is missing, damaged (the message names the file), half-built or of another kind.
            LockedError: `writable`, and another process is writing.

        """
        path = Path(path)
        if not path.is_dir():
            raise ArtifactError("does not exist", where=str(path), hint="Make it with: sememe index SOURCE --path IDX")
        manifest, generation = folders.open_folder(path, cls.kind, writable=writable)
        try:
            if not generation.complete:
                raise ArtifactError(
                    f"is half-built: its build was stopped after {int(np.count_nonzero(generation.live)):,} documents",
                    where=str(path),
                    hint="Run the same `sememe index` command again with --resume",
                )
            return cls(path, manifest, generation, encoder)
        except BaseException:
            generation.close()
            raise

    def close(self) -> None:
        """Close the files and release the writer's lock."""
        self._generation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """The number of documents."""
        return int(np.count_nonzero(self._generation.live))

    @property
    def bank(self) -> Bank:
        """The vectors; rows of deleted documents stay until `compact`."""
        return self._generation.bank

    @property
    def config(self) -> Config:
        """The settings it was built with."""
        return self._manifest.config

    def ids(self) -> list[str]:
        """The ids of all documents, in the order of adding."""
        return list(self._by_id())

    def __contains__(self, document_id: str) -> bool:
        return document_id in self._by_id()

    def document(self, document_id: str) -> Document:
        """A document by its id.

        Raises:
            InputError: there is no such document.

        """
        ordinal = self._by_id().get(document_id)
        if ordinal is None:
            raise InputError(f"has no document {document_id!r}", where=str(self.path))
        return self._generation.records[ordinal]

    def documents(self) -> Iterator[Document]:
        """All documents, in the order of adding."""
        for ordinal in np.flatnonzero(self._generation.live):
            yield self._generation.records[int(ordinal)]

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            ArtifactError: a file is damaged; the message names it.

        """
        self.bank.verify()
        self._derived().verify()

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, documents: Iterable[Document]) -> int:
        """Add documents; each few hundred are durable before the next are encoded.

        Returns:
            How many were added.

        Raises:
            InputError: an id is already there, or a document cannot be encoded; what was added before it stays.

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
            known = self._by_id()
            self._add(chunk, [known[document.id] for document in chunk if document.id in known])
            added += len(chunk)
        return added

    def delete(self, ids: str | Iterable[str]) -> int:
        """Delete documents by id; ids that are not there are passed over.

        Returns:
            How many were deleted.

        """
        known = self._by_id()
        found = {known[i]: i for i in ([ids] if isinstance(ids, str) else ids) if i in known}
        if found:
            self._generation.delete(list(found))
            for document_id in found.values():
                del known[document_id]
        return len(found)

    def compact(self) -> None:
        """Write a new generation without the deleted documents, and drop the old one.

        A kill leaves the old generation in force.
        """
        self._manifest, self._generation = folders.compact(self.path, self._manifest, self._generation)
        self._ordinals = None
        self._renewed()
        self.prepare()

    def prepare(self) -> None:
        """Bring what is derived from the documents up to date on disk: the parts that a search needs, and the card.

        A search does this in memory when it must; after adding or deleting, this saves the next reader the time.
        """
        self._derived().save()
        info = {key: value for key, value in self.info().items() if key != "bytes"}
        disk.write_file(
            self.path / CARD, artifact.dump_json({"kind": f"{self.kind.name.replace(' ', '-')}-card", **info})
        )

    # ── private ──────────────────────────────────────────────────────────────────────────────────────────────

    def _n_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def _by_id(self) -> dict[str, int]:
        if self._ordinals is None:
            self._ordinals = self._generation.ordinals()
        return self._ordinals

    def _fill(self, documents: Iterator[Document]) -> None:
        if not self._generation.complete:
            done = len(self._generation.records)
            remaining = self._skip_known(documents, done)
            with progress("Indexing", unit="documents", done=done) as bar:
                for chunk in _chunks(remaining):
                    self._add(chunk)
                    bar.advance(len(chunk))
            self._generation.finish()
        self.prepare()

    def _add(self, documents: Sequence[Document], deleted: Sequence[int] = ()) -> None:
        known = self._by_id()
        replaced = {self._generation.records.ids[ordinal] for ordinal in deleted}
        seen: set[str] = set()
        for document in documents:
            if document.id in seen or (document.id in known and document.id not in replaced):
                raise InputError(
                    f"the id {document.id!r} is already there",
                    where=str(self.path),
                    hint="Give every document its own id, or replace the older document",
                )
            seen.add(document.id)
        first = len(self._generation.records)
        self._generation.add(self._encoded(documents), deleted)
        for number, document in enumerate(documents):
            known.pop(document.id, None)  # a replaced document moves to the end, as in the order of adding
            known[document.id] = first + number

    def _skip_known(self, documents: Iterator[Document], done: int) -> Iterator[Document]:
        known = self._generation.records.ids
        for number, document in enumerate(islice(documents, done)):
            if document.id != known[number]:
                raise ArtifactError(
                    f"cannot be resumed: document {number + 1} was {known[number]!r} and is now {document.id!r}",
                    where=str(self.path),
                    hint="The corpus has changed: delete the index and build it again",
                )
        return documents


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while chunk := list(islice(items, DOCUMENTS_PER_COMMIT)):
        yield chunk
