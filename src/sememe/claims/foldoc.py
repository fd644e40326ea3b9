"""The articles of the Free On-line Dictionary of Computing, as the Debian package dict-foldoc installs them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from sememe.errors import InputError

INSTALLED = Path("/usr/share/dictd")
FILE = "foldoc.dict.dz"
# Headwords stand at the margin, definitions are indented.
_ARTICLE = re.compile(r"^(?:\S[^\n]*\n)+\n((?:[ ]{3}[^\n]*\n|\n|\{[^\n]*\n)+)", re.MULTILINE)
_SUBJECT = re.compile(r"^\s*<[^>\n]*>\s*")
_DATE = re.compile(r"\(\d{4}-\d\d-\d\d\)\s*$")


def articles(shared: Path) -> list[str]:
    """The definitions, in the order of the dictionary, without subject, date and braces around references.

    Args:
        shared: the folder that may hold data/foldoc; else the installed package is read.

    Raises:
        InputError: neither is there.

    """
    places = [shared / "data" / "foldoc" / FILE, INSTALLED / FILE]
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise InputError("is not there", where=str(places[1]), hint="Install it with: apt install dict-foldoc")
    text = gzip.decompress(place.read_bytes()).decode("utf-8", "replace")
    return [cleaned for match in _ARTICLE.finditer(text) if (cleaned := _clean(match.group(1)))]


def _clean(article: str) -> str:
    without = _DATE.sub("", _SUBJECT.sub("", article.strip())).translate(str.maketrans("", "", "{}"))
    return " ".join(without.split())
