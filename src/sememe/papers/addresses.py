"""E-mail addresses: one spelling each, and nothing in them that could end a header or a command."""

from __future__ import annotations

import re

from sememe.errors import InputError

# What may stand before and after the @ unquoted (RFC 5321, dot-atom); quoted local parts are refused on purpose.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_MAX_LOCAL, _MAX_ADDRESS = 64, 254


def address_of(text: str, *, where: str) -> str:
    """An address in one spelling: the domain in lower case, its other letters as ASCII (IDNA).

    Args:
        text: what was given.
        where: for the error.

    Raises:
        InputError: it is no address that every mail server takes.
    """
    local, _, domain = text.strip().rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii").lower() if not domain.isascii() else domain.lower()
    except UnicodeError:
        domain = ""
    found = f"{local}@{domain}"
    fits = len(local) <= _MAX_LOCAL and len(found) <= _MAX_ADDRESS
    if not (fits and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)):
        raise InputError(f"{text!r} is no e-mail address", where=where, hint="Such as me@example.org")
    return found
