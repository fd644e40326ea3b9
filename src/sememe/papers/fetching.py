"""Fetching an address that somebody typed or that a page led to, without being led into the local network.

The name is resolved once, every address it stands for must be a public one, and the connection goes to the very
address that was checked: a name that is resolved differently a moment later changes nothing. Each redirect is checked
in the same way. Proxies of the environment are not used, and no credentials are sent.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from sememe import disk
from sememe.errors import InputError, RemoteError
from sememe.papers.paper import one_line
from sememe.version import __version__

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]
Connect = Callable[[tuple[str, int], float], socket.socket]

_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_CHUNK = 1 << 16
_SAFE = "/?&=%:+,;@!$'()*~-._[]"
_HINT = "Only public http and https addresses are fetched; save the file and import it from disk"


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much a fetch may cost.

    Args:
        n_bytes: of the answer.
        seconds: in all, redirects included.
        redirects: how many are followed.

    """

    n_bytes: int = 256 << 20
    seconds: float = 60.0
    redirects: int = 5


def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of a host.

    Raises:
        RemoteError: there are none.

    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RemoteError(f"cannot be found ({error})", where=host, hint="Check the address and the network") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connect(address: tuple[str, int], seconds: float) -> socket.socket:
    """A connection to a numeric address."""
    return socket.create_connection(address, timeout=seconds)


def fetch(
    url: str,
    target: BinaryIO,
    *,
    limits: FetchLimits = FetchLimits(),
    resolve: Resolve = resolve,
    connect: Connect = connect,
) -> str:
    """Write what is at an address to `target`.

    Args:
        url: an http or https address.
        target: where the answer goes.
        limits: what it may cost.
        resolve: from a host and a port to numeric addresses.
        connect: opens a connection to one of them.

    Returns:
        The address that answered, after redirects.

    Raises:
        InputError: the address, or one that it leads to, is not public http or https; or the answer is too large.
        RemoteError: the server cannot be reached, is too slow, or answers with an error.

    """
    fetching = _Fetching(limits, resolve, connect)
    for _ in range(limits.redirects + 1):
        try:
            location = fetching.get(url, target)
        except (OSError, http.client.HTTPException) as error:
            reason = "it takes too long" if fetching.is_late() else str(error) or type(error).__name__
            hint = "Check the network, or try again later"
            raise RemoteError(f"cannot be fetched ({reason})", where=url, hint=hint) from None
        if location is None:
            return url
        url = urljoin(url, location)
    raise RemoteError(f"leads on more than {limits.redirects} times", where=url)


def public_address(parts: SplitResult, url: str, resolve: Resolve = resolve) -> str:
    """The numeric address to connect to.

    Raises:
        InputError: the host has an address that is not public.

    """
    found = resolve(parts.hostname or "", _port(parts))
    for text in found:
        if not is_public(text):
            raise InputError(f"leads to {text}, which is not a public address", where=url, hint=_HINT)
    if not found:
        raise RemoteError("cannot be found", where=url, hint="Check the address")
    return found[0]


def is_public(text: str) -> bool:
    """Whether a numeric address is for everybody; private, local and reserved ones, also in disguise, are not."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(part.is_global and not part.is_multicast and not part.is_reserved for part in _meant(address))


def _meant(address: IpAddress) -> list[IpAddress]:
    """An address and the IPv4 addresses that are written inside of it."""
    meant: list[IpAddress] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            # Python 3.11 has the prefix itself among the reserved ones; what it leads to is what counts.
            return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
        meant = [part for part in inner if part is not None] or meant
    return meant


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError("is not an address", where=url[:200], hint=_HINT) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in parts.netloc or one_line(url) != url:
        raise InputError("is not an http or https address", where=url[:200], hint=_HINT)
    if parts.username is not None or parts.password is not None:
        raise InputError("holds a name or a password", where=f"{parts.scheme}://{parts.hostname}", hint=_HINT)
    if port == 0:
        raise InputError("names port 0", where=url[:200], hint=_HINT)
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


class _Fetching:
    """One fetch: its limits, and the time that is left."""

    def __init__(self, limits: FetchLimits, resolve: Resolve, connect: Connect) -> None:
        self._limits, self._resolve, self._connect = limits, resolve, connect
        self._deadline = time.monotonic() + limits.seconds

    def get(self, url: str, target: BinaryIO) -> str | None:
        """Ask once; where a redirect leads, or None when the answer was written."""
        parts = _checked(url)
        address = public_address(parts, url, self._resolve)
        sock = self._connect((address, _port(parts)), self._left())
        try:
            if parts.scheme == "https":
                # The certificate must be the name's, though the connection goes to the number.
                context = ssl.create_default_context()
                sock = context.wrap_socket(sock, server_hostname=parts.hostname, do_handshake_on_connect=False)
            with self._hanging_up(sock), _asked(sock, parts) as answer:
                location = answer.getheader("Location")
                if answer.status in _REDIRECTS and location:
                    return location
                if answer.status != 200:
                    what = f"answers {answer.status} {answer.reason[:60]}"
                    raise RemoteError(what, where=url, hint="Check the address")
                self._copy(answer, target, url)
        finally:
            sock.close()
        return None

    @contextlib.contextmanager
    def _hanging_up(self, sock: socket.socket) -> Iterator[None]:
        """End the connection when the time is over. A limit on each read would be none: bytes may come singly."""
        timer = threading.Timer(self._left(), _hang_up, (sock,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _copy(self, answer: http.client.HTTPResponse, target: BinaryIO, url: str) -> None:
        n_bytes = 0
        while chunk := answer.read1(_CHUNK):
            n_bytes += len(chunk)
            if n_bytes > self._limits.n_bytes:
                most = f"{self._limits.n_bytes:,} bytes"
                raise InputError(f"is larger than {most}", where=url, hint="Download it yourself")
            with disk.reported(Path(getattr(target, "name", "a temporary file"))):
                disk.write(target, chunk)
        self._left()  # an answer of unknown length ends in the same way when we hang up
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)

    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._deadline

    def _left(self) -> float:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("it takes too long")
        return seconds


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was faster
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which another thread is in


@contextlib.contextmanager
def _asked(sock: socket.socket, parts: SplitResult) -> Iterator[http.client.HTTPResponse]:
    """The head of the answer; its body is read from it."""
    if isinstance(sock, ssl.SSLSocket):
        sock.do_handshake()
    connection = http.client.HTTPConnection(parts.hostname or "", _port(parts))
    connection.sock = sock
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.putrequest("GET", quote(path, safe=_SAFE), skip_host=True, skip_accept_encoding=True)
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    connection.putheader("Host", f"{name}:{parts.port}" if parts.port else name)
    connection.putheader("User-Agent", f"sememe/{__version__}")
    connection.putheader("Accept-Encoding", "identity")
    connection.putheader("Connection", "close")
    connection.endheaders()
    with contextlib.closing(connection), connection.getresponse() as answer:
        yield answer
