"""Which values metadata may hold: what JSON can write down, and nothing that fails later."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from typing import Any

from sememe.corpus.entries import BadRecordError

MAX_DEPTH = 100
LEFT_OUT: Any = object()
"""Stands for a value that metadata does not keep: binary data, images, sound."""


def json_value(value: Any, depth: int = 0) -> Any:
    """`value` as JSON holds it.

    Dates become ISO 8601 text, exact decimals and UUIDs their digits as text, NaN and infinities None; binary
    values are `LEFT_OUT`.

    Raises:
        BadRecordError: it is nested more than 100 deep, or has text that is not valid Unicode.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        check_text(value, "metadata")
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple | dict):
        return _container(value, depth + 1)
    return _foreign(value)


def check_text(text: str, name: str) -> None:
    """Refuse half of a surrogate pair: UTF-8 cannot hold it, so every later write would fail."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(text[error.start]):04x}"
        raise BadRecordError(f"has half of a surrogate pair ({code}) in {name!r}, which is not a character") from None


def _container(value: list[Any] | tuple[Any, ...] | dict[Any, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise BadRecordError(f"is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        pairs = {str(name): json_value(item, depth) for name, item in value.items()}
        for name in pairs:
            check_text(name, "the name of a field")
        return {name: item for name, item in pairs.items() if item is not LEFT_OUT}
    return [item for item in (json_value(item, depth) for item in value) if item is not LEFT_OUT]


def _foreign(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal | uuid.UUID):
        return str(value)
    return LEFT_OUT
