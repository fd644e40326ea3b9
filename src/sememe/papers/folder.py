"""Where a feed lies when nobody says it."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SEMEME_PAPERS"
DEFAULT = "papers.feed"


def feed_folder(given: str | Path | None = None) -> Path:
    """The feed folder: what was given, else the variable SEMEME_PAPERS, else `papers.feed` in the working directory."""
    return Path(given or os.environ.get(VARIABLE) or DEFAULT).expanduser()
