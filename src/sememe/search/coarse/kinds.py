"""The kinds of first stages, by the names that `coarse=` takes: `kind` or `kind:number`."""

from __future__ import annotations

import re
from typing import NamedTuple

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search.coarse.funnel import Funnel
from sememe.search.coarse.graph import Graph
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
    "hnsw": Graph,
    "prefix": Prefix,
    "funnel": Funnel,
    "atoms": AtomPostings,
    "sign": Signs,
    "lsh": RandomRotation,
    "itq": IterativeQuantization,
}
"""Kinds that hold a code for every row."""
LEARNED = "learned"
"""The product codes that `Index.adopt` keeps; what they were learned from is not the vectors alone."""
WITHOUT_CODES = ("auto", "exact", "lexical", LEARNED)
"""Names that take no number and cannot be learned by `fit_stage`."""
COARSE_HELP = (
    "auto, exact, lexical, binary, pq:BYTES, ivf:CELLS, hnsw:LINKS, prefix:DIMENSIONS, funnel:DIMENSIONS,DIMENSIONS, "
    "atoms:ATOMS, sign, lsh:BITS, itq:BITS"
)


class CoarseName(NamedTuple):
    """A kind of first stage and its number, None for the kind's default; a funnel has several numbers."""

    kind: str
    parameter: int | tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.parameter is None:
            return self.kind
        numbers = self.parameter if isinstance(self.parameter, tuple) else (self.parameter,)
        return f"{self.kind}:{','.join(map(str, numbers))}"


def parse_coarse(text: str) -> CoarseName:
    """Read `kind` or `kind:number`, or `funnel:number,number`.

    Raises:
        InputError: there is no such kind, or the number is none.

    """
    kind, colon, rest = text.partition(":")
    if kind not in CODES and kind not in WITHOUT_CODES:
        raise InputError(f"there is no first stage {text!r}", where="coarse", hint=f"Choose from {COARSE_HELP}")
    if not colon:
        return CoarseName(kind)
    numbers = rest.split(",")
    sound = all(number.isascii() and number.isdigit() and int(number) for number in numbers)
    if kind in WITHOUT_CODES or not sound or (len(numbers) > 1 and kind != Funnel.kind):
        raise InputError(f"is not a first stage: {text!r}", where="coarse", hint=f"Choose from {COARSE_HELP}")
    values = tuple(map(int, numbers))
    return CoarseName(kind, values if kind == Funnel.kind else values[0])


def stage_class(name: CoarseName) -> type[Coarse]:
    """The class of a stage that holds codes."""
    return ProductCodes if name.kind == LEARNED else CODES[name.kind]


def split_names(text: str) -> list[str]:
    """The names in a list such as `dense,funnel:64,128,pq:48`: no name begins with a digit."""
    return [name.strip() for name in re.split(r",(?!\s*\d)", text) if name.strip()]


def fit_stage(name: CoarseName, bank: Bank, random_state: int = 0) -> Coarse:
    """Learn a first stage from a bank; no row has a code yet.

    Raises:
        InputError: its number does not fit the vectors, or they are too few.

    """
    if isinstance(name.parameter, tuple):
        return Funnel.fit(bank, name.parameter, random_state)
    return CODES[name.kind].fit(bank, name.parameter, random_state)
