"""What a form must carry so that only our own pages can send it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from starlette.exceptions import HTTPException

VALID_SECONDS = 24 * 3600


class FormKeys:
    """Makes a key for each visit of a page, and checks it when a form of that page is sent.

    A page of another site can make the browser send a form here, but it can neither read ours nor guess a key: a key is
    a random number and the time, signed with a secret that dies with the server.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def new(self) -> str:
        """A key for one visit, good for a day."""
        body = f"{int(time.time()):x}.{secrets.token_hex(8)}"
        return f"{body}.{self._sign(body)}"

    def check(self, key: str) -> None:
        """Let a key of ours pass.

        Raises:
            HTTPException: it is none, or too old (403).
        """
        body, _, signature = key.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(body).encode()):
            raise HTTPException(403, "this form was not sent by a page of this server; open the page again")
        if time.time() - int(body.partition(".")[0], 16) > VALID_SECONDS:
            raise HTTPException(403, "this page has been open for more than a day; open it again")

    def _sign(self, body: str) -> str:
        return hmac.new(self._secret, body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
