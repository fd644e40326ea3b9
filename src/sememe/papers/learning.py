"""What a reader likes, learned from a few papers marked + and -: a linear classifier in closed form.

For vectors x of length one with collection mean m and covariance S, and for words u likewise with the identity for S,

    w = (S + ridge t I)^-1 (mean of liked x - m - against (mean of disliked x - m)),    t = trace(S) / d

is the direction of regularised linear discriminant analysis (Friedman 1989), with the whole collection standing for
what the reader has not spoken about (Hariharan, Malik and Ramanan, ECCV 2012). Both parts are brought to the standard
deviation one over the collection and added; words count `WORD_WEIGHT`. The score is linear: it adds up from atoms,
words and pinned authors.

With eight marks a strong ridge is best: the covariance of a large collection says where papers differ, not where a
reader's papers do. The three constants were chosen on arXiv categories that no claim is measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import InputError
from sememe.papers.features import Features, mean_of
from sememe.papers.reasons import Score

if TYPE_CHECKING:
    from sememe.atoms import Atoms

ENOUGH_LIKED, ENOUGH_DISLIKED = 5, 3
"""From so many marks on, an interest orders a feed."""
RIDGE = 30.0
AGAINST = 0.3
WORD_WEIGHT = 0.3


def learn(features: Features, liked: Sequence[str], disliked: Sequence[str] = ()) -> Score:
    """Learn a score from marked papers.

    Args:
        features: of all papers.
        liked: ids; at least one.
        disliked: ids; may be empty.

    Raises:
        InputError: nothing is liked, a paper is both, or one is not indexed.

    """
    both = set(liked) & set(disliked)
    if not liked or both:
        what = f"both likes and dislikes {min(both)}" if both else "has no paper that is liked"
        raise InputError(what, hint="Mark papers with: sememe papers mark ID liked")
    plus, minus = features.rows(liked), features.rows(disliked)
    vector = _discriminant(features, plus, minus)
    words = _contrast(features, plus, minus)
    meaning = features.units @ vector
    wording = features.words @ words
    scale, word_scale = _spread(meaning), _spread(wording) / WORD_WEIGHT
    offset = -(float(meaning.mean()) / scale + float(wording.mean()) / word_scale)
    return Score(vector / scale, words / word_scale, offset)


def atom_weights(score: Score, atoms: Atoms) -> np.ndarray:
    """The learned weight <w, d_j> of every atom (n_atoms,): what one unit of it adds to a paper's score."""
    weights: np.ndarray = atoms.decoder.astype(np.float64) @ score.vector
    return weights


def edited(score: Score, atoms: Atoms, weights: Mapping[int, float]) -> Score:
    """The score with some atoms' weights replaced: it changes by exactly a_j(x) (new - learned) / |x|."""
    learned = atom_weights(score, atoms)
    edits = {atom: float(weight) - float(learned[atom]) for atom, weight in weights.items()}
    return Score(score.vector, score.words, score.offset, edits)


def _discriminant(features: Features, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    towards = features.units[plus].mean(axis=0, dtype=np.float64) - features.mean
    if len(minus):
        towards = towards - AGAINST * (features.units[minus].mean(axis=0, dtype=np.float64) - features.mean)
    covariance, d = features.covariance, len(towards)
    ridge = max(RIDGE * float(np.trace(covariance)) / d, 1e-12)  # also for papers that are all alike
    solved: np.ndarray = np.linalg.solve(covariance + ridge * np.eye(d), towards)
    return solved


def _contrast(features: Features, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    words: np.ndarray = mean_of(features.words[plus]) - features.mean_words
    if len(minus):
        words = words - AGAINST * (mean_of(features.words[minus]) - features.mean_words)
    return words


def _spread(scores: np.ndarray) -> float:
    spread = float(scores.std())
    return spread if spread > 1e-12 else 1.0
