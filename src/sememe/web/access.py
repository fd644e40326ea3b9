"""The token that a visitor must know when the server can be reached from other machines."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.responses import RedirectResponse, Response

from sememe.errors import InputError
from sememe.web.failures import FailurePages
from sememe.web.hosts import is_loopback
from sememe.web.rendering import Renderer

MIN_TOKEN_LENGTH = 16
# The link in an e-mail carries its own proof, and mail programs send it without a visit.
_OPEN = re.compile(r"/(login|healthz|unsubscribe|static/[^/]*)")
_LOCAL_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def check_exposure(host: str, token: str | None) -> None:
    """Refuse to be reachable from other machines without a secret.

    Raises:
        InputError: `host` is not a loopback address and there is no token, or the token is too short to be one.
    """
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        raise InputError(
            f"a token needs at least {MIN_TOKEN_LENGTH} characters",
            where="--token",
            hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    if token is None and not is_loopback(host):
        raise InputError(
            f"other machines can reach {host!r}, so visitors must prove that they may",
            where="--host",
            hint=f"Add --token with at least {MIN_TOKEN_LENGTH} characters, or leave --host out",
        )


def local_path(text: str) -> str:
    """`text` if it is an address on this server, else that of the first page: no form may lead to another site."""
    return text if _LOCAL_PATH.fullmatch(text) else "/"


class Access:
    """Asks for the token once and remembers it in a cookie that scripts cannot read and other sites do not send.

    The cookie holds a keyed hash, not the token, and dies with the server. Programs send the token itself as
    `Authorization: Bearer TOKEN`.
    """

    def __init__(self, token: str, port: int, renderer: Renderer, failures: FailurePages) -> None:
        self._token, self._renderer, self._failures = token.encode(), renderer, failures
        key = secrets.token_bytes(32)
        self._pass = hmac.new(key, b"pass" + self._token, hashlib.sha256).hexdigest()
        self._form_key = hmac.new(key, b"form", hashlib.sha256).hexdigest()
        self._cookie = f"sememe-{port}"  # cookies are shared between the ports of a host

    def admits(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a request may go on: its path is open to all, or it proves that it knows the token."""
        if _OPEN.fullmatch(scope["path"]):
            return True
        headers = dict(scope["headers"])
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(bearer, self._token):
            return True
        return hmac.compare_digest(_cookie(headers.get(b"cookie", b""), self._cookie), self._pass.encode())

    def ask(self, scope: MutableMapping[str, Any]) -> Response:
        """The answer to a request without the token: the form that asks for it."""
        if scope["path"].startswith("/api/"):
            return self._failures.page(scope["path"], 401, "this needs the token", hint="Authorization: Bearer TOKEN")
        query = scope["query_string"].decode("latin-1")
        token = parse_qs(query).get("token", [""])[0]
        onward = quote(scope["path"]) + (f"?{query}" if query and not token else "")
        return self.form(token=token, onward=onward, status=401)

    def form(self, *, token: str = "", onward: str = "/", status: int = 200, wrong: bool = False) -> Response:
        """The form; a token that came with the address is filled in, and only sending the form sets the cookie."""
        return self._renderer.page(
            "login.html", status, token=token, onward=onward, form_key=self._form_key, wrong=wrong
        )

    def login(self, body: bytes) -> Response:
        """Handle the sent form."""
        fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        onward = fields.get("onward", "/")
        if not hmac.compare_digest(fields.get("form_key", "").encode(), self._form_key.encode()):
            return self.form(onward=onward, status=403)
        if not hmac.compare_digest(fields.get("token", "").encode(), self._token):
            return self.form(onward=onward, status=403, wrong=True)
        response = RedirectResponse(local_path(onward), 303)
        response.set_cookie(self._cookie, self._pass, httponly=True, samesite="strict")
        return response


def _cookie(header: bytes, name: str) -> bytes:
    try:
        found = SimpleCookie(header.decode("latin-1")).get(name)
    except CookieError:
        return b""
    return found.value.encode() if found else b""
