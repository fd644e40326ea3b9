"""The atoms of one site of a language model, as a reader looks things up in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from sememe.atoms import Atoms
from sememe.atoms.certificate import GRADES, recovered_share
from sememe.atoms.contexts import Context
from sememe.atoms.scaling import known_sizes
from sememe.atoms.study import Study
from sememe.errors import InputError
from sememe.web.book import N_HUES
from sememe.web.histogram import Column, columns
from sememe.web.listing import PER_PAGE

N_NEAREST, N_SHADES = 8, 9
DENSITY_BINS, COHERENCE_BINS = 40, 40
SORTS = {
    "frequency": "most frequent",
    "detection": "best label",
    "recovered": "best recovered",
    "coherence": "most alike to another",
    "number": "number",
}


@dataclass(frozen=True)
class ShadedToken:
    """A token of a context, and how strongly the atom fires on it: 0 not at all, 9 as strongly as ever."""

    text: str
    shade: int
    activation: float
    peak: bool


@dataclass(frozen=True)
class SiteLine:
    """One atom of the list."""

    atom: int
    label: str
    share: float
    bar: float
    detection: float | None
    grade: str


class SiteBook:
    """Atoms of one site.

    Attributes:
        site: its name.
        atoms: the dictionary.
        contexts: where they fire; None before they were labelled.
        grades: of each atom's certificate.
        sizes: this dictionary and those of the site that have another number of atoms.
        hues: a colour class by atom, as in `sememe.web.book`, from the first two principal components of the atoms.
    """

    def __init__(self, study: Study, site: str) -> None:
        self.site = site
        self.atoms: Atoms = study.atoms(site)
        self.contexts = study.contexts(site)
        certified = self.atoms.certified
        self.grades = certified.grades() if certified is not None else ["unmeasured"] * self.atoms.n_atoms
        self.hues = _hues(self.atoms.decoder)
        self.sizes = known_sizes(study, site)

    def __len__(self) -> int:
        return self.atoms.n_atoms

    def label(self, atom: int) -> str:
        """Its label, or its number when it has none."""
        return self.atoms.labels[atom] or f"atom {atom}"

    def name(self, atom: int) -> str:
        """The first two terms of its label, for places with little room."""
        return ", ".join(self.label(atom).split(", ")[:2])

    def url(self, atom: int) -> str:
        """The address of its page."""
        return f"/site/{self.site}/atom/{atom}"

    def check(self, atom: int) -> None:
        """Refuse an atom that does not exist.

        Raises:
            InputError: naming the atoms that do.
        """
        if not 0 <= atom < len(self):
            raise InputError(f"there is no atom {atom}: the dictionary has atoms 0 to {len(self) - 1}")

    def detection(self, atom: int) -> tuple[float, float] | None:
        """How well its label predicts it, and the same with shuffled labels; None when it fires too rarely to tell."""
        found = self.atoms.detection
        if found is None or np.isnan(found.score[atom]):
            return None
        return float(found.score[atom]), float(found.shuffled[atom])

    def shaded(self, context: Context, atom: int) -> list[ShadedToken]:
        """The tokens of a context with their shades."""
        largest = float(self.contexts.largest[atom]) if self.contexts is not None else 1.0
        return [
            ShadedToken(
                piece,
                int(np.ceil(N_SHADES * min(1.0, float(activation) / (largest or 1.0)))) if activation > 0 else 0,
                float(activation),
                place == context.peak,
            )
            for place, (piece, activation) in enumerate(zip(context.pieces, context.activations, strict=True))
        ]

    def histogram(self, atom: int) -> Sequence[Column]:
        """Its activations where it fires."""
        if self.contexts is None:
            return []
        counts = self.contexts.histogram[atom]
        return columns(counts, np.linspace(0, float(self.contexts.largest[atom]) or 1.0, len(counts) + 1))

    @cached_property
    def density(self) -> Sequence[Column]:
        """How often atoms fire: a histogram of log10 of their frequency."""
        logs = np.log10(self.atoms.frequency[self.atoms.fired > 0])
        return columns(*np.histogram(logs, DENSITY_BINS, (self._lowest, 0.0)))

    @property
    def rarest(self) -> str:
        """Where the histogram of frequencies begins, in words."""
        return f"1 in {10 ** round(-self._lowest):,} tokens"

    @property
    def _lowest(self) -> float:
        n: int = self.atoms.card.get("n_train", 0) + self.atoms.card.get("n_held_out", 0)
        return -float(np.ceil(np.log10(max(n, 10))))

    @cached_property
    def nearness(self) -> Sequence[Column]:
        """How near atoms are to their nearest: a histogram of the largest |cosine| of each."""
        certified = self.atoms.certified
        if certified is None:
            return []
        known = certified.coherence[~np.isnan(certified.coherence)]
        return columns(*np.histogram(known, COHERENCE_BINS, (0.0, 1.0)))

    @cached_property
    def grade_counts(self) -> Mapping[str, int]:
        """How many atoms have each grade."""
        return {grade: self.grades.count(grade) for grade in GRADES}

    def lines(self, find: str, sort: str, page: int) -> tuple[list[SiteLine], int, int]:
        """A page of the list: its lines, how many atoms there are in all, and how many pages.

        Raises:
            InputError: there is no such sort.
        """
        if sort not in SORTS:
            raise InputError(f"there is no sort {sort!r}", where="sort", hint=f"Use {', '.join(SORTS)}")
        words = find.lower().split()
        labels = self.lower_labels
        order = self._order(sort)
        found = order if not words else [atom for atom in order if all(word in labels[atom] for word in words)]
        n_pages = max(1, -(-len(found) // PER_PAGE))
        frequency = self.atoms.frequency
        most = float(frequency.max(initial=0.0)) or 1.0
        shown = found[(min(page, n_pages) - 1) * PER_PAGE :][:PER_PAGE]
        lines = []
        for atom in (int(atom) for atom in shown):
            score = self.detection(atom)
            share = float(frequency[atom])
            lines.append(
                SiteLine(
                    atom,
                    self.label(atom),
                    share,
                    round(100 * share / most, 2),
                    None if score is None else score[0],
                    self.grades[atom],
                )
            )
        return lines, len(found), n_pages

    @cached_property
    def lower_labels(self) -> list[str]:
        """What is searched in."""
        return [self.label(atom).lower() for atom in range(len(self))]

    def _order(self, sort: str) -> list[int]:
        n, certified, detection = len(self), self.atoms.certified, self.atoms.detection
        nothing = np.full(n, np.nan)
        keys = {
            "frequency": self.atoms.frequency,
            "detection": nothing if detection is None else detection.score,
            "recovered": nothing if certified is None else certified.recovered,
            "coherence": nothing if certified is None else certified.coherence,
            "number": -np.arange(n),
        }
        order: list[int] = np.argsort(-np.nan_to_num(keys[sort], nan=-1.0), kind="stable").tolist()
        return order


class StudyBooks:
    """The books of a study's sites; each is read when it is first asked for, and a few are kept."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._load = lru_cache(maxsize=8)(lambda site: SiteBook(study, site))

    def __getitem__(self, site: str) -> SiteBook:
        if site not in self.study.sites:
            raise HTTPException(404, "there is no such site in this study")
        return self._load(site)


def _hues(decoder: np.ndarray) -> np.ndarray:
    """Directions in the plane of the two main components of the atoms, spread evenly over the colours."""
    centred = decoder - decoder.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    x, y = (centred @ vectors[:, -2:]).T
    ranks = np.argsort(np.argsort(np.arctan2(y, x), kind="stable"), kind="stable")
    hues: np.ndarray = ranks * N_HUES // len(ranks)
    return hues


def heat(values: Sequence[float | None]) -> list[int]:
    """A shade 0 to 9 for each value of a column of the heat map, by its place between the least and the largest."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = (high - low) or 1.0
    return [0 if value is None else round(9 * (value - low) / span) if high > low else 5 for value in values]


def model_table(cards: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[tuple[str, int]]]]]:
    """The heat map of a study: names of the columns, and for each site the texts and shades of its cells.

    Args:
        cards: atoms by site.
    """
    metrics = {name: [get(atoms) for atoms in cards.values()] for name, get in _METRICS.items()}
    shades = {name: heat(values) for name, values in metrics.items()}
    rows = []
    for number, site in enumerate(cards):
        cells = [(_text(metrics[name][number]), shades[name][number]) for name in metrics]
        rows.append((site, cells))
    return list(metrics), rows


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.3f}".replace("-", "−")


def _detection_mean(atoms: Atoms) -> float | None:
    if atoms.detection is None or np.isnan(atoms.detection.mean):
        return None
    return atoms.detection.mean


_METRICS: dict[str, Any] = {
    "R² held out": lambda atoms: atoms.card.get("r2"),
    "R² learned from": lambda atoms: atoms.card.get("r2_train"),
    "active": lambda atoms: atoms.card.get("mean_active"),
    "atoms": lambda atoms: float(atoms.n_atoms),
    "dead": lambda atoms: float(atoms.card.get("dead", 0)),
    "q*": lambda atoms: atoms.certificate.get("q_star"),
    "q* of random": lambda atoms: atoms.certificate.get("q_star_random"),
    "recovered": lambda atoms: recovered_share(atoms.certificate),
    "labels predict": _detection_mean,
}
