"""The contract of a first stage: small codes in memory that propose rows of the bank."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np

from sememe.bank import Bank


class Coarse(Protocol):
    """Proposes rows for a query; the second stage reads their vectors and decides.

    A stage is learned once from a sample of rows (`fit`), and then only grows (`extend`): what it has learned
    stays, so codes of rows that are there never change. Its scores order candidates and are shown to nobody.
    """

    kind: ClassVar[str]
    """Its name in `coarse="kind:parameter"`."""

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None, random_state: int = 0) -> Self:
        """Learn what codes need (a centroid, a rotation, a codebook) from a sample; no row has a code yet.

        Args:
            bank: the vectors.
            parameter: the number in `kind:parameter`; None for the kind's default.
            random_state: the seed.

        Raises:
            InputError: the parameter does not fit the vectors, or they are too few.

        """
        ...

    @property
    def n_rows(self) -> int:
        """How many rows have codes: the first `n_rows` of the bank."""
        ...

    @property
    def nbytes(self) -> int:
        """The bytes that it holds in memory while searching."""
        ...

    def extend(self, bank: Bank) -> None:
        """Make the codes of the rows from `n_rows` on; in pieces or at once gives the same codes."""
        ...

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        """The `n` allowed rows that look best for a query.

        Args:
            query: shape (d,), float32.
            n: how many; fewer are returned when fewer are allowed (or, by stages that look only into parts of the
                collection, found).
            allowed: which rows may be proposed; shape (n_rows,), boolean.

        Returns:
            int64 rows, the best first; equal scores by row.

        """
        ...

    def save(self, path: Path) -> None:
        """Write it as an artifact; saving what was loaded gives the same bytes."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is damaged or of another kind; the message names the file.

        """
        ...
