"""The manifest of an index: its settings, and which generation of it counts. The only file that is replaced."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sememe import artifact, disk
from sememe.errors import ArtifactError
from sememe.search.config import IndexConfig
from sememe.version import __version__

MANIFEST = "manifest.json"
KIND = "index"
TOKENS = "tokens.bin"  # only a multi-vector index has it
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What an index is made of.

    Attributes:
        encoder: `name`, `fingerprint`, `dimensions` and `normalizes` of the encoder.
        corpus: what it was built from.
        config: its settings.
        generation: the number of the generation that counts.

    """

    encoder: Mapping[str, Any]
    corpus: str
    config: IndexConfig
    generation: int = 1

    def folder(self, index: Path) -> Path:
        """Where the generation lies."""
        return index / f"g{self.generation:06d}"

    def next(self) -> Manifest:
        """The manifest of the next generation."""
        return replace(self, generation=self.generation + 1)

    def write(self, index: Path) -> None:
        """Replace the manifest in one step; from then on this generation counts."""
        content = {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "sememe_version": __version__,
            "encoder": dict(self.encoder),
            "corpus": self.corpus,
            "config": asdict(self.config),
            "generation": self.generation,
        }
        disk.write_file(index / MANIFEST, artifact.dump_json({**content, "sha256": _sha256(content)}))

    @classmethod
    def read(cls, index: Path) -> Manifest:
        """Read the manifest.

        Raises:
            ArtifactError: there is none, it is damaged, or it is from a newer version.

        """
        path = index / MANIFEST
        if is_multi_vector(index):
            hint = "Search it with sememe search; a page, atoms and tuning need an index of one vector a text"
            raise ArtifactError("is a multi-vector index, not one of one vector a text", where=str(index), hint=hint)
        if not path.is_file():
            if list(index.glob("g[0-9]*")):
                raise ArtifactError(
                    f"has no {MANIFEST}: its build was stopped before the first document",
                    where=str(index),
                    hint="Run the same `sememe index` command again with --resume",
                )
            raise ArtifactError(f"is not an index: it has no {MANIFEST}", where=str(index), hint="Check the path")
        content = artifact.load_json(path)
        version = content.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ArtifactError(
                f"has format version {version}; this Sememe ({__version__}) reads up to {FORMAT_VERSION}",
                where=str(index),
                hint="Install a newer Sememe",
            )
        if content.pop("sha256", None) != _sha256(content) or content.get("kind") != KIND:
            raise ArtifactError("is damaged: its checksum differs", where=str(path), hint="Restore it from a copy")
        return cls(content["encoder"], content["corpus"], IndexConfig(**content["config"]), content["generation"])

    def remove_others(self, index: Path) -> None:
        """Delete what a killed compaction or an earlier generation left; the writer's lock must be held."""
        disk.remove_leftovers(index)
        for folder in index.glob("g[0-9]*"):
            if folder != self.folder(index):
                shutil.rmtree(folder)


def is_multi_vector(path: str | Path) -> bool:
    """Whether a folder is an index of several vectors a text."""
    return (Path(path) / TOKENS).is_file()


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
