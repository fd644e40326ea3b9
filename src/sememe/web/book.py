"""The atoms of a collection as a reader looks things up in them: how often, where, how strongly, what is near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sememe.atoms import Atoms
from sememe.errors import InputError
from sememe.progress import progress
from sememe.search import Index
from sememe.search.learning import codes_of

N_HUES = 36
N_BINS = 32


@dataclass(frozen=True)
class Usage:
    """How an atom is used in the collection.

    Attributes:
        active: in how many vectors.
        share: of all vectors.
        mean, largest: its activation where it is active; 0 for an atom that never is.
    """

    active: int
    share: float
    mean: float
    largest: float


class AtomBook:
    """Atoms together with the sparse codes of every vector of an index, computed once.

    Attributes:
        atoms: the dictionary.
        hues: a colour class 0 to 35 by atom. It is the direction in which the atom lies on the map, so that atoms
            of like meaning have like colours on every page.
        map: places (n_atoms, 2) from 0 to 1.
    """

    def __init__(self, index: Index, atoms: Atoms) -> None:
        if atoms.dimensions != index.bank.dimensions:
            raise InputError(
                f"the atoms are for vectors of {atoms.dimensions} dimensions, the index has {index.bank.dimensions}",
                hint="Learn atoms on this index: sememe atoms learn IDX",
            )
        self.atoms = atoms
        self._rows, self._codes = codes_of(index, atoms)
        self._columns = self._codes.tocsc()
        self._columns.sort_indices()
        self._active = np.diff(self._columns.indptr)
        sums = np.asarray(self._codes.sum(axis=0)).ravel()
        self._means = np.divide(sums, self._active, out=np.zeros(len(sums)), where=self._active > 0)
        with progress("Laying out the map", unit="atoms"):
            self.map = _unit_square(atoms.map())
        self.hues = _hues(self.map)

    def __len__(self) -> int:
        return self.atoms.n_atoms

    def label(self, atom: int) -> str:
        """Its label, or its number when it has none."""
        return self.atoms.labels[atom] or f"atom {atom}"

    def name(self, atom: int) -> str:
        """The first two terms of its label, for places with little room."""
        return ", ".join(self.label(atom).split(", ")[:2])

    def check(self, atom: int) -> None:
        """Refuse an atom that does not exist.

        Raises:
            InputError: naming the atoms that do.
        """
        if not 0 <= atom < len(self):
            raise InputError(f"there is no atom {atom}: the dictionary has atoms 0 to {len(self) - 1}")

    def usage(self, atom: int) -> Usage:
        """How it is used."""
        active = int(self._active[atom])
        largest = float(self.activations(atom)[1].max(initial=0.0))
        return Usage(active, active / max(len(self._rows), 1), float(self._means[atom]), largest)

    @property
    def shares(self) -> np.ndarray:
        """In what share of the vectors each atom is active; shape (n_atoms,)."""
        shares: np.ndarray = self._active / max(len(self._rows), 1)
        return shares

    @property
    def means(self) -> np.ndarray:
        """Mean activation of each atom where it is active; shape (n_atoms,)."""
        means: np.ndarray = self._means
        return means

    def activations(self, atom: int) -> tuple[np.ndarray, np.ndarray]:
        """Where an atom is active: bank rows (m,), ascending, and activations (m,)."""
        start, end = self._columns.indptr[atom : atom + 2]
        return self._rows[self._columns.indices[start:end]], self._columns.data[start:end]

    def strongest(self, atom: int, n: int) -> list[tuple[int, float]]:
        """The `n` bank rows in which it is most active, and how much."""
        rows, values = self.activations(atom)
        order = np.argsort(-values, kind="stable")[:n]
        return [(int(rows[i]), float(values[i])) for i in order]

    def code(self, row: int) -> dict[int, float]:
        """The active atoms of a bank row with their activations, the largest first."""
        place = int(np.searchsorted(self._rows, row))
        start, end = self._codes.indptr[place : place + 2]
        atoms, values = self._codes.indices[start:end], self._codes.data[start:end]
        return {int(atoms[i]): float(values[i]) for i in np.argsort(-values, kind="stable")}

    def code_of_query(self, vector: np.ndarray) -> dict[int, float]:
        """The active atoms of a query's vector (d,) with their activations, the largest first."""
        code = self.atoms.transform(vector[None])
        return {int(code.indices[i]): float(code.data[i]) for i in np.argsort(-code.data, kind="stable")}

    def carried(self, query: np.ndarray, vectors: np.ndarray) -> dict[int, float]:
        """By atom, its part in the scores of a query (d,) with vectors (n, d), summed over them."""
        total: dict[int, float] = {}
        for part in self.atoms.contributions(query, vectors):
            for atom, value in zip(part.atoms.tolist(), part.values.tolist(), strict=True):
                total[atom] = total.get(atom, 0.0) + value
        return total

    def histogram(self, atom: int) -> tuple[np.ndarray, np.ndarray]:
        """Its activations, where it is active, in bins of equal width from 0: counts (bins,), edges (bins + 1,)."""
        values = self.activations(atom)[1]
        counts, edges = np.histogram(values, N_BINS, (0.0, float(values.max(initial=0.0)) or 1.0))
        return counts, edges

    def nearest(self, atom: int, n: int) -> list[tuple[int, float]]:
        """The `n` atoms with the largest cosine to it."""
        return [(int(other), float(cosine)) for other, cosine in self.atoms.nearest(atom, n)]

    def certificate(self) -> dict[str, Any]:
        """What is proved and measured about the dictionary."""
        return self.atoms.certificate

    def nearest_pair(self) -> float:
        """The largest Euclidean |cosine| of two atoms."""
        certificate = self.atoms.certificate
        return float(certificate.get("euclidean", certificate)["mutual_coherence"])


def _unit_square(places: np.ndarray) -> np.ndarray:
    low, high = places.min(axis=0), places.max(axis=0)
    square: np.ndarray = (places - low) / np.where(high > low, high - low, 1.0)
    return square


def _hues(square: np.ndarray) -> np.ndarray:
    """Directions from the middle of the map, spread evenly over the colours."""
    middle = np.median(square, axis=0)
    angles = np.arctan2(square[:, 1] - middle[1], square[:, 0] - middle[0])
    ranks = np.argsort(np.argsort(angles, kind="stable"), kind="stable")
    return ranks * N_HUES // len(ranks)
