"""Adaptive classification: answer with the smallest representation that is sure enough.

Kusupati et al. (arXiv 2205.13147), section 4.2.1 and `model_analysis/Model_Cascades.ipynb` of their code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from sememe.errors import InputError, NotFittedError

LOWEST = 0.1


class Answers(NamedTuple):
    """Labels (n,), and the size that gave each (n,).

    The size counts the last classifier that was asked, not the work of the smaller ones before it.
    """

    labels: np.ndarray
    dimensions: np.ndarray

    @property
    def expected_dimension(self) -> float:
        """The mean size used."""
        return float(self.dimensions.mean())


class Cascade:
    """Classifiers of growing size, asked in turn until one is sure.

    A size answers when its largest probability is above its threshold; the last one always does. The threshold between
    two consecutive sizes is fitted alone: of `grid` values from 0.1 to 1, the smallest of those with the highest
    accuracy of "this size where it is surer than t, else the next one". Fit on data that the classifiers were not
    trained on, and report accuracy on yet other data.

    Args:
        dims: the sizes, increasing.
        grid: how many thresholds to try.

    Attributes:
        thresholds_: one for every size but the last.

    """

    thresholds_: np.ndarray

    def __init__(self, dims: Sequence[int], *, grid: int = 100) -> None:
        self.dims = dims
        self.grid = grid

    def fit(self, probabilities: np.ndarray, y: np.ndarray) -> Self:
        """Fit the thresholds.

        Args:
            probabilities: shape (n_sizes, n, n_classes).
            y: class numbers (n,).

        Raises:
            InputError: the shapes do not fit, or there is nothing to fit on.

        """
        probabilities = self._checked(probabilities)
        y = np.asarray(y)
        if y.shape != probabilities.shape[1:2] or not len(y):
            raise InputError(f"y has shape {y.shape}, the probabilities {probabilities.shape}", where="Cascade.fit")
        if self.grid < 2:
            raise InputError(f"grid is {self.grid}", hint="Give 2 or more")
        candidates = np.linspace(LOWEST, 1, self.grid)
        right = probabilities.argmax(axis=2) == y
        sure = probabilities.max(axis=2)
        thresholds = []
        for number in range(len(self.dims) - 1):
            answers = sure[number] > candidates[:, None]
            n_right = np.where(answers, right[number], right[number + 1]).sum(axis=1)
            thresholds.append(candidates[n_right.argmax()])  # the first, hence smallest, of equals
        self.thresholds_ = np.array(thresholds)
        return self

    def predict(self, probabilities: np.ndarray, cap: int | None = None) -> Answers:
        """Answer with the first size that is sure.

        Args:
            probabilities: shape (n_sizes, n, n_classes).
            cap: the largest size that may be asked, one of `dims`; it then always answers.

        Raises:
            NotFittedError: before `fit`.
            InputError: the shapes do not fit, or `cap` is no size.

        """
        if not hasattr(self, "thresholds_"):
            raise NotFittedError("the cascade has no thresholds yet", hint="Call fit first")
        probabilities = self._checked(probabilities)
        sizes = list(self.dims)
        if cap is not None and cap not in sizes:
            raise InputError(f"cap is {cap}", hint=f"Choose from {', '.join(map(str, sizes))}")
        last = len(sizes) - 1 if cap is None else sizes.index(cap)
        is_sure = probabilities.max(axis=2)[:last] > self.thresholds_[:last, None]
        stops = np.vstack([is_sure, np.ones((1, probabilities.shape[1]), bool)]).argmax(axis=0)
        labels = probabilities.argmax(axis=2)[stops, np.arange(probabilities.shape[1])]
        return Answers(labels, np.array(sizes)[stops])

    def _checked(self, probabilities: np.ndarray) -> np.ndarray:
        probabilities = np.asarray(probabilities)
        if probabilities.ndim != 3 or len(probabilities) != len(self.dims):
            raise InputError(
                f"probabilities have shape {probabilities.shape}, not ({len(self.dims)}, n, n_classes)", where="Cascade"
            )
        if not np.isfinite(probabilities).all():
            raise InputError("a probability is NaN or infinite", where="Cascade")
        return probabilities
