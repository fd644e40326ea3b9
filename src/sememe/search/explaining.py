"""Taking a dense score apart into atoms, and moving a query along them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import InputError
from sememe.search.hits import Explanation

if TYPE_CHECKING:
    from sememe.atoms import Atoms


def explain_rows(atoms: Atoms, query: np.ndarray, vectors: np.ndarray) -> list[Explanation]:
    """Explain the scores of stored vectors (n, d) with a query (d,).

    Raises:
        InputError: the atoms are of another width.

    """
    _check_width(atoms, query)
    return [
        Explanation(part.atoms, part.values, [atoms.labels[atom] for atom in part.atoms], part.bias, part.residual)
        for part in atoms.contributions(query, vectors)
    ]


def steered(queries: np.ndarray, atoms: Atoms, steer: Mapping[int, float], *, unit_length: bool) -> np.ndarray:
    """Move queries along atoms: ``q' = q + sum_j s_j d_j``; shape (n_queries, d).

    Args:
        queries: shape (n_queries, d).
        atoms: whose unit directions ``d_j`` are meant.
        steer: ``s_j`` by atom.
        unit_length: bring each moved query back to the length 1.

    Raises:
        InputError: there is no such atom, or an amount is not finite.

    """
    _check_width(atoms, queries[0])
    for atom, amount in steer.items():
        if not 0 <= atom < atoms.n_atoms:
            raise InputError(f"there is no atom {atom}: the dictionary has atoms 0 to {atoms.n_atoms - 1}")
        if not np.isfinite(amount):
            raise InputError(f"the amount for atom {atom} is {amount}")
    chosen = list(steer)
    moved = queries + np.asarray([steer[a] for a in chosen], np.float32) @ np.asarray(atoms.decoder)[chosen]
    if unit_length:
        norms = np.linalg.norm(moved, axis=1, keepdims=True)
        if (norms < 1e-6).any():
            raise InputError("steering has cancelled the query: nothing of it is left", hint="Steer less")
        moved = moved / norms
    return np.asarray(moved, np.float32)


def _check_width(atoms: Atoms, vector: np.ndarray) -> None:
    if atoms.dimensions != len(vector):
        raise InputError(
            f"the atoms are for vectors of {atoms.dimensions} dimensions, the index has {len(vector)}",
            hint="Learn atoms on this index: sememe atoms learn IDX",
        )
