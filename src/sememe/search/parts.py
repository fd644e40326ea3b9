"""What is derived from an index's documents and can be made again: the lexical part and the first stage's codes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from sememe.lexical.bm25 import Lexical
from sememe.search.coarse.kinds import CODES, LEARNED, CoarseName, parse_coarse
from sememe.search.config import IndexConfig
from sememe.search.generation import Generation
from sememe.search.learned_stage import Learned, has_learned, load_learned
from sememe.search.manifest import Manifest
from sememe.search.shortlist import Shortlist, measured_path

MAX_EXACT_ROWS = 50_000  # above this, `coarse="auto"` means binary codes
LEXICAL, COARSE = "lexical", "coarse"


class Parts:
    """The derived parts of one generation, loaded or made when they are first needed.

    A part is kept in a folder whose name holds the state of the generation that it was made for, and of codes the stage
    that made them, so a stale one is never used. Only `save`, which needs the writer's lock, writes.
    """

    def __init__(self, manifest: Manifest[IndexConfig], index: Path, generation: Generation) -> None:
        self._config = manifest.config
        self._name = parse_coarse(manifest.config.coarse)
        self._index, self._folder = index, manifest.folder(index)
        self._generation = generation
        self._lexical: Lexical | None = None
        self._lexical_state = -1
        self._shortlist: Shortlist | None = None
        self._shortlist_state = -1
        self._learned: Learned | None = None

    def lexical(self) -> Lexical:
        """BM25 over the live documents; its items are their places among `live_ordinals`."""
        if self._lexical is None or self._lexical_state != self._generation.state:
            path = self._lexical_path
            self._lexical = Lexical.load(path) if path.exists() else self._make_lexical()
            self._lexical_state = self._generation.state
        return self._lexical

    @property
    def coarse(self) -> CoarseName:
        """The first stage of a dense search."""
        if self._name.kind == "auto":
            return CoarseName("exact" if len(self._generation.bank) <= MAX_EXACT_ROWS else "binary")
        return self._name

    def shortlist(self) -> Shortlist | None:
        """The first stage with codes of all rows; None when it holds none (`exact`, `lexical`)."""
        if self.coarse.kind not in (*CODES, LEARNED) or not len(self._generation.bank):
            return None
        if self._shortlist is None or self._shortlist_state != self._generation.state:
            self._shortlist = self._current_shortlist(self._shortlist)
            self._shortlist_state = self._generation.state
        return self._shortlist

    def live_ordinals(self) -> np.ndarray:
        """The ordinals of the documents that exist; shape (n,)."""
        return np.flatnonzero(self._generation.live)

    def coarse_card(self) -> dict[str, Any]:
        """The kind of first stage; if it has codes also their memory and measured recall."""
        shortlist = self.shortlist()
        card = {"kind": str(self.coarse)} if shortlist is None else shortlist.card()
        return {**card, "learned": self.learned().card["measured"]} if self.coarse.kind == LEARNED else card

    def learned(self) -> Learned:
        """What was learned for this index.

        Raises:
            ArtifactError: nothing was.

        """
        if self._learned is None:
            self._learned = load_learned(self._index)
        return self._learned

    def save(self) -> None:
        """Write what is missing for the present state and delete what is stale."""
        if not self._lexical_path.exists():
            self.lexical().save(self._lexical_path)
        kept, shortlist = {self._lexical_path}, self.shortlist()
        if shortlist is not None:
            shortlist.save(self._coarse_path)
            kept |= {self._coarse_path, measured_path(self._coarse_path)}
        for name in (LEXICAL, COARSE):
            for stale in set(self._folder.glob(f"*{name}-*")) - kept:
                shutil.rmtree(stale)

    def verify(self) -> None:
        """Read every saved part, which compares its checksums.

        Raises:
            ArtifactError: a file is damaged; the message names it.

        """
        if self._lexical_path.exists():
            Lexical.load(self._lexical_path)
        if self._coarse_path.exists():
            Shortlist.load(self._coarse_path)
        if has_learned(self._index):
            load_learned(self._index)

    @property
    def _lexical_path(self) -> Path:
        return self._folder / f"{LEXICAL}-{self._generation.state:08d}"

    @property
    def _coarse_path(self) -> Path:
        return self._folder / f"{COARSE}-{self._generation.state:08d}-{self._coarse_suffix}"

    @property
    def _coarse_suffix(self) -> str:
        suffix = str(self.coarse).translate(str.maketrans(":,", "--"))
        return f"{suffix}-{self.learned().fingerprint[:16]}" if self.coarse.kind == LEARNED else suffix

    def _make_lexical(self) -> Lexical:
        records = self._generation.records
        texts = (records[int(ordinal)].content for ordinal in self.live_ordinals())
        return Lexical.fit(texts, self._config.language)

    def _current_shortlist(self, held: Shortlist | None) -> Shortlist:
        """The one that was saved for this state, an older one brought up to date, or a new one."""
        bank, live = self._generation.bank, self._generation.live[self._generation.bank.documents]
        asked = self._config.candidates
        saved = sorted(self._folder.glob(f"{COARSE}-*-{self._coarse_suffix}"))
        if self._coarse_path.exists():
            held = Shortlist.load(self._coarse_path)
        elif held is None and saved:
            held = Shortlist.load(saved[-1])
        if held is None and self.coarse.kind == LEARNED:
            return Shortlist.around(self.coarse, self.learned().stage, bank, live, asked)
        if held is None:
            return Shortlist.fit(self.coarse, bank, live, asked)
        held.stage.extend(bank)
        return held if held.asked == asked else Shortlist.around(self.coarse, held.stage, bank, live, asked)
