"""How well scores of heads agree with a set of heads that is taken for the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError


@dataclass(frozen=True)
class Agreement:
    """Scores against the true heads.

    Attributes:
        auc: area under the ROC curve; 0.5 is chance. With few true heads it hides precision.
        average_precision: mean precision at each true head; chance is the share of true heads.
        precision_at_size: share of true heads among as many best ones as there are true ones.
        size: how many heads are true.

    """

    auc: float
    average_precision: float
    precision_at_size: float
    size: int


def agreement(scores: np.ndarray, truth: np.ndarray) -> Agreement:
    """Compare scores (heads,) with which heads are true, bool (heads,). Equal scores count half, or share their place.

    Raises:
        InputError: no head is true, or all are; or a score is not finite.

    """
    from scipy.stats import rankdata

    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, bool)
    if scores.shape != truth.shape or not np.isfinite(scores).all():
        raise InputError("scores and truth must be equally many finite numbers", where="agreement")
    size, others = int(truth.sum()), int((~truth).sum())
    if not size or not others:
        raise InputError(f"{size} of {len(truth)} heads are true, so nothing can be compared", where="agreement")
    auc = (rankdata(scores)[truth].sum() - size * (size + 1) / 2) / (size * others)
    return Agreement(float(auc), _average_precision(scores, truth), _precision_at(scores, truth, size), size)


def _average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """As scikit-learn defines it: a threshold at each different score."""
    values, places = np.unique(-scores, return_inverse=True)
    found = np.cumsum(np.bincount(places, truth, len(values)))
    taken = np.cumsum(np.bincount(places, minlength=len(values)))
    recall = found / found[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * found / taken))


def _precision_at(scores: np.ndarray, truth: np.ndarray, size: int) -> float:
    """The expected share of true heads among the `size` best, when equal scores are put in a random order."""
    threshold = np.sort(scores)[-size]
    above, level = scores > threshold, scores == threshold
    open_places = size - int(above.sum())
    return float((truth[above].sum() + open_places * truth[level].mean()) / size)
