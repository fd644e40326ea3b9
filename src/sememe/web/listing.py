"""The list of atoms: filtered by label, sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np

from sememe.errors import InputError
from sememe.web.book import AtomBook

PER_PAGE = 60
SORTS = {"frequency": "most frequent", "activation": "strongest", "label": "label", "number": "number"}


@dataclass(frozen=True)
class Line:
    """One atom of the list; `bar` is its frequency in percent of the most frequent one's."""

    atom: int
    label: str
    active: int
    share: float
    mean: float
    bar: float


@dataclass(frozen=True)
class Listing:
    """A page of the list."""

    lines: Sequence[Line]
    total: int
    find: str
    sort: str
    page: int
    n_pages: int

    def url(self, page: int) -> str:
        """The address of another page of the same list."""
        given = {
            "find": self.find,
            "sort": self.sort if self.sort != "frequency" else "",
            "page": page if page > 1 else "",
        }
        kept = {name: value for name, value in given.items() if value}
        return "/atoms" + (f"?{urlencode(kept)}" if kept else "")


def list_atoms(book: AtomBook, parameters: Mapping[str, str]) -> Listing:
    """The atoms that an address asks for.

    Raises:
        InputError: it asks for a sort that does not exist.
    """
    find, sort = parameters.get("find", "").strip(), parameters.get("sort") or "frequency"
    if sort not in SORTS:
        raise InputError(f"there is no sort {sort!r}", where="sort", hint=f"Use {', '.join(SORTS)}")
    words = find.lower().split()
    found = [atom for atom in _order(book, sort) if all(word in book.label(atom).lower() for word in words)]
    n_pages = max(1, -(-len(found) // PER_PAGE))
    page = min(page_number(parameters.get("page", "")), n_pages)
    most = float(book.shares.max(initial=0.0)) or 1.0
    lines = []
    for atom in found[(page - 1) * PER_PAGE : page * PER_PAGE]:
        usage = book.usage(atom)
        lines.append(
            Line(atom, book.label(atom), usage.active, usage.share, usage.mean, round(100 * usage.share / most, 2))
        )
    return Listing(lines, len(found), find, sort, page, n_pages)


def _order(book: AtomBook, sort: str) -> list[int]:
    if sort == "label":
        return sorted(range(len(book)), key=lambda atom: (not book.atoms.labels[atom], book.label(atom), atom))
    keys = {"frequency": -book.shares, "activation": -book.means, "number": np.arange(len(book))}
    order: list[int] = np.argsort(keys[sort], kind="stable").tolist()
    return order


def page_number(text: str) -> int:
    """A page's number from an address; 1 for anything else."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1
