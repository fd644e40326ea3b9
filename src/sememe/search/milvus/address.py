"""Where a collection lies: `milvus://HOST:PORT/NAME`, or a local file of milvus-lite, `milvus://FILE.db/NAME`."""

from __future__ import annotations

import re
from typing import NamedTuple

from sememe.errors import InputError

SCHEME = "milvus://"
SECURE = "milvus+tls://"
DEFAULT_PORT = 19530
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_HINT = "Write milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME, or milvus://FILE.db/NAME for milvus-lite"


class Address(NamedTuple):
    """A server or file, and the name of a collection in it."""

    uri: str
    """What pymilvus connects to: `http://HOST:PORT`, `https://...`, or the path of a `.db` file."""
    collection: str

    def __str__(self) -> str:
        place = re.sub(r"^https?://", "", self.uri)
        return f"{SECURE if self.uri.startswith('https://') else SCHEME}{place}/{self.collection}"

    @property
    def is_file(self) -> bool:
        """Whether it is a file that milvus-lite reads in this process."""
        return not self.uri.startswith(("http://", "https://"))


def is_address(text: str) -> bool:
    """Whether a text names a collection on a server rather than a folder."""
    return text.startswith((SCHEME, SECURE))


def parse_address(text: str) -> Address:
    """Read `milvus://HOST:PORT/NAME`.

    Raises:
        InputError: it is not of this form.

    """
    scheme = next((scheme for scheme in (SCHEME, SECURE) if text.startswith(scheme)), None)
    place, slash, name = text.removeprefix(scheme or "").rpartition("/")
    if scheme is None or not slash or not place:
        raise InputError(f"is not the address of a collection: {text!r}", hint=_HINT)
    return make_address(f"{scheme}{place}", name)


def make_address(uri: str, collection: str) -> Address:
    """The address of a collection, from a URI as pymilvus takes it (or with our scheme) and a name.

    Raises:
        InputError: the name or the URI cannot be used.

    """
    if not _NAME.fullmatch(collection):
        raise InputError(
            f"is not a name for a collection: {collection!r}",
            hint="Use letters, digits and _, not beginning with a digit, at most 255",
        )
    secure = uri.startswith((SECURE, "https://"))
    place = re.sub(r"^(milvus|milvus\+tls|https?)://", "", uri).rstrip("/")
    if place.endswith(".db") and not secure and not uri.startswith("http"):
        return Address(place, collection)
    if "@" in place:  # not shown: a password may stand before it
        raise InputError(
            "the place of a server holds an @", hint="Put USER:PASSWORD into the variable SEMEME_MILVUS_TOKEN instead"
        )
    host, _, port = place.partition(":")
    if not host or "/" in place or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise InputError(f"is not the place of a server: {uri!r}", hint=_HINT)
    return Address(f"{'https' if secure else 'http'}://{host}:{port or DEFAULT_PORT}", collection)
