"""The life of an index's folder: making, opening, resuming and compacting it."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sememe import disk
from sememe.errors import ArtifactError
from sememe.search.generation import Generation
from sememe.search.manifest import Manifest

COPIED_AT_ONCE = 4096


def create(path: Path, manifest: Manifest, *, resume: bool) -> Generation:
    """Make the first generation of a new index, open for writing.

    Args:
        path: the folder of the index.
        manifest: its settings.
        resume: take over a folder in which an earlier build was stopped before its manifest.

    Raises:
        ArtifactError: there is something in the folder already.
    """
    if path.exists() and list(path.iterdir()) and not (resume and is_unborn(path)):
        raise ArtifactError(
            "already exists", where=str(path), hint="Resume it with --resume (resume=True), or choose another path"
        )
    disk.make_folder(path)
    manifest.remove_others(path)
    if manifest.folder(path).exists():
        shutil.rmtree(manifest.folder(path))
    provenance = {
        "model": manifest.encoder["name"],
        "model_fingerprint": manifest.encoder["fingerprint"],
        "site": "pooled",
        "corpus": manifest.corpus,
    }
    dimensions: int = manifest.encoder["dimensions"]
    generation = Generation.create(manifest.folder(path), dimensions, manifest.config.dtype, provenance)
    manifest.write(path)
    return generation


def is_unborn(path: Path) -> bool:
    """Whether a build was stopped here before the index had a manifest."""
    return all(child.name.startswith((".", "g0")) for child in list(path.iterdir()))


def resume(path: Path, wanted: Manifest) -> tuple[Manifest, Generation]:
    """Open an index for writing, if it was made as `wanted` says.

    Raises:
        ArtifactError: it was made differently; the message names what differs.
    """
    found, generation = open_folder(path, writable=True)
    differing = [
        f"{name} was {old!r} and is now {new!r}"
        for name, old, new in [
            ("encoder", found.encoder["fingerprint"], wanted.encoder["fingerprint"]),
            ("corpus", found.corpus, wanted.corpus),
            ("settings", asdict(found.config), asdict(wanted.config)),
        ]
        if old != new
    ]
    if differing:
        generation.close()
        raise ArtifactError(
            f"cannot be resumed: {'; '.join(differing)}",
            where=str(path),
            hint="Use the same arguments, or choose another path",
        )
    return found, generation


def open_folder(path: Path, *, writable: bool) -> tuple[Manifest, Generation]:
    """Open the generation that counts; a writer also clears what killed writers left."""
    manifest = Manifest.read(path)
    generation = Generation.open(manifest.folder(path), writable=writable)
    if writable:
        if Manifest.read(path) != manifest:  # a compaction finished between reading and locking
            generation.close()
            return open_folder(path, writable=writable)
        manifest.remove_others(path)
    return manifest, generation


def compact(path: Path, manifest: Manifest, old: Generation) -> tuple[Manifest, Generation]:
    """Write the next generation, without deleted documents, and let it count; the old one is closed and removed.

    A kill before the manifest is replaced leaves the old generation in force.
    """
    following = manifest.next()
    bank = old.bank
    new = Generation.create(following.folder(path), bank.dimensions, bank.dtype, bank.provenance)
    try:
        live = np.flatnonzero(old.live)
        for start in range(0, len(live), COPIED_AT_ONCE):
            _copy(old, new, live[start : start + COPIED_AT_ONCE])
        new.finish()
        following.write(path)
    except BaseException:
        new.close()
        manifest.remove_others(path)
        raise
    old.close()
    following.remove_others(path)
    return following, new


def _copy(old: Generation, new: Generation, ordinals: np.ndarray) -> None:
    documents = [old.records[int(ordinal)] for ordinal in ordinals]
    rows = [old.rows_of(np.asarray([ordinal])) for ordinal in ordinals]
    spans = [[old.records.window(int(row)) for row in of_document] for of_document in rows]
    new.add(documents, spans, old.bank[np.concatenate(rows)])
