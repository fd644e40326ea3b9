"""JSON lines: one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.entries import BadRecordError, Fields, Problem
from sememe.corpus.streams import Lines, open_utf8

MAX_DIGITS = 1000
_HINT = "Each line must be one JSON object"


def json_records(path: Path, label: str, encoding: str) -> Iterator[tuple[int, Fields] | Problem]:
    """The objects of a JSON-lines file with their line numbers. Blank lines are passed over."""
    with open_utf8(path, label, encoding) as stream:
        lines = Lines(stream)
        while True:
            try:
                line = next(lines)
                if line.strip():
                    yield lines.number, parse(line)
            except StopIteration:
                return
            except BadRecordError as bad:
                yield Problem.at(f"{label}:{lines.number}", bad)


def parse(line: str) -> Fields:
    """One JSON object.

    Raises:
        BadRecordError: it is not an object, or `load` refuses it.
    """
    if line.lstrip().startswith("["):
        raise _array()
    value = load(line)
    if not isinstance(value, dict):
        raise BadRecordError(f"is JSON, but not an object: {line.strip()[:40]}", _HINT)
    return value


def load(text: str) -> Any:
    """One JSON value.

    Raises:
        BadRecordError: it is malformed, nested too deeply, or holds what JSON does not allow or leaves undefined: NaN,
            a key twice, a number that no double can hold or of more than 1,000 characters.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRecordError(f"is malformed JSON ({error.msg} at character {error.pos + 1})", _HINT) from None
    except RecursionError:
        raise BadRecordError("is nested too deeply") from None


def _array() -> BadRecordError:
    return BadRecordError(
        "is a JSON array, which cannot be read as a stream",
        "Make it JSON lines, one object a line: jq -c '.[]' FILE.json > FILE.jsonl",
    )


def _object(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in fields if names.count(name) > 1)
        raise BadRecordError(f"has the key {twice!r} twice in one object")
    return fields


def _integer(digits: str) -> int:
    return int(_short(digits))


def _real(digits: str) -> float:
    value = float(_short(digits))
    if math.isinf(value):
        raise BadRecordError(f"holds a number that is too large: {digits[:40]}")
    return value


def _short(digits: str) -> str:
    # Reading a number takes time that grows with the square of its length.
    if len(digits) > MAX_DIGITS:
        raise BadRecordError(f"holds a number of {len(digits)} characters; {MAX_DIGITS} are allowed")
    return digits


def _constant(name: str) -> float:
    raise BadRecordError(f"holds {name}, which JSON does not allow", "Write null instead")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant)
