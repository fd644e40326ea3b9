"""Which Host headers a request may carry, decided on the raw bytes.

A web page elsewhere can make a browser send requests to this machine under the page's own name (DNS rebinding).
Such a request has that name in its Host header, so a name that is not ours is refused. Frameworks have been fooled
by malformed headers here, so nothing of theirs is used.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_HOST = re.compile(rb"(\[[0-9a-fA-F:.]{2,45}\]|[0-9a-zA-Z.-]{1,253})(?::([0-9]{1,5}))?")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  (compared with, not bound to)


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_host(host: str) -> str:
    """`host` as it is written in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


class Hosts:
    """The Host headers of a server: the loopback names, and the address it was told to listen on, with its port.

    A server that listens on every address takes any literal address: a rebinding page has only names.
    """

    def __init__(self, host: str, port: int) -> None:
        self._names = _LOOPBACK | {url_host(host).lower()} - _EVERY_ADDRESS
        self._any_address = host in _EVERY_ADDRESS
        self._port = str(port)

    def allow(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether there is exactly one Host header, and it is one of ours."""
        given = [value for name, value in headers if name.lower() == b"host"]
        match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if match is None or (match[2] or b"80").decode() != self._port:
            return False
        name = match[1].decode().lower()
        return name in self._names or (self._any_address and _is_address(name.strip("[]")))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
