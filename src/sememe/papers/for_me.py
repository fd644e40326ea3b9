"""An interest at work: what was learned from + and -, the reader's own weights, pinned authors and keywords."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import InputError
from sememe.papers.database import folded
from sememe.papers.learning import ENOUGH_DISLIKED, ENOUGH_LIKED, atom_weights, edited, learn
from sememe.papers.reasons import Reason, Score, atom_label

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.papers.collection import PaperCollection
    from sememe.papers.interests import Interest
    from sememe.papers.paper import Paper

DEFAULT = "me"
PINNED = 3.0
"""What a pinned author adds to a score, in standard deviations."""


@dataclass(frozen=True)
class Driver:
    """An atom that drives an interest.

    Attributes:
        atom: its number.
        label: its label.
        weight: what one unit of it adds to a score: as learned, or as the reader set it.
        learned: the learned weight.
        part: what it adds to the score of a liked paper, on average.

    """

    atom: int
    label: str
    weight: float
    learned: float
    part: float

    @property
    def is_edited(self) -> bool:
        """Whether the reader set its weight."""
        return self.weight != self.learned


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned for an interest.

    Attributes:
        interest: with the papers that it was learned from.
        score: the classifier; None as long as there are too few marks.
        note: how many marks there are, and what is missing.

    """

    interest: Interest
    score: Score | None
    note: str


def marked_interest(collection: PaperCollection, name: str = DEFAULT) -> Interest:
    """An interest with the papers it is learned from; to `me` belong also those marked liked and disliked.

    Papers that are not indexed yet are left out.
    """
    store = collection.store
    interest = store.interest(name)
    liked, disliked = list(interest.liked), list(interest.disliked)
    if name == DEFAULT:
        minus = store.marked("disliked")
        liked = _unique([*liked, *store.marked("liked")], without=minus)
        disliked = _unique([*disliked, *minus], without=liked)
    features = collection.features
    return replace(interest, liked=tuple(features.known(liked)), disliked=tuple(features.known(disliked)))


def learn_interest(collection: PaperCollection, name: str = DEFAULT) -> Learned:
    """Learn an interest from its marks, and put the reader's own weights in.

    Raises:
        InputError: weights were set on atoms, and there are no atoms, or not these.

    """
    interest = marked_interest(collection, name)
    liked, disliked = len(interest.liked), len(interest.disliked)
    have = f"{liked} + and {disliked} −"
    if liked < ENOUGH_LIKED or disliked < ENOUGH_DISLIKED:
        note = f"{have} so far; {ENOUGH_LIKED} + and {ENOUGH_DISLIKED} − are needed to learn what you like"
        return Learned(interest, None, note)
    score = learn(collection.features, interest.liked, interest.disliked)
    if interest.atom_weights:
        score = edited(score, weighable_atoms(collection, interest.atom_weights), interest.atom_weights)
    return Learned(interest, score, f"learned from {have}")


def weighable_atoms(collection: PaperCollection, weights: Iterable[int]) -> Atoms:
    """The atoms whose weights can be set.

    Raises:
        InputError: there are none, or not those that `weights` names.

    """
    atoms = collection.atoms
    if atoms is None:
        hint = f"{collection.note} Or give the weights up: sememe papers interest NAME --learned ATOM"
        raise InputError("there are no atoms, so none has a weight", where="interest", hint=hint)
    unknown = next((atom for atom in weights if not 0 <= atom < atoms.n_atoms), None)
    if unknown is not None:
        raise InputError(
            f"there is no atom {unknown}: the dictionary has atoms 0 to {atoms.n_atoms - 1}",
            where="interest",
            hint=f"If atoms were learned again, give its weight up: sememe papers interest NAME --learned {unknown}",
        )
    return atoms


def drivers(collection: PaperCollection, learned: Learned, n: int = 10) -> list[Driver]:
    """The atoms that add most to the scores of liked papers, and those that the reader set; the strongest first.

    Empty without atoms, or when nothing was learned.
    """
    atoms, score = collection.atoms, learned.score
    if atoms is None or score is None:
        return []
    features = collection.features
    rows = features.rows(learned.interest.liked)
    parts = np.zeros(atoms.n_atoms)
    for explanation in score.explained(features, rows, atoms):
        parts[explanation.atoms] += explanation.contributions / len(rows)
    weights = atom_weights(score, atoms)
    own = learned.interest.atom_weights
    strongest = np.argsort(-np.abs(parts), kind="stable")[:n].tolist()
    chosen = [*strongest, *(atom for atom in sorted(own) if atom not in strongest)]
    return [
        Driver(
            atom, atom_label(atoms, atom), own.get(atom, float(weights[atom])), float(weights[atom]), float(parts[atom])
        )
        for atom in chosen
    ]


def rank(collection: PaperCollection, ids: Sequence[str], learned: Learned) -> tuple[list[str], np.ndarray]:
    """Papers in the order of an interest, without those it was learned from and those its keywords refuse.

    Before there are enough marks all scores are 0, but for pinned authors.

    Args:
        collection: the papers.
        ids: which papers; equal scores keep their order.
        learned: the interest.

    Returns:
        The ids, the best first, and their scores (n,).

    """
    interest, features = learned.interest, collection.features
    known = set(features.known(ids)) - {*interest.liked, *interest.disliked}
    ids = [id for id in ids if id in known]
    bonus = np.zeros(len(ids))
    if interest.authors or interest.require or interest.forbid:
        papers = [paper for paper in collection.store.papers(ids) if passes(paper, interest)]
        ids = [paper.id for paper in papers]
        bonus = np.asarray([PINNED * bool(pinned(paper, interest)) for paper in papers], np.float64)
    if learned.score is not None:
        bonus = bonus + learned.score.of(features, features.rows(ids), collection.atoms)
    order = np.argsort(-bonus, kind="stable")
    return [ids[place] for place in order], bonus[order]


def reasons_of(collection: PaperCollection, ids: Sequence[str], learned: Learned) -> list[list[Reason]]:
    """Why papers stand where `rank` put them: pinned authors, required keywords, atoms and words."""
    interest, papers = learned.interest, collection.store.papers(ids)
    own = [[*pinned(paper, interest), *_required(paper, interest)] for paper in papers]
    if learned.score is None:
        return own
    hits = collection.explained(learned.score, collection.features.rows(ids))
    return [[*first, *hit.reasons] for first, hit in zip(own, hits, strict=True)]


def pinned(paper: Paper, interest: Interest) -> list[Reason]:
    """A reason for each pinned author that a paper has; a part of a name will do. Together they add `PINNED`."""
    wanted = [folded(name) for name in interest.authors]
    names = [name for name in paper.authors if any(part in folded(name) for part in wanted)]
    return [Reason("author", name, PINNED / len(names)) for name in names]


def passes(paper: Paper, interest: Interest) -> bool:
    """Whether a paper has one of the required keywords, if there are any, and none of the forbidden ones."""
    text = _text(paper)
    return (not interest.require or bool(_has(text, interest.require))) and not _has(text, interest.forbid)


def _required(paper: Paper, interest: Interest) -> list[Reason]:
    """A reason, without weight, for each required keyword that a paper has."""
    return [Reason("keyword", word, 0.0) for word in _has(_text(paper), interest.require)]


def _text(paper: Paper) -> str:
    return folded("\n".join([paper.title, paper.abstract, *paper.keywords]))


def _has(text: str, keywords: Sequence[str]) -> list[str]:
    """Those keywords that stand in a text as whole words."""
    return [word for word in keywords if re.search(rf"(?<!\w){re.escape(folded(word))}(?!\w)", text)]


def _unique(ids: Iterable[str], *, without: Iterable[str]) -> list[str]:
    left_out = set(without)
    return [id for id in dict.fromkeys(ids) if id not in left_out]
