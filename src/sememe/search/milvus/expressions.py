"""Metadata filters as expressions of Milvus.

A server cannot compare as `sememe.search.filters` does: it never takes the text "2020" for a number, and it has no
comparison with the elements of a list. So an expression lets through every row that the filter does, and perhaps more;
what comes back is checked again with `filters.matches`. A search with a filter therefore finds what a search of an
index on disk finds.

A row holds its metadata in two fields for this: `fields`, in which numbers written as texts are numbers, and `shapes`,
which names the fields whose values are lists (`list`) or anything that cannot be compared on the server (`other`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sememe.errors import InputError
from sememe.search.filters import Filter, check_filter

FIELDS, SHAPES = "fields", "shapes"
NOTHING = "order < 0"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_EXACT_INTEGERS = 2**53  # beyond these a server may compare rounded numbers
_MOST_NEGATIVE = "-1.7976931348623157e+308"


def filterable(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """What a row holds of a document's metadata, id and title so that expressions can select it: fields and shapes."""
    fields: dict[str, Any] = {}
    shapes: dict[str, list[str]] = {"list": [], "other": []}
    for name, value in values.items():
        if value is None:
            continue  # as if the document had no such field
        is_list = isinstance(value, (list, tuple))
        plain = [_plain(element) for element in (value if is_list else [value])]
        if any(element is None for element in plain):
            shapes["other"].append(name)
        elif is_list:
            shapes["list"].append(name)
            fields[name] = plain
        else:
            fields[name] = plain[0]
    return fields, shapes


def expression(where: Filter | None) -> str:
    """The expression that lets through at least the rows that a filter does; empty when there is no filter.

    Raises:
        InputError: a comparison does not exist, or a field's name or a value cannot be written in an expression.

    """
    if not where:
        return ""
    check_filter(where)
    return " and ".join(f"({_condition(name, condition)})" for name, condition in where.items())


def literal(value: str) -> str:
    """A text as Milvus reads it between double quotes.

    Raises:
        InputError: it is not valid Unicode.

    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"is not valid Unicode: {value!r}", where="filter") from None
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'


def any_of(parts: Sequence[str]) -> str:
    """A disjunction; as a balanced tree, because servers take quadratic time for a long chain."""
    if not parts:
        return NOTHING
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({any_of(parts[:middle])} or {any_of(parts[middle:])})"


def _condition(name: str, condition: Any) -> str:
    key = _key(name)
    if isinstance(condition, Mapping):
        compared = [_comparison(name, key, comparison, bound) for comparison, bound in condition.items()]
        return " and ".join(f"({part})" for part in compared) or _there(name, key)
    wanted = condition if isinstance(condition, (list, tuple, set, frozenset)) else [condition]
    if not len(wanted):
        return NOTHING
    return _equal(name, key, [_checked(name, value) for value in wanted])


def _comparison(name: str, key: str, comparison: str, bound: Any) -> str:
    value = _checked(name, bound)
    if comparison == "=":
        return _equal(name, key, [value])
    if comparison == "!=":
        return _there(name, key)
    if isinstance(value, str):
        # A number is compared as the text that Python makes of it: all of them are let through.
        return any_of([f"{key} {comparison} {literal(value)}", *_numbers(key), *_uneven(name)])
    near = comparison if abs(value) < _EXACT_INTEGERS else comparison[0] + "="
    # Texts that are no numbers are compared as texts.
    compared = [f"{key} {near} {_forms(value)[0]}", f"{key} {comparison} {literal(str(value))}"]
    return any_of([*compared, *_truths(key), *_uneven(name)])


def _equal(name: str, key: str, values: Sequence[str | int | float]) -> str:
    alternatives: dict[str, None] = {}
    for value in values:
        alternatives.update(dict.fromkeys(_stored(value)))
    scalars = [f"{key} == {alternative}" for alternative in alternatives]
    inside = f"json_contains_any({key}, [{', '.join(alternatives)}])"
    return any_of([*scalars, inside, _in_shape("other", name)])


def _stored(value: str | int | float) -> list[str]:
    """How a value that equals this one may be stored."""
    if isinstance(value, str):
        number = _plain(value)
        truths = [value.lower()] if value in ("True", "False") else []
        return [literal(value), *truths, *(_forms(number) if isinstance(number, (int, float)) else [])]
    truths = [str(bool(value)).lower()] if value in (0, 1) else []
    texts = [literal(str(value))] if isinstance(value, bool) else []
    return [*_forms(value), *truths, *texts]


def _forms(value: float) -> list[str]:
    """A number as an integer and as a float: some servers tell them apart inside lists."""
    whole = [str(int(value))] if float(value).is_integer() and abs(value) <= _EXACT_INTEGERS else []
    return [*whole, repr(float(value))]


def _there(name: str, key: str) -> str:
    # Not `exists`: Milvus 2.3 cannot join it with anything by `or`.
    return any_of([f'{key} >= ""', *_numbers(key), *_uneven(name)])


def _uneven(name: str) -> list[str]:
    return [_in_shape("list", name), _in_shape("other", name)]


def _in_shape(shape: str, name: str) -> str:
    return f'json_contains({SHAPES}["{shape}"], {literal(name)})'


def _numbers(key: str) -> list[str]:
    return [f"{key} >= {_MOST_NEGATIVE}", *_truths(key)]


def _truths(key: str) -> list[str]:
    return [f"{key} == true", f"{key} == false"]


def _key(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise InputError(f"is not the name of a metadata field: {name!r}", where="filter")
    return f"{FIELDS}[{literal(name)}]"


def _checked(name: str, value: Any) -> str | int | float:
    if isinstance(value, str) or (isinstance(value, (int, float)) and _finite(value)):
        return value
    raise InputError(
        f"the field {name!r} cannot be compared with {value!r} on a server",
        where="filter",
        hint="Compare with a text, a finite number or a truth value",
    )


def _plain(value: Any) -> str | int | float | bool | None:
    """A value as it is compared on the server; None if it cannot be."""
    if isinstance(value, str):
        number = _as_number(value)
        return value if number is None else _plain(number)
    if isinstance(value, (bool, int, float)) and _finite(value):
        return value if isinstance(value, bool) or abs(value) <= _EXACT_INTEGERS else float(value)
    return None


def _as_number(text: str) -> int | float | None:
    """The number that a text is taken for when it is compared with one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) <= _EXACT_INTEGERS else number


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
