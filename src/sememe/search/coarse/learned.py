"""Codes that were learned elsewhere, such as those of binary paragraph vectors, as a first stage.

The codes come from outside, and so may the code of a query: `candidates_of_code`. Where codes are the signs of a linear
map of vectors, as with `real-binary` (code = sign of P r), queries can be vectors as well.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from sememe.bank import Bank
from sememe.errors import InputError
from sememe.search.coarse.bits import LinearBits


class LearnedCodes(LinearBits):
    """Given codes of the first rows of a bank. Make one with `from_codes` or `from_projection`."""

    kind: ClassVar[str] = "hamming"

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Refused: these codes are not learned from vectors."""
        del bank, parameter, random_state
        raise InputError(
            "learned codes are made from texts, not from the vectors of an index",
            where=cls.kind,
            hint="Fit BinaryParagraphVector and give its codes to LearnedCodes.from_codes; or use lsh or itq",
        )

    @classmethod
    def from_codes(cls, codes: np.ndarray, n_bits: int) -> Self:
        """Codes (n, ceil(n_bits / 8)) without a map: queries are codes, and `add` brings those of new rows."""
        return cls(np.zeros(0), np.zeros((n_bits, 0)), codes)

    @classmethod
    def from_projection(cls, projection: np.ndarray, codes: np.ndarray | None = None) -> Self:
        """Codes that are the signs of P r; `projection` is P, shape (n_bits, d)."""
        return cls(np.zeros(projection.shape[1]), projection, codes)

    def add(self, codes: np.ndarray) -> None:
        """Append the codes of the next rows."""
        if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] != self.codes.shape[1]:
            raise InputError(f"codes have shape (n, {self.codes.shape[1]}) and are uint8, not {codes.shape}")
        self.codes = np.concatenate([self.codes, codes])

    def extend(self, bank: Bank) -> None:
        self._check_map()
        super().extend(bank)

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        self._check_map()
        return super().candidates(query, n, allowed)

    def _check_map(self) -> None:
        if not self.matrix.shape[1]:
            raise InputError(
                "these codes are no function of vectors",
                where=self.kind,
                hint="Give the code of the query to candidates_of_code, and codes of new rows to add",
            )
