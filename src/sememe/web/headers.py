"""The headers that every response carries, errors and static files included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

# Nothing inline and nothing from elsewhere: a text of the collection that became markup could still do nothing.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_ADDED = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


def with_security_headers(send: Send, *, without_body: bool) -> Send:
    """A `send` that adds the headers, and keeps bodies back when `without_body` (HEAD)."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(n, v) for n, v in message["headers"] if n.lower().decode("latin-1") not in SECURITY_HEADERS]
            names = {name.lower() for name, _ in kept}
            caching = [] if b"cache-control" in names else [(b"cache-control", b"private, no-cache")]
            message = {**message, "headers": kept + _ADDED + caching}
        elif without_body:
            message = {**message, "body": b""}
        await send(message)

    return sending
