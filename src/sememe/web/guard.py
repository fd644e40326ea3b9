"""The gate in front of every route: who may ask, for what, and how much.

Written against the raw ASGI scope. A local server is attacked through the user's own browser: by pages that
rebind a name (Host), that post forms across sites (Origin, Sec-Fetch-Site), that read answers (no CORS header is
ever sent), or that smuggle in markup (the content security policy).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import Response

from sememe.web.access import Access
from sememe.web.failures import FailurePages
from sememe.web.headers import Message, Send, with_security_headers
from sememe.web.hosts import Hosts

MAX_BODY_BYTES = 10 << 20
MAX_QUERY_BYTES = 8192
BODY_SECONDS = 10.0
METHODS = frozenset({"GET", "HEAD", "POST"})

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_log = logging.getLogger("sememe.web")


class Refusal(Exception):  # noqa: N818  (not an error of ours: an answer)
    """A request that goes no further: the status, and what to tell the visitor."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint


class Guard:
    """ASGI middleware: checks each request, reads its body within limits, and completes each response's headers."""

    def __init__(self, app: App, *, hosts: Hosts, access: Access | None, failures: FailurePages) -> None:
        self._app, self._hosts, self._access, self._failures = app, hosts, access, failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            complete = with_security_headers(send, without_body=scope["method"] == "HEAD")
            await self._answer(scope, receive, complete)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
            body = await _read_body(scope, receive)
        except Refusal as refusal:
            response = self._failures.page(scope["path"], refusal.status, refusal.message, hint=refusal.hint)
            if refusal.status == 405:
                response.headers["allow"] = "GET, HEAD"
            await response(scope, receive, send)
            return
        if self._access is not None and not self._access.admits(scope):
            await self._access.ask(scope)(scope, receive, send)
            return
        await self._run(scope, receive, body, send)

    def _check(self, scope: Scope) -> None:
        if not self._hosts.allow(scope["headers"]):
            raise Refusal(403, "this server does not answer under that name", "Open the address that it printed")
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            raise Refusal(414, "the address is too long", "Shorten the query")
        if scope["method"] not in METHODS:
            raise Refusal(405, "only reading and searching are possible here")
        if scope["method"] == "POST":
            _check_origin(scope["headers"])

    async def _run(self, scope: Scope, receive: Receive, body: bytes, send: Send) -> None:
        started = False

        async def receive_body() -> Message:
            nonlocal body
            message = {"type": "http.request", "body": body, "more_body": False}
            if body is _DELIVERED:
                return await receive()
            body = _DELIVERED
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        try:
            await self._app({**scope, "method": method}, receive_body, watched)
        except Exception:
            # A bug of ours: the log has the traceback, the visitor must not.
            _log.exception("while answering %s", scope["path"])
            if started:
                raise
            response: Response = self._failures.page(
                scope["path"], 500, "something went wrong here", hint="The server's log says what"
            )
            await response(scope, receive, send)


_DELIVERED = b"-"


def _check_origin(headers: list[tuple[bytes, bytes]]) -> None:
    given = {name.lower(): value for name, value in headers}
    origin, host = given.get(b"origin"), given[b"host"]
    # `null` is what a browser sends under our own referrer policy; the form's hidden key covers that case.
    if origin not in (None, b"null", b"http://" + host, b"https://" + host):
        raise Refusal(403, "this request came from another site")
    if given.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
        raise Refusal(403, "this request came from another site")


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    """The body of a POST; a GET has none that matters."""
    if scope["method"] != "POST":
        return b""
    length = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise Refusal(413, f"a request may have {MAX_BODY_BYTES >> 20} MiB at most")
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                chunks.append(message.get("body", b""))
                if sum(map(len, chunks)) > MAX_BODY_BYTES:
                    raise Refusal(413, f"a request may have {MAX_BODY_BYTES >> 20} MiB at most")
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise Refusal(408, "the request took too long to arrive") from None
