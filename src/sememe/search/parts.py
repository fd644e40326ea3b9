"""What is derived from an index's documents and can be made again: the lexical part and the first stage's codes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from sememe.lexical.bm25 import Lexical
from sememe.search.coarse.kinds import CODES, CoarseName, parse_coarse
from sememe.search.generation import Generation
from sememe.search.manifest import Manifest
from sememe.search.shortlist import Shortlist, measured_path

MAX_EXACT_ROWS = 50_000  # above this, `coarse="auto"` means binary codes
LEXICAL, COARSE = "lexical", "coarse"


class Parts:
    """The derived parts of one generation, loaded or made when they are first needed.

    A part is kept in a folder whose name holds the state of the generation that it was made for, so a stale one
    is never used. Only `save`, which needs the writer's lock, writes.
    """

    def __init__(self, manifest: Manifest, index: Path, generation: Generation) -> None:
        self._config = manifest.config
        self._folder = manifest.folder(index)
        self._generation = generation
        self._cache: dict[str, tuple[int, Any]] = {}

    def lexical(self) -> Lexical:
        """BM25 over the live documents; its items are their places among `live_ordinals`."""
        return self._current(LEXICAL, Lexical.load, self._make_lexical)  # type: ignore[no-any-return]

    @property
    def coarse(self) -> CoarseName:
        """The first stage of a dense search."""
        name = parse_coarse(self._config.coarse)
        if name.kind == "auto":
            return CoarseName("exact" if len(self._generation.bank) <= MAX_EXACT_ROWS else "binary")
        return name

    def shortlist(self) -> Shortlist | None:
        """The first stage with codes of all rows; None when it holds none (`exact`, `lexical`)."""
        if self.coarse.kind not in CODES or not len(self._generation.bank):
            return None
        shortlist: Shortlist = self._current(COARSE, Shortlist.load, self._make_shortlist)
        return shortlist

    def live_ordinals(self) -> np.ndarray:
        """The ordinals of the documents that exist; shape (n,)."""
        return np.flatnonzero(self._generation.live)

    def coarse_card(self) -> dict[str, Any]:
        """The kind of first stage; if it has codes also their memory and measured recall."""
        shortlist = self.shortlist()
        return {"kind": str(self.coarse)} if shortlist is None else shortlist.card()

    def save(self) -> None:
        """Write what is missing for the present state and delete what is stale."""
        parts = {LEXICAL: self.lexical(), COARSE: self.shortlist()}
        for name, part in parts.items():
            path = self._path(name)
            if part is not None and not path.exists():
                part.save(path)
            kept = {path, measured_path(path)} if part is not None else set()
            for stale in set(self._folder.glob(f"*{name}-*")) - kept:
                shutil.rmtree(stale)

    def verify(self) -> None:
        """Read every saved part, which compares its checksums.

        Raises:
            ArtifactError: a file is damaged; the message names it.

        """
        for name, load in ((LEXICAL, Lexical.load), (COARSE, Shortlist.load)):
            if self._path(name).exists():
                load(self._path(name))

    def _current(self, name: str, load: Any, make: Any) -> Any:
        state, part = self._cache.get(name, (-1, None))
        if state != self._generation.state:
            path = self._path(name)
            part = load(path) if path.exists() else make()
            self._cache[name] = (self._generation.state, part)
        return part

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}-{self._generation.state:08d}"

    def _make_lexical(self) -> Lexical:
        records = self._generation.records
        texts = (records[int(ordinal)].content for ordinal in self.live_ordinals())
        return Lexical.fit(texts, self._config.language)

    def _make_shortlist(self) -> Shortlist:
        _, shortlist = self._cache.get(COARSE, (-1, None))
        if shortlist is None:
            saved = sorted(self._folder.glob(f"{COARSE}-*"))
            shortlist = Shortlist.load(saved[-1]) if saved else None
        bank, per_hit = self._generation.bank, self._config.candidates
        if shortlist is None or shortlist.name != self.coarse or (per_hit and shortlist.per_hit != per_hit):
            return Shortlist.fit(self.coarse, bank, self._generation.live[bank.documents], per_hit)
        shortlist.stage.extend(bank)
        return shortlist  # type: ignore[no-any-return]
