"""What a visitor asks for: read from an address, and written back into one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from sememe.errors import InputError
from sememe.search.filters import Filter, parse_filter

MODES = ("dense", "lexical", "hybrid")
MAX_HITS = 100
MAX_QUERY_CHARACTERS = 2000
MAX_STEERED = 32
MAX_MARKS = 20
_NEXT_CONDITION = re.compile(r"[;,](?=[^;,]*[<>=])")
_SLIDER = re.compile(r"s([0-9]{1,7})")


@dataclass(frozen=True)
class Asked:
    """A search as the address holds it; nothing else decides what is shown.

    Attributes:
        query: the text.
        k: how many hits.
        mode: `dense`, `lexical` or `hybrid`.
        where: the metadata filter as it was typed.
        steer: how far to move the query along atoms, by atom.
        like: ids of documents to search towards.
        unlike: ids of documents to search away from.
    """

    query: str = ""
    k: int = 10
    mode: str = "dense"
    where: str = ""
    steer: Mapping[int, float] = field(default_factory=dict)
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    @classmethod
    def read(cls, parameters: Iterable[tuple[str, str]]) -> Asked:
        """Read the parameters of an address.

        Raises:
            InputError: one of them cannot be used; `where` names it.
        """
        items = list(parameters)
        last = dict(items)
        query = last.get("q", "").strip()
        if len(query) > MAX_QUERY_CHARACTERS:
            raise InputError(f"the query has {len(query):,} characters, only {MAX_QUERY_CHARACTERS:,} fit", where="q")
        mode = last.get("mode") or "dense"
        if mode not in MODES:
            raise InputError(f"there is no mode {mode!r}", where="mode", hint=f"Use {', '.join(MODES)}")
        k, where = _read_k(last.get("k", "")), last.get("where", "").strip()
        return cls(query, k, mode, where, _read_steer(items), *_read_marks(items))

    @property
    def filter(self) -> Filter | None:
        """The metadata filter.

        Raises:
            InputError: it cannot be understood.
        """
        conditions = [part for part in _NEXT_CONDITION.split(self.where.strip(" ;,")) if part]
        try:
            return parse_filter(conditions) or None
        except InputError as error:
            raise InputError(error.message, where="filter", hint=error.hint) from None

    @property
    def url(self) -> str:
        """The address of the page that answers this; the same search always has the same one."""
        return self._address("/")

    @property
    def api_url(self) -> str:
        """The address of the JSON answer."""
        return self._address("/api/search")

    def with_steer(self, atom: int, amount: float) -> Asked:
        """The same search, moved this far along one atom."""
        return replace(self, steer={**self.steer, atom: max(-1.0, min(1.0, round(amount, 2)))})

    def with_mark(self, document: str, mark: str) -> Asked:
        """The same search with a document marked `like` or `unlike`, or with that mark taken away if it is there."""
        marked = document in getattr(self, mark)
        like, unlike = (tuple(i for i in ids if i != document) for ids in (self.like, self.unlike))
        if not marked and mark == "like":
            like = (*like, document)
        elif not marked:
            unlike = (*unlike, document)
        return replace(self, like=like, unlike=unlike)

    @property
    def marks(self) -> list[tuple[str, str]]:
        """The marked documents: `like` or `unlike`, and the id."""
        return [("like", document) for document in self.like] + [("unlike", document) for document in self.unlike]

    @property
    def is_plain(self) -> bool:
        """Whether nothing moves the query."""
        return not (self.steer or self.like or self.unlike)

    def plain(self) -> Asked:
        """The same search without steering and marks."""
        return replace(self, steer={}, like=(), unlike=())

    def unsteered(self) -> Asked:
        """The same search without steering."""
        return replace(self, steer={})

    def _address(self, path: str) -> str:
        steer = ",".join(f"{atom}:{amount:g}" for atom, amount in sorted(self.steer.items()) if amount)
        given: list[tuple[str, Any]] = [
            ("q", self.query),
            ("mode", self.mode if self.mode != "dense" else ""),
            ("k", self.k if self.k != 10 else ""),
            ("where", self.where),
            *self.marks,
            ("steer", steer),
        ]
        return path + "?" + urlencode([(name, value) for name, value in given if value], safe=":,")


def _read_k(text: str) -> int:
    if not text:
        return 10
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_HITS:
        raise InputError(f"the number of hits must be from 1 to {MAX_HITS}", where="k")
    return int(text)


def _read_steer(items: Iterable[tuple[str, str]]) -> dict[int, float]:
    steer: dict[int, float] = {}
    for name, value in items:
        slider = _SLIDER.fullmatch(name)
        if slider:
            steer[int(slider[1])] = _read_amount(value)
        elif name == "steer":
            for part in filter(None, value.split(",")):
                atom, _, amount = part.partition(":")
                if not re.fullmatch("[0-9]{1,7}", atom):
                    raise InputError(f"is not ATOM:AMOUNT: {part!r}", where="steer", hint="Write it like steer=12:0.5")
                steer[int(atom)] = _read_amount(amount)
    steer = {atom: amount for atom, amount in steer.items() if amount}
    if len(steer) > MAX_STEERED:
        raise InputError(f"{len(steer)} atoms are steered, {MAX_STEERED} are allowed", where="steer")
    return steer


def _read_marks(items: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids that are liked and not liked, each once; of contradicting marks the last one counts."""
    marks: dict[str, str] = {}
    for name, value in items:
        if name in ("like", "unlike") and value:
            marks.pop(value, None)
            marks[value] = name
    if len(marks) > MAX_MARKS:
        raise InputError(f"{len(marks)} documents are marked, {MAX_MARKS} are allowed", where="like")
    return (
        tuple(document for document, mark in marks.items() if mark == "like"),
        tuple(document for document, mark in marks.items() if mark == "unlike"),
    )


def _read_amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not -1 <= amount <= 1:
        raise InputError(f"an amount must be from -1 to 1, not {text!r}", where="steer", hint="Try steer=12:0.5")
    return amount
