"""A first stage of nested prefixes: all rows by the shortest, those that are left by longer and longer ones.

Kusupati et al. (arXiv 2205.13147), section 4.3.1 ("funnel retrieval"): dimensions double from stage to stage and the
shortlist is halved. All prefixes are in memory, one byte a dimension; the vectors themselves decide afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.prefix import Prefix

DEFAULT_SHARES = (6, 3)  # by default a sixth and a third of the dimensions
SHRINK = 2  # a stage hands on twice as many rows as the next one does, as in the paper's funnels


class Funnel:
    """Prefixes of several lengths; see `sememe.search.coarse.stage.Coarse`. The parameter is their lengths.

    Attributes:
        prefixes: one for each length, the shortest first.

    """

    kind: ClassVar[str] = "funnel"

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        self.prefixes = tuple(prefixes)

    @classmethod
    def fit(cls, bank: Bank, parameter: int | tuple[int, ...] | None = None, random_state: int = 0) -> Self:
        """Measure the range of each dimension on a sample of rows, for each of the lengths."""
        width = bank.dimensions
        if parameter is None:
            parameter = tuple(sorted({max(1, width // share) for share in DEFAULT_SHARES}))
        lengths = (parameter,) if isinstance(parameter, int) else parameter
        if not lengths or any(after <= before for before, after in pairwise(lengths)):
            raise InputError(
                f"lengths must grow, not {', '.join(map(str, lengths)) or 'be left out'}",
                where="funnel",
                hint="Write it like funnel:64,128",
            )
        return cls([Prefix.fit(bank, m, random_state) for m in lengths])

    @property
    def n_rows(self) -> int:
        return self.prefixes[0].n_rows

    @property
    def nbytes(self) -> int:
        return sum(prefix.nbytes for prefix in self.prefixes)

    def extend(self, bank: Bank) -> None:
        for prefix in self.prefixes:
            prefix.extend(bank)

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        first, *others = self.prefixes
        kept = n * SHRINK ** len(others)
        rows = first.candidates(query, kept, allowed)
        for prefix in others:
            kept //= SHRINK
            scores = prefix.scores(query, rows)
            rows = rows[np.lexsort((rows, -scores))[:kept]]
        return rows

    def save(self, path: Path) -> None:
        arrays = {f"{name}_{p.dimensions}": array for p in self.prefixes for name, array in p.arrays().items()}
        lengths = [prefix.dimensions for prefix in self.prefixes]
        card = {"lengths": lengths, "width": self.prefixes[0].width, "normalize": self.prefixes[0].normalize}
        artifact.save(path, f"coarse-{self.kind}", arrays, card)

    @classmethod
    def load(cls, path: Path) -> Self:
        arrays, card = artifact.load(path, f"coarse-{cls.kind}")
        try:
            return cls(
                [
                    Prefix.from_arrays({name: arrays[f"{name}_{m}"] for name in ("codes", "steps")}, card)
                    for m in card["lengths"]
                ]
            )
        except (KeyError, TypeError, InputError) as error:
            raise ArtifactError(
                f"does not hold prefixes of several lengths ({error})", where=str(path), hint="Make it again"
            ) from None
