"""The link that ends a subscription: whoever has the e-mail can follow it, nobody can make one for another address."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import urlencode, urlsplit

from sememe.errors import InputError

SECRET_NAME = "unsubscribe"  # noqa: S105  (under which the store keeps the key)
PATH = "/unsubscribe"
_MAX_TOKEN = 600


def unsubscribe_token(address: str, key: bytes) -> str:
    """The address and its signature (HMAC-SHA256), in letters that need no escaping in a link."""
    return f"{_encoded(address.encode())}.{_encoded(_signature(address, key))}"


def address_in(token: str, key: bytes) -> str:
    """The address that a token was made for.

    Raises:
        InputError: it was not made with this key, or was changed on its way.
    """
    try:
        if len(token) > _MAX_TOKEN or not token.isascii():
            raise ValueError
        address = _decoded(token.partition(".")[0]).decode()
        # Compared as written: the bits that base64 ignores must not make a second valid spelling.
        genuine = hmac.compare_digest(unsubscribe_token(address, key), token)
    except (ValueError, binascii.Error):
        genuine = False
    if not genuine:
        hint = "Open the link of the newest e-mail, or remove the address on the page of subscriptions"
        raise InputError("this link is not genuine, or was cut off", where="token", hint=hint)
    return address


def unsubscribe_url(address: str, key: bytes, base_url: str) -> str:
    """The link of an address.

    Args:
        address: whose subscription it ends.
        key: the store's secret.
        base_url: where the pages of the feed are served, checked by `checked_base_url`.
    """
    return f"{base_url}{PATH}?{urlencode({'token': unsubscribe_token(address, key)})}"


def checked_base_url(text: str) -> str:
    """An http(s) address without a slash at its end.

    Raises:
        InputError: it is none.
    """
    parts = urlsplit(text)
    printable = text.isascii() and all("!" <= letter <= "~" and letter not in '<>"\\' for letter in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or not printable:
        hint = "Give the address under which sememe serve is reached, such as https://papers.example.org"
        raise InputError(f"{text!r} is no web address", where="--base-url", hint=hint)
    return text.rstrip("/")


def _signature(address: str, key: bytes) -> bytes:
    return hmac.new(key, b"unsubscribe\0" + address.encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
