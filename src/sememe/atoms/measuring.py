"""Atoms that came without vectors, measured on some: figures, frequencies, inner product and certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.atoms.atoms import Atoms
from sememe.atoms.autoencoder import CERTIFIED_ROWS
from sememe.atoms.certificate import certify
from sememe.atoms.inner_product import AtomicInnerProduct
from sememe.atoms.measure import figures, score
from sememe.atoms.rows import prepare
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.bank import Bank


def measured(atoms: Atoms, data: Bank | np.ndarray, *, held_out: float = 0.1, random_state: int = 0) -> Atoms:
    """The same atoms with a card as `Atoms.fit` writes it, measured on vectors (n, d) or a bank.

    The atoms saw none of these vectors as far as is known, so `r2_train` is as honest as `r2`. The split only says from
    which rows the inner product is learned.

    Raises:
        InputError: the vectors are of another width or, as a bank says, of another site; or they are too few.
    """
    rows = prepare(data, held_out, random_state)
    source = _source(atoms, data)
    if len(rows.mean) != atoms.dimensions:
        raise InputError(f"the vectors are {len(rows.mean)} wide and the atoms {atoms.dimensions}", where="data")
    metric = AtomicInnerProduct.fit(rows.data, rows=rows.train)
    kept, seen = score(atoms.weights, rows, rows.held_out, metric), score(atoms.weights, rows, rows.train)
    fired = kept.fired + seen.fired
    sample = rows.held_out[np.unique(np.linspace(0, len(rows.held_out) - 1, CERTIFIED_ROWS).astype(np.int64))]
    certified = certify(atoms.weights, fired, kept, np.concatenate(list(rows.blocks(sample))), metric)
    card = {name: value for name, value in atoms.card.items() if name != "n_vectors"} | {
        "parameters": {"held_out": held_out, "random_state": random_state},
        "source": source,
        **figures(kept, seen, rows),
        "warnings": ["the atoms were imported: measured on these vectors, not learned from them"],
        "inner_product": metric.facts(),
        "certificate": certified.figures,
    }
    return Atoms(atoms.weights, fired, card, atoms.labels, inner_product=metric, certified=certified)


def _source(atoms: Atoms, data: Bank | np.ndarray) -> dict[str, Any]:
    """What the bank came from, and the hook that the atoms were made for."""
    source = dict(atoms.card.get("source", {}))
    if isinstance(data, np.ndarray):
        return source
    site, place = source.get("site"), data.provenance.get("site")
    if site is not None and place is not None and site != place:
        raise InputError(f"the atoms are of {site}, the vectors of {place}", where=str(data.path))
    return {**source, **data.provenance, "bank": data.fingerprint}
