"""Learning atoms from an index: the vectors of its documents, and their words for the labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from sememe.atoms import Atoms, AtomsConfig
from sememe.progress import progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from sememe.search.index import Index

BLOCK_ROWS = 4096
SENTENCE_RATE = 6e-3  # of threshold atoms: held-out R2 of 1,024 on abstracts 0.761, 0.738 at the half


def learn_atoms(
    index: Index, n_atoms: int | None = None, *, config: AtomsConfig | None = None, **options: Any
) -> Atoms:
    """Learn atoms from an index and label them; see `Index.learn_atoms`."""
    rows = index.live_rows()
    data = index.bank if len(rows) == len(index.bank) else index.bank[rows]
    chosen = {**vars(config or AtomsConfig()), **options}
    if chosen["learning_rate"] is None and chosen["coder"] == "threshold":
        options["learning_rate"] = SENTENCE_RATE
    atoms = Atoms.fit(data, n_atoms, config=config, **options)
    _, codes = codes_of(index, atoms)
    atoms.label(codes, RowTexts(index, rows))
    return atoms


def codes_of(index: Index, atoms: Atoms) -> tuple[np.ndarray, csr_matrix]:
    """The sparse codes of all documents' windows.

    Returns:
        The bank rows, shape (n,), and their codes, shape (n, n_atoms).

    """
    from scipy.sparse import csr_matrix, vstack

    rows = index.live_rows()
    blocks = []
    with progress("Coding", len(rows), unit="vectors") as bar:
        for start in range(0, len(rows), BLOCK_ROWS):
            block = index.bank[rows[start : start + BLOCK_ROWS]]
            blocks.append(atoms.transform(block))
            bar.advance(len(block))
    return rows, vstack(blocks, format="csr") if blocks else csr_matrix((0, atoms.n_atoms), dtype=np.float32)


class RowTexts(Sequence[str]):
    """The texts behind bank rows, read one by one when they are asked for."""

    def __init__(self, index: Index, rows: np.ndarray) -> None:
        self._index, self._rows = index, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self._index.text(int(row)) for row in self._rows[place]]
        return self._index.text(int(self._rows[place]))

    def __iter__(self) -> Iterator[str]:
        return (self._index.text(int(row)) for row in self._rows)
