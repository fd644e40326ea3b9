"""Inverted lists of atoms: the sparse code of every row, turned round, as the index that proposes rows.

With a row ``x ~ sum_j a_j d_j + b`` its score is about ``sum_j a_j <q,d_j>``: the lists of the atoms that the query
points along hold the rows worth reading. What is read is what explains a hit: a row is proposed because of named
atoms. As in a lexical index, a query looks only into its own lists, the longest left out when it has many.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.search.coarse.selecting import new_rows, sampled_rows
from sememe.search.fusion import top_items

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

    from sememe.atoms.weights import Weights

ROWS_AT_ONCE = 8192
MAX_ATOMS, ROWS_PER_ATOM = 4096, 8
READ_LISTS = 256


class AtomPostings:
    """Lists of rows by atom; see `sememe.search.coarse.stage.Coarse`. The parameter is the number of atoms.

    Attributes:
        weights: the dictionary that makes the codes.
        starts: where the list of each atom starts; shape (n_atoms + 1,), int64.
        rows: the rows of all lists, one list after another, ascending in each; int32.
        activations: how active the atom is in each of these rows; float16.
        n_lists: how many lists a query reads at most.

    """

    kind: ClassVar[str] = "atoms"

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.n_lists = READ_LISTS
        self.starts = np.zeros(weights.n_atoms + 1, np.int64)
        self.rows, self.activations = np.zeros(0, np.int32), np.zeros(0, np.float16)
        self._n_rows = 0
        self._spread = np.zeros(weights.n_atoms)

    @classmethod
    def fit(cls, bank: Bank, parameter: int | None = None, random_state: int = 0) -> Self:
        """Learn atoms from sampled rows; by default one for eight rows, at most 4,096."""
        from sememe.atoms import Atoms, AtomsConfig

        n_atoms = parameter if parameter is not None else min(MAX_ATOMS, max(1, len(bank) // ROWS_PER_ATOM))
        active = min(AtomsConfig().target_active, n_atoms / 4)
        sample = bank[sampled_rows(bank, random_state)]
        return cls(Atoms.fit(sample, n_atoms, target_active=active, random_state=random_state).weights)

    @property
    def n_rows(self) -> int:
        return self._n_rows

    @property
    def nbytes(self) -> int:
        return int(self.rows.nbytes + self.activations.nbytes + self.starts.nbytes + self.weights.decoder.nbytes)

    def extend(self, bank: Bank) -> None:
        from scipy.sparse import vstack

        blocks = [self._matrix()]
        for _, vectors in new_rows(bank, self.n_rows, ROWS_AT_ONCE):
            blocks.append(self.weights.encode(vectors).tocsc())
        if len(blocks) > 1:
            self._take(vstack(blocks, format="csc"))

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        along = self.weights.decoder @ query
        # How far an atom's list can move rows past each other: its weight times the spread of its activations.
        reach = np.abs(along) * self._spread
        lists = reach.argsort(kind="stable")[::-1][: self.n_lists]
        lists = np.sort(lists[reach[lists] > 0])
        read = [np.arange(self.starts[atom], self.starts[atom + 1]) for atom in lists]
        places = np.concatenate(read) if read else np.zeros(0, np.int64)
        parts = np.repeat(along[lists], np.diff(self.starts)[lists]) * self.activations[places]
        scores = np.bincount(self.rows[places], parts, minlength=self.n_rows)
        return top_items(scores, allowed, n)

    def save(self, path: Path) -> None:
        arrays: dict[str, np.ndarray] = self.weights.arrays()
        arrays |= {"starts": self.starts, "rows": self.rows, "activations": self.activations}
        card: dict[str, Any] = {"n_rows": self.n_rows, "k": self.weights.k}
        artifact.save(path, f"coarse-{self.kind}", arrays, card)

    @classmethod
    def load(cls, path: Path) -> Self:
        from sememe.atoms.weights import ARRAYS, Weights

        arrays, card = artifact.load(path, f"coarse-{cls.kind}")
        stage = cls(Weights(**{name: arrays[name] for name in ARRAYS}, k=card["k"]))
        stage._hold(arrays["starts"], arrays["rows"], arrays["activations"], card["n_rows"])
        return stage

    def _matrix(self) -> csc_matrix:
        from scipy.sparse import csc_matrix

        activations = self.activations.astype(np.float32)
        return csc_matrix((activations, self.rows, self.starts), shape=(self.n_rows, self.weights.n_atoms))

    def _take(self, codes: csc_matrix) -> None:
        codes.sort_indices()
        starts, rows = codes.indptr.astype(np.int64), codes.indices.astype(np.int32)
        self._hold(starts, rows, codes.data.astype(np.float16), codes.shape[0])

    def _hold(self, starts: np.ndarray, rows: np.ndarray, activations: np.ndarray, n_rows: int) -> None:
        self.starts, self.rows, self.activations, self._n_rows = starts, rows, activations, n_rows
        squares = np.add.reduceat(np.append(activations.astype(np.float64) ** 2, 0), starts[:-1])
        self._spread = np.sqrt(np.where(np.diff(starts) > 0, squares, 0.0))
