"""Writing papers out: one file a format."""

from __future__ import annotations

from sememe.papers.exporting.formats import EXPORTS, export, format_of
from sememe.papers.exporting.kept import Kept, kept

__all__ = ["EXPORTS", "Kept", "export", "format_of", "kept"]
