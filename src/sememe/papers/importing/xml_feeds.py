"""XML that a stranger wrote: parsed by defusedxml, so that entities, external files and DTDs are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.html import html_text
from sememe.corpus.streams import open_decompressed
from sememe.errors import InputError
from sememe.extras import require

MAX_BYTES = 64 << 20
ATOM = "{http://www.w3.org/2005/Atom}"
ARXIV = "{http://arxiv.org/schemas/atom}"
DC = "{http://purl.org/dc/elements/1.1/}"
RSS1 = "{http://purl.org/rss/1.0/}"
_TAG = re.compile(r"</?(?:p|a|br|div|span|em|i|b)(?:\s[^<>]*)?/?>", re.IGNORECASE)


def parse_xml(path: Path, label: str) -> Any:
    """The root element of an XML file.

    Raises:
        InputError: it is too large, malformed, or declares entities or a DTD.
        MissingExtraError: defusedxml is not installed.

    """
    trees, common = require("defusedxml.ElementTree", "papers"), require("defusedxml.common", "papers")
    with open_decompressed(path, label) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"is XML of more than {MAX_BYTES >> 20} MiB", where=label, hint="Split it")
    try:
        return trees.fromstring(data, forbid_dtd=True)
    except common.DefusedXmlException as error:
        what = "entities" if isinstance(error, common.EntitiesForbidden) else "a document type"
        raise InputError(f"declares {what}, which no feed needs and attacks use", where=label) from None
    except (trees.ParseError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"is malformed XML ({error})", where=label, hint="Save or download the feed again") from None


def child_text(element: Any, *names: str) -> str:
    """The text of the first child that is there and not empty."""
    return next((text for name in names if (text := (element.findtext(name) or "").strip())), "")


def child_texts(element: Any, name: str) -> Iterator[str]:
    """The texts of all children of a name."""
    for child in element.iterfind(name):
        if child.text and child.text.strip():
            yield child.text.strip()


def plain(text: str) -> str:
    """`text` without the HTML that some feeds wrap their texts in; `n < p` and the like are no HTML."""
    return html_text(text)[1] if _TAG.search(text) else text
