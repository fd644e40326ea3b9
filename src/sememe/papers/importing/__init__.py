"""Reading papers in: one file a format, recognised from its content."""

from __future__ import annotations

from sememe.papers.importing.formats import FORMATS
from sememe.papers.importing.source import ImportConfig, PaperSource

__all__ = ["FORMATS", "ImportConfig", "PaperSource"]
