"""Keeping the index of a feed folder in step with its store.

The index is brought up to date in commits of a few hundred papers; then the store's revision is written down. A kill
in between loses the commit in flight: the next run passes over what the index has already and goes on with the rest,
in the same order, so it ends with the same index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sememe import artifact, disk
from sememe.corpus import Document
from sememe.errors import ArtifactError
from sememe.progress import progress
from sememe.search import Index

if TYPE_CHECKING:
    from sememe.models import Encoder
    from sememe.papers.paper import Paper
    from sememe.papers.store import PaperStore

INDEX, INDEXED = "index", "indexed.json"
PAPERS_PER_COMMIT = 256


def catch_up(store: PaperStore, folder: Path, encoder: Encoder) -> int:
    """Index the papers that are new in the store or changed in what a search reads; forget those that ended.

    Args:
        store: the papers.
        folder: the feed folder.
        encoder: what made the index, or is to make it.

    Returns:
        How many papers were encoded.

    Raises:
        LockedError: another process is catching up.
        ModelError: the encoder is not the one that the index was built with.

    """
    recorded, _ = indexed(folder)
    now, changed = store.changed_since(recorded)
    with _opened(folder / INDEX, encoder) as index:
        index.delete(store.removed_since(recorded))
        encoded = _put(index, store, changed) if now > recorded else 0
        if len(index) != len(store):  # another store's revision, such as after a copy was put back
            now, every = store.changed_since(0)
            index.delete(set(index.ids()) - set(every))
            encoded += _put(index, store, every)
        if index.info()["deleted"] > len(index):
            index.compact()
        index.prepare()
        n_papers = len(index)
    disk.write_file(folder / INDEXED, artifact.dump_json({"revision": now, "papers": n_papers}))
    return encoded


def is_behind(store: PaperStore, folder: Path) -> bool:
    """Whether there is something to catch up with."""
    revision, n_papers = indexed(folder)
    return store.changed_since(revision)[0] != revision or len(store) != n_papers


def indexed(folder: Path) -> tuple[int, int]:
    """The store's revision that the index has reached, and how many papers that were; 0 when there is no index.

    Raises:
        ArtifactError: the file that says so is damaged.

    """
    path = folder / INDEXED
    if not path.exists() or not Index.is_index(folder / INDEX):
        return 0, 0
    found = artifact.load_json(path)
    revision, n_papers = found.get("revision"), found.get("papers")
    if not isinstance(revision, int) or not isinstance(n_papers, int):
        raise ArtifactError("does not say what was indexed", where=str(path), hint="Delete it; then catch up again")
    return revision, n_papers


def document_of(paper: Paper) -> Document:
    """What is indexed of a paper."""
    metadata = {
        "date": paper.date.isoformat() if paper.date else None,
        "venue": paper.venue,
        "categories": list(paper.categories),
        "authors": list(paper.authors),
        "keywords": list(paper.keywords),
    }
    return Document(paper.id, paper.abstract, paper.title, metadata)


def _opened(path: Path, encoder: Encoder) -> Index:
    # Built empty and then filled: a build that is resumed would insist on the very corpus that it began with.
    if not Index.is_index(path):
        return Index.build([], encoder, path, resume=True)
    try:
        return Index.open(path, writable=True, encoder=encoder)
    except ArtifactError as error:
        if "half-built" not in error.message:
            raise
        return Index.build([], encoder, path, resume=True)


def _put(index: Index, store: PaperStore, ids: Sequence[str]) -> int:
    encoded = 0
    with progress("Indexing papers", len(ids), unit="papers") as bar:
        for start in range(0, len(ids), PAPERS_PER_COMMIT):
            chunk = ids[start : start + PAPERS_PER_COMMIT]
            encoded += index.replace(_missing(index, store, chunk))
            bar.advance(len(chunk))
    return encoded


def _missing(index: Index, store: PaperStore, ids: Sequence[str]) -> Iterator[Document]:
    """Those that the index does not have as they are now."""
    for id, paper in zip(ids, store.papers(ids), strict=True):
        document = document_of(paper)
        # A paper that has become one with another answers to its old id, but is no document of its own.
        if paper.id == id and not (id in index and index.document(id) == document):
            yield document
