"""Inverted lists of atoms: the sparse code of every row, turned round, as the index that proposes rows.

With a row ``x ~ x' = sum_j a_j d_j + b`` its score is about ``<q, x'> |x| / |x'|``: the dictionary leaves something of
every row over, and rows of which it leaves more must not lose by that. What is read is what explains a hit: a row is
proposed because of named atoms. A large collection is read as a lexical index is: only the lists that matter most.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from sememe import artifact
from sememe.bank import Bank
from sememe.search.coarse.selecting import new_rows, sampled_rows
from sememe.search.top_items import top_items

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from sememe.atoms.weights import Weights

BLOCK_ROWS = 256
MAX_ATOMS, ROWS_PER_ATOM = 4096, 8
# Compiled code goes through all lists of a hundred thousand rows in as little time as it takes to choose among them.
MOST_READ = 4_000_000


class AtomPostings:
    """Lists of rows by atom; see `sememe.search.coarse.stage.Coarse`. The parameter is the number of atoms.

    Attributes:
        weights: the dictionary that makes the codes.
        lists: how active each atom is in each row; shape (n_atoms, n_rows), float32. A list is a row of it.
        scales: |x| / |x'| of each row; shape (n_rows,), float32.
        most_read: how many entries of lists a query reads at most; those of the atoms that can move rows most.

    """

    kind: ClassVar[str] = "atoms"

    def __init__(self, weights: Weights) -> None:
        from scipy.sparse import csr_matrix

        self.weights = weights
        self.most_read = MOST_READ
        self._hold(csr_matrix((weights.n_atoms, 0), dtype=np.float32), np.zeros(0, np.float32))

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
        return len(self.scales)

    @property
    def nbytes(self) -> int:
        lists = self.lists
        held = (lists.data, lists.indices, lists.indptr, self.scales, self.weights.decoder)
        return sum(int(array.nbytes) for array in held)

    def extend(self, bank: Bank) -> None:
        from scipy.sparse import vstack

        codes, scales = [self.lists.T.tocsr()], [self.scales]
        # Whole blocks of one size, the first anew: a product of fixed shape rounds alike however the rows came.
        for start, block in new_rows(bank, self.n_rows - self.n_rows % BLOCK_ROWS, BLOCK_ROWS):
            new = slice(max(0, self.n_rows - start), len(block))
            padded = np.zeros((BLOCK_ROWS, block.shape[1]), np.float32)
            padded[: len(block)] = block
            code = self.weights.encode(padded)[new]
            code.data = code.data.astype(np.float16).astype(np.float32)  # as they are stored
            codes.append(code)
            scales.append(_scales(block[new], self.weights.decode(code)))
        if len(codes) > 1:
            self._hold(vstack(codes, format="csr").T.tocsr(), np.concatenate(scales))

    def candidates(self, query: np.ndarray, n: int, allowed: np.ndarray) -> np.ndarray:
        along = np.asarray(self.weights.decoder @ query, np.float32)
        scores = self._read(along)
        scores += np.float32(self.weights.bias @ query)
        scores *= self.scales
        return top_items(scores, allowed, n)

    def save(self, path: Path) -> None:
        arrays: dict[str, np.ndarray] = self.weights.arrays()
        starts, rows = self.lists.indptr.astype(np.int64), self.lists.indices.astype(np.int32)
        arrays |= {"starts": starts, "rows": rows, "activations": self.lists.data.astype(np.float16)}
        artifact.save(path, f"coarse-{self.kind}", {**arrays, "scales": self.scales}, {"k": self.weights.k})

    @classmethod
    def load(cls, path: Path) -> Self:
        from scipy.sparse import csr_matrix

        from sememe.atoms.weights import ARRAYS, Weights

        arrays, card = artifact.load(path, f"coarse-{cls.kind}")
        stage = cls(Weights(**{name: arrays[name] for name in ARRAYS}, k=card["k"]))
        parts = (arrays["activations"].astype(np.float32), arrays["rows"], arrays["starts"])
        shape = (stage.weights.n_atoms, len(arrays["scales"]))
        stage._hold(csr_matrix(parts, shape=shape), arrays["scales"])
        return stage

    def _read(self, along: np.ndarray) -> np.ndarray:
        """The sum over the lists that are read of ``a_j <q, d_j>``, given ``<q, d_j>``; shape (n_rows,)."""
        if self.lists.nnz <= self.most_read:
            everything: np.ndarray = self.lists.T @ along
            return everything
        # How far an atom's list can move rows past each other: its weight times the spread of its activations.
        order = np.argsort(-np.abs(along) * self._spread, kind="stable")
        affordable = int(np.searchsorted(np.cumsum(self._lengths[order]), self.most_read, side="right"))
        chosen = np.sort(order[: max(1, affordable)])
        some: np.ndarray = self.lists[chosen].T @ along[chosen]
        return some

    def _hold(self, lists: csr_matrix, scales: np.ndarray) -> None:
        lists.sort_indices()
        self.lists: csr_matrix = lists
        self.scales = scales
        self._lengths: np.ndarray = np.diff(lists.indptr)
        squares: Any = lists.multiply(lists).sum(axis=1)
        self._spread = np.sqrt(np.asarray(squares, np.float64)).ravel()


def _scales(vectors: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """|x| / |x'| row by row, 1 where x' is 0; (n,), float32."""
    lengths = np.sqrt(np.einsum("nd,nd->n", decoded, decoded, dtype=np.float64))
    wanted = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    scales: np.ndarray = np.divide(wanted, lengths, out=np.ones(len(vectors)), where=lengths > 0).astype(np.float32)
    return scales
