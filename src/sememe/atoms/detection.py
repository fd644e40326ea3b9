"""Detection: how well an atom's label predicts where the atom fires, on text that the label was not made from.

Source: the detection score of Paulo, Mallen, Juang & Belrose, "Automatically Interpreting Millions of Features in Large
Language Models" (arXiv 2410.13928), with balanced accuracy, so that an atom which nearly never fires is not predicted
well by always saying no; and with the same labels dealt out to other atoms as the control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

MINIMUM_ACTIVE = 5
N_SHUFFLES = 5


@dataclass(frozen=True, eq=False)
class Detection:
    """Scores of labels, 1 perfect, 0.5 chance.

    Attributes:
        score: balanced accuracy of each atom's label (n_atoms,): the mean of the share of active texts that it fits and
            the share of inactive ones that it does not. NaN where the atom fires on fewer than five texts.
        shuffled: the same with labels of other atoms, the mean of five shuffles (n_atoms,); chance in practice.
        n_active: on how many texts each atom fires (n_atoms,).
    """

    score: np.ndarray
    shuffled: np.ndarray
    n_active: np.ndarray

    @property
    def mean(self) -> float:
        """Over the atoms that have a score; NaN if none has."""
        return float(np.nanmean(self.score)) if not np.isnan(self.score).all() else float("nan")

    @property
    def mean_shuffled(self) -> float:
        """The control of `mean`."""
        return float(np.nanmean(self.shuffled)) if not np.isnan(self.shuffled).all() else float("nan")


def detection_scores(fits: Any, active: Any, *, random_state: int = 0) -> Detection:
    """Score labels.

    Args:
        fits: (n_texts, n_atoms), whether the label of an atom fits a text; sparse or dense.
        active: (n_texts, n_atoms), whether the atom fires there; codes will do.
        random_state: the seed of the shuffles.

    Raises:
        InputError: the shapes differ.
    """
    predicted, true = _indicator(fits), _indicator(active)
    if predicted.shape != true.shape:
        raise InputError(f"labels are {predicted.shape}, activity is {true.shape}", where="detection_scores")
    n_active = np.asarray(true.sum(axis=0)).ravel().astype(np.int64)
    known = (n_active >= MINIMUM_ACTIVE) & (n_active <= true.shape[0] - MINIMUM_ACTIVE)
    score = np.where(known, balanced_accuracy(predicted, true), np.nan)
    rng = np.random.default_rng([random_state, 31])
    shuffled = np.zeros(true.shape[1])
    for _ in range(N_SHUFFLES):
        shuffled += balanced_accuracy(predicted[:, _derangement(np.flatnonzero(known), true.shape[1], rng)], true)
    return Detection(score, np.where(known, shuffled / N_SHUFFLES, np.nan), n_active)


def _indicator(matrix: Any) -> csc_matrix:
    from scipy.sparse import csc_matrix

    found = csc_matrix(matrix, dtype=np.float64)
    found.eliminate_zeros()
    found.data[:] = 1.0
    return found


def balanced_accuracy(predicted: Any, true: Any) -> np.ndarray:
    """Of each column of 0/1 (n, m), sparse: (recall of ones + recall of zeros) / 2; a missing kind counts as missed."""
    n = true.shape[0]
    hits = np.asarray(predicted.multiply(true).sum(axis=0)).ravel()
    said = np.asarray(predicted.sum(axis=0)).ravel()
    active = np.asarray(true.sum(axis=0)).ravel()
    sensitivity = hits / np.maximum(active, 1)
    specificity = 1 - (said - hits) / np.maximum(n - active, 1)
    balanced: np.ndarray = (sensitivity + specificity) / 2
    return balanced


def _derangement(members: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """An order of n in which no member stands in its own place, if there are two or more."""
    order = np.arange(n)
    shuffled = rng.permutation(members)
    order[shuffled] = np.roll(shuffled, 1)
    return order
