"""What is derived from the vectors of a multi-vector index and can be made again: the lists of its first stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sememe.search.generation import Generation
from sememe.search.manifest import Manifest
from sememe.search.multi_vector.config import EXACT_VECTORS, MultiVectorConfig
from sememe.search.multi_vector.lists import Lists

LISTS = "lists"


class TokenParts:
    """The derived parts of one generation, loaded or made when they are first needed; see `sememe.search.parts`."""

    def __init__(self, manifest: Manifest[MultiVectorConfig], index: Path, generation: Generation) -> None:
        self._coarse = manifest.config.coarse
        self._folder = manifest.folder(index)
        self._generation = generation
        self._lists: Lists | None = None

    def lists(self) -> Lists | None:
        """The first stage, brought up to date; None where every document is scored."""
        bank = self._generation.bank
        wanted = self._coarse == LISTS or (self._coarse == "auto" and len(bank) > EXACT_VECTORS)
        if not wanted or not len(bank):
            return None
        if self._lists is None:
            saved = sorted(self._folder.glob(f"{LISTS}-*"))
            self._lists = Lists.load(saved[-1]) if saved else Lists.fit(bank)
        if not self._lists.covers(bank):
            self._lists.extend(bank)
            if self._lists.is_outgrown:
                self._lists = Lists.fit(bank)
        return self._lists

    def card(self) -> dict[str, Any]:
        """The kind of first stage, and its memory if it holds any."""
        lists = self.lists()
        return {"kind": "exact"} if lists is None else {"kind": LISTS, "bytes": lists.nbytes}

    def save(self) -> None:
        """Write what is missing for the present state and delete what is stale."""
        lists = self.lists()
        if lists is not None and not self._path.exists():
            lists.save(self._path)
        for stale in set(self._folder.glob(f"{LISTS}-*")) - ({self._path} if lists is not None else set()):
            shutil.rmtree(stale)

    def verify(self) -> None:
        """Read what was saved, which compares its checksums.

        Raises:
            ArtifactError: a file is damaged; the message names it.

        """
        if self._path.exists():
            Lists.load(self._path)

    @property
    def _path(self) -> Path:
        return self._folder / f"{LISTS}-{self._generation.state:08d}"
