"""The kinds of first stages, by the names that `coarse=` takes: `kind` or `kind:number`."""

from __future__ import annotations

from typing import NamedTuple

from sememe.errors import InputError
from sememe.search.coarse.inverted import InvertedLists
from sememe.search.coarse.itq import IterativeQuantization
from sememe.search.coarse.postings import AtomPostings
from sememe.search.coarse.prefix import Prefix
from sememe.search.coarse.product import ProductCodes
from sememe.search.coarse.rabitq import RaBitQ
from sememe.search.coarse.signs import RandomRotation, Signs
from sememe.search.coarse.stage import Coarse

CODES: dict[str, type[Coarse]] = {
    "binary": RaBitQ,
    "pq": ProductCodes,
    "ivf": InvertedLists,
    "prefix": Prefix,
    "atoms": AtomPostings,
    "sign": Signs,
    "lsh": RandomRotation,
    "itq": IterativeQuantization,
}
"""Kinds that hold a code for every row."""
WITHOUT_CODES = ("auto", "exact", "lexical")
COARSE_HELP = (
    "auto, exact, lexical, binary, pq:BYTES, ivf:CELLS, prefix:DIMENSIONS, atoms:ATOMS, sign, lsh:BITS, itq:BITS"
)


class CoarseName(NamedTuple):
    """A kind of first stage and its number, None for the kind's default."""

    kind: str
    parameter: int | None = None

    def __str__(self) -> str:
        return self.kind if self.parameter is None else f"{self.kind}:{self.parameter}"


def parse_coarse(text: str) -> CoarseName:
    """Read `kind` or `kind:number`.

    Raises:
        InputError: there is no such kind, or the number is none.

    """
    kind, colon, number = text.partition(":")
    if kind not in CODES and kind not in WITHOUT_CODES:
        raise InputError(f"there is no first stage {text!r}", where="coarse", hint=f"Choose from {COARSE_HELP}")
    if not colon:
        return CoarseName(kind)
    if kind in WITHOUT_CODES or not (number.isascii() and number.isdigit() and int(number)):
        raise InputError(f"is not a first stage: {text!r}", where="coarse", hint=f"Choose from {COARSE_HELP}")
    return CoarseName(kind, int(number))
