"""What is derived from an index's documents and can be made again: the lexical part and the binary codes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from sememe.search.codes import Codes
from sememe.search.generation import Generation
from sememe.search.lexical import Lexical
from sememe.search.manifest import Manifest

MAX_EXACT_ROWS = 50_000  # above this, `coarse="auto"` means binary codes


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
        return self._current("lexical", Lexical.load, self._make_lexical)  # type: ignore[no-any-return]

    def codes(self) -> Codes | None:
        """Binary codes of all rows, or None when every vector is scanned."""
        if not self._uses_codes:
            return None
        codes: Codes = self._current("codes", Codes.load, self._make_codes)
        return codes

    def live_ordinals(self) -> np.ndarray:
        """The ordinals of the documents that exist; shape (n,)."""
        return np.flatnonzero(self._generation.live)

    def coarse_card(self) -> dict[str, Any]:
        """The kind of first stage; for codes also their memory and measured recall."""
        if not self._uses_codes:
            return {"kind": "exact"}
        codes = self.codes()
        assert codes is not None
        return {"kind": "binary", "bytes": codes.nbytes, "recall@10": codes.recall, "per_hit": codes.per_hit}

    def save(self) -> None:
        """Write what is missing for the present state and delete what is stale."""
        parts = {"lexical": self.lexical(), "codes": self.codes()}
        for name, part in parts.items():
            path = self._path(name)
            if part is not None and not path.exists():
                part.save(path)
            for stale in self._folder.glob(f"{name}-*"):
                if stale != path:
                    shutil.rmtree(stale)

    def verify(self) -> None:
        """Read every saved part, which compares its checksums.

        Raises:
            ArtifactError: a file is damaged; the message names it.

        """
        for name, load in (("lexical", Lexical.load), ("codes", Codes.load)):
            if self._path(name).exists():
                load(self._path(name))

    @property
    def _uses_codes(self) -> bool:
        n_rows = len(self._generation.bank)
        return n_rows > {"exact": n_rows, "binary": 0, "auto": MAX_EXACT_ROWS}[self._config.coarse]

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

    def _make_codes(self) -> Codes:
        _, codes = self._cache.get("codes", (-1, None))
        if codes is None:
            saved = sorted(self._folder.glob("codes-*"))
            codes = Codes.load(saved[-1]) if saved else Codes.fit(self._generation.bank)
        codes.extend(self._generation.bank)
        return codes  # type: ignore[no-any-return]
