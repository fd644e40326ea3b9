"""How a dictionary of a site would do with fewer or more atoms: others of several sizes, learned from the same vectors.

They lie in `STUDY/scaling/SITE/SIZE`, learned with the options of the site's own dictionary, and certified like it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sememe.artifact import CARD
from sememe.atoms.atoms import Atoms
from sememe.atoms.certificate import recovered_share
from sememe.atoms.config import AtomsConfig
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.atoms.study import Study

SCALING = "scaling"


@dataclass(frozen=True)
class Size:
    """A dictionary by its size.

    Attributes:
        n_atoms: how many atoms it has.
        r2: R² on held-out vectors.
        r2_train: R² on what it was learned from.
        mean_active: the mean number of active atoms.
        recovered: the share of its measured atoms that are recovered; None when none was measured.
        dead: how many atoms never fire.
    """

    n_atoms: int
    r2: float
    r2_train: float
    mean_active: float
    recovered: float | None
    dead: int


def learn_sizes(study: Study, site: str, sizes: Sequence[int]) -> Iterator[Size]:
    """Learn dictionaries of other sizes; each is saved before it is given out, and one that is there is not learned.

    Args:
        study: has the site's own dictionary and its vectors.
        site: the site.
        sizes: how many atoms.

    Raises:
        InputError: there is no such site, or a size cannot be used.
        ArtifactError: a dictionary that is there was learned with other options.
    """
    parameters = study.atoms(site).card["parameters"]
    config = AtomsConfig(**{field.name: parameters[field.name] for field in fields(AtomsConfig)})
    if not sizes or min(sizes) < 1:
        raise InputError("sizes must be numbers of atoms, 1 or more", where="sizes", hint="Such as 1024 2048 4096")
    with study.bank(site) as bank:
        for n_atoms in sorted(set(sizes)):
            yield _size(study.learn(bank, _folder(study, site) / str(n_atoms), replace(config, n_atoms=n_atoms)))


def known_sizes(study: Study, site: str) -> list[Size]:
    """The dictionaries that there are of a site, its own among them, the smallest first."""
    folder = _folder(study, site)
    places = [place for place in folder.iterdir() if (place / CARD).is_file()] if folder.is_dir() else []
    others = [_size(Atoms.load(place)) for place in places]
    own = _size(study.atoms(site))
    return sorted([own, *(size for size in others if size.n_atoms != own.n_atoms)], key=lambda size: size.n_atoms)


def _folder(study: Study, site: str) -> Path:
    return study.path / SCALING / site


def _size(atoms: Atoms) -> Size:
    card = atoms.card
    return Size(
        atoms.n_atoms,
        float(card["r2"]),
        float(card["r2_train"]),
        float(card["mean_active"]),
        recovered_share(atoms.certificate),
        int(card["dead"]),
    )
