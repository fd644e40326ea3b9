"""Reading documents in, from any of the accepted sources, without ever holding all of them."""

from __future__ import annotations

from sememe.corpus.config import ReadConfig
from sememe.corpus.corpus import Corpus
from sememe.corpus.document import Document, Skipped
from sememe.corpus.read import read
from sememe.corpus.windows import Window, windows

__all__ = ["Corpus", "Document", "ReadConfig", "Skipped", "Window", "read", "windows"]
