"""The text of a PDF file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sememe.corpus.entries import BadRecordError
from sememe.errors import MissingExtraError
from sememe.extras import require


def pdf_text(path: Path) -> tuple[str, str, int]:
    """The title, the text and the number of pages.

    Raises:
        BadRecordError: it is encrypted, broken, or holds no text.
        MissingExtraError: pypdf is not installed, or what it needs for this file's encryption.
        OSError: it cannot be opened.
    """
    pypdf = require("pypdf", "pdf")
    with open(path, "rb") as stream, _quiet():
        try:
            reader = pypdf.PdfReader(stream)
            if reader.is_encrypted:
                _unlock(reader)
            pages = [page.extract_text() for page in reader.pages]
            title = (reader.metadata.title if reader.metadata else None) or ""
        except (BadRecordError, MissingExtraError):
            raise
        except Exception as error:  # damage surfaces as any of the built-in errors, besides pypdf's own
            if isinstance(error, pypdf.errors.DependencyError):
                require("cryptography", "pdf")
            raise BadRecordError(f"is a broken PDF ({type(error).__name__}: {error})") from None
    text = _clean("\n".join(pages))
    if not text:
        raise BadRecordError(f"is a PDF without text ({len(pages)} pages; is it a scan?)", "Run it through OCR first")
    return _clean(str(title)), text, len(pages)


def _unlock(reader: Any) -> None:
    # A PDF that only restricts printing or copying opens with the empty password.
    if not reader.decrypt(""):
        raise BadRecordError("is encrypted and needs a password", "Unlock it: qpdf --decrypt --password=... IN OUT")


def _clean(text: str) -> str:
    # Broken character maps give NULs and halves of surrogate pairs, which UTF-8 cannot hold.
    return text.encode("utf-8", "replace").decode().replace("\0", "").strip()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pypdf's remarks on sloppy files off the terminal; what matters comes as an error."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
