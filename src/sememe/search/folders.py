"""The life of an index's folder: making, opening, resuming and compacting it."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sememe import disk
from sememe.errors import ArtifactError
from sememe.search.generation import Generation
from sememe.search.manifest import Config, Kind, Manifest

COPIED_AT_ONCE = 4096


def create(path: Path, manifest: Manifest[Config], *, resume: bool) -> Generation:
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
        "site": manifest.kind.site,
        "corpus": manifest.corpus,
    }
    folder, dtype, extras = manifest.folder(path), manifest.config.dtype, manifest.kind.extras
    dimensions: int = manifest.encoder["dimensions"]
    generation = Generation.create(folder, dimensions, dtype, provenance, extras)
    manifest.write(path)
    return generation


def is_unborn(path: Path) -> bool:
    """Whether a build was stopped here before the index had a manifest."""
    return all(child.name.startswith((".", "g0")) for child in list(path.iterdir()))


def resume(path: Path, wanted: Manifest[Config]) -> tuple[Manifest[Config], Generation]:
    """Open an index for writing, if it was made as `wanted` says.

    Raises:
        ArtifactError: it was made differently; the message names what differs.
    """
    found, generation = open_folder(path, wanted.kind, writable=True)
    old, new = (
        {"encoder": each.encoder["fingerprint"], "corpus": each.corpus, **asdict(each.config)}
        for each in (found, wanted)
    )
    differing = [f"{name} was {old[name]!r} and is now {value!r}" for name, value in new.items() if old[name] != value]
    if differing:
        generation.close()
        raise ArtifactError(
            f"cannot be resumed: {'; '.join(differing)}",
            where=str(path),
            hint="Use the same arguments, or choose another path",
        )
    return found, generation


def open_folder(path: Path, kind: Kind[Config], *, writable: bool) -> tuple[Manifest[Config], Generation]:
    """Open the generation that counts; a writer also clears what killed writers left."""
    manifest = Manifest.read(path, kind)
    try:
        generation = Generation.open(manifest.folder(path), writable=writable, extras=kind.extras)
    except ArtifactError:
        if Manifest.read(path, kind) == manifest:
            raise
        return open_folder(path, kind, writable=writable)  # a compaction has just removed it
    if writable:
        if Manifest.read(path, kind) != manifest:  # a compaction finished between reading and locking
            generation.close()
            return open_folder(path, kind, writable=writable)
        manifest.remove_others(path)
    return manifest, generation


def compact(path: Path, manifest: Manifest[Config], old: Generation) -> tuple[Manifest[Config], Generation]:
    """Write the next generation, without deleted documents, and let it count; the old one is closed and removed.

    A kill before the manifest is replaced leaves the old generation in force.
    """
    following, bank = manifest.next(), old.bank
    folder, extras = following.folder(path), manifest.kind.extras
    new = Generation.create(folder, bank.dimensions, bank.dtype, bank.provenance, extras)
    try:
        live = np.flatnonzero(old.live)
        for start in range(0, len(live), COPIED_AT_ONCE):
            new.add(old.read(live[start : start + COPIED_AT_ONCE].tolist()))
        new.finish()
        following.write(path)
    except BaseException:
        new.close()
        manifest.remove_others(path)
        raise
    old.close()
    following.remove_others(path)
    return following, new
