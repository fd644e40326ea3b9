"""The manifest of an index: its settings, and which generation of it counts. The only file that is replaced."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from sememe import artifact, disk
from sememe.errors import ArtifactError
from sememe.search.config import IndexConfig
from sememe.search.multi_vector.config import MultiVectorConfig
from sememe.version import __version__

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
Config = TypeVar("Config", bound=IndexConfig | MultiVectorConfig)


@dataclass(frozen=True)
class Kind(Generic[Config]):
    """A kind of index.

    Attributes:
        name: as the manifest calls it.
        described: the same in words.
        config: the class of its settings.
        site: where in the encoder its vectors are from, for the bank's provenance.
        extras: what a generation keeps of every document beside its vectors.

    """

    name: str
    described: str
    config: type[Config]
    site: str
    extras: tuple[str, ...] = ()


INDEX = Kind("index", "an index of one vector a text", IndexConfig, "pooled")
MULTI_VECTOR = Kind("multi-vector index", "a multi-vector index", MultiVectorConfig, "tokens", ("tokens",))
_KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (INDEX, MULTI_VECTOR)}
_HINTS = {
    INDEX.name: "Open it with Index, or build one with --multi-vector",
    MULTI_VECTOR.name: "Search it with sememe search; a page, atoms and tuning need an index of one vector a text",
}


@dataclass(frozen=True)
class Manifest(Generic[Config]):
    """What an index is made of.

    Attributes:
        kind: which kind it is.
        encoder: `name`, `fingerprint`, `dimensions` of the encoder, and what else its kind of index must know of it.
        corpus: what it was built from.
        config: its settings.
        generation: the number of the generation that counts.

    """

    kind: Kind[Config]
    encoder: Mapping[str, Any]
    corpus: str
    config: Config
    generation: int = 1

    def folder(self, index: Path) -> Path:
        """Where the generation lies."""
        return index / f"g{self.generation:06d}"

    def next(self) -> Manifest[Config]:
        """The manifest of the next generation."""
        return replace(self, generation=self.generation + 1)

    def write(self, index: Path) -> None:
        """Replace the manifest in one step; from then on this generation counts."""
        content = {
            "kind": self.kind.name,
            "format_version": FORMAT_VERSION,
            "sememe_version": __version__,
            "encoder": dict(self.encoder),
            "corpus": self.corpus,
            "config": asdict(self.config),
            "generation": self.generation,
        }
        disk.write_file(index / MANIFEST, artifact.dump_json({**content, "sha256": _sha256(content)}))

    @classmethod
    def read(cls, index: Path, kind: Kind[Config]) -> Manifest[Config]:
        """Read the manifest.

        Raises:
            ArtifactError: there is none, it is damaged, from a newer version, or of another kind of index.

        """
        path = index / MANIFEST
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
        found = content.get("kind")
        if content.pop("sha256", None) != _sha256(content) or found not in _KINDS:
            raise ArtifactError("is damaged: its checksum differs", where=str(path), hint="Restore it from a copy")
        if found != kind.name:
            message = f"is {_KINDS[found].described}, not {kind.described}"
            raise ArtifactError(message, where=str(index), hint=_HINTS[found])
        config = kind.config(**content["config"])
        return cls(kind, content["encoder"], content["corpus"], config, content["generation"])

    def remove_others(self, index: Path) -> None:
        """Delete what a killed compaction or an earlier generation left; the writer's lock must be held."""
        disk.remove_leftovers(index)
        for folder in index.glob("g[0-9]*"):
            if folder != self.folder(index):
                shutil.rmtree(folder)


def is_multi_vector(path: str | Path) -> bool:
    """Whether a folder is an index of several vectors a text."""
    file = Path(path) / MANIFEST
    return file.is_file() and artifact.load_json(file).get("kind") == MULTI_VECTOR.name


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
