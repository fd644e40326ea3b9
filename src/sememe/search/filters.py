"""Metadata filters: which documents a search may return.

A filter is a mapping from a metadata field to a condition, and all must hold:

- a value: the field equals it (`{"venue": "ICLR"}`);
- a list: the field equals one of them (`{"year": [2024, 2025]}`);
- a mapping of comparisons: `{"year": {">=": 2020, "<": 2025}}`.

A field that holds a list matches when one of its elements does. A document without the field never matches.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sememe.errors import InputError

Filter = Mapping[str, Any]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*(?P<field>[^<>=!]+?)\s*(?P<comparison><=|>=|!=|=|<|>)\s*(?P<value>.*?)\s*")


def parse_filter(conditions: Sequence[str]) -> dict[str, Any]:
    """Read conditions as they are typed: `year>=2020`, `venue=ICLR`; the same field may be given twice.

    Raises:
        InputError: a condition is not FIELD, comparison, VALUE.

    """
    parsed: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise InputError(
                f"is not a condition: {condition!r}", where="--where", hint="Write it like year>=2020 or venue=ICLR"
            )
        parsed.setdefault(match["field"], {})[match["comparison"]] = _value(match["value"])
    return parsed


def check_filter(where: Filter) -> None:
    """Refuse comparisons that do not exist.

    Raises:
        InputError: naming the field and the comparison.

    """
    for field, condition in where.items():
        if isinstance(condition, Mapping):
            for comparison in condition:
                if comparison not in _COMPARISONS:
                    raise InputError(
                        f"unknown comparison {comparison!r} for the field {field!r}",
                        hint=f"Use one of {', '.join(_COMPARISONS)}",
                    )


def matches(metadata: Mapping[str, Any], where: Filter) -> bool:
    """Whether a document with this metadata passes the filter."""
    return all(_holds(metadata.get(field), condition) for field, condition in where.items())


def allowed_documents(
    where: Filter | None,
    live: np.ndarray,
    metadata: Callable[[Iterable[int]], Iterable[Mapping[str, Any]]],
    ids: Sequence[str] | None = None,
) -> np.ndarray:
    """Which documents pass the filter; shape (n_documents,), boolean.

    Args:
        where: the filter; None and an empty one let every document pass.
        live: which documents exist; shape (n_documents,), boolean.
        metadata: from ordinals to the metadata of these documents.
        ids: the ids by ordinal, if they are at hand: documents that a list of ids leaves out are then not read.

    Raises:
        InputError: the filter names a comparison that does not exist.

    """
    if not where:
        return live
    check_filter(where)
    allowed = np.zeros(len(live), bool)
    ordinals, conditions = np.flatnonzero(live).tolist(), dict(where)
    if ids is not None and _are_texts(conditions.get("id")):
        wanted = frozenset(conditions.pop("id"))
        ordinals = [ordinal for ordinal in ordinals if ids[ordinal] in wanted]
    if conditions:
        allowed[ordinals] = [matches(of_document, conditions) for of_document in metadata(ordinals)]
    else:
        allowed[ordinals] = True
    return allowed


def _are_texts(condition: Any) -> bool:
    return isinstance(condition, (list, tuple, set, frozenset)) and all(isinstance(one, str) for one in condition)


def _holds(value: Any, condition: Any) -> bool:
    if value is None:
        return False
    candidates = value if isinstance(value, (list, tuple)) else [value]
    if isinstance(condition, Mapping):
        return any(
            all(_compare(candidate, comparison, bound) for comparison, bound in condition.items())
            for candidate in candidates
        )
    wanted = condition if isinstance(condition, (list, tuple, set, frozenset)) else [condition]
    return any(_compare(candidate, "=", want) for candidate in candidates for want in wanted)


def _compare(value: Any, comparison: str, bound: Any) -> bool:
    if isinstance(bound, (int, float)) and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value, bound = str(value), str(bound)
    elif isinstance(bound, str) and not isinstance(value, str):
        value = str(value)
    try:
        return _COMPARISONS[comparison](value, bound)
    except TypeError:
        return False  # such as a mapping compared with a number: not a match


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
