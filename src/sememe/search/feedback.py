"""Relevance feedback: a better query vector from passages that are, or are taken to be, relevant.

Pseudo-relevance feedback takes the best passages of a first search to be relevant and searches again. Li et al., TOIS
2023 (arXiv 2108.11044) give `average` and `rocchio` for dense vectors; Rocchio (1971) the second one itself. A learned
`sememe.models.feedback_encoder.PrfEncoder` reads the passages instead (ANCE-PRF). Relevant and irrelevant documents
that the user names go the same way. Document vectors never change. `sememe.search.second_search` carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError
from sememe.models.feedback_encoder import PrfEncoder

METHODS = ("none", "average", "rocchio")
DEFAULT_K = 3


def average(q0: np.ndarray, V: np.ndarray) -> np.ndarray:
    """The mean of a query (d,) and passages (k, d): ``q1 = (q0 + v_1 + ... + v_k) / (k + 1)``; (d,), float32.

    Raises:
        InputError: the shapes do not fit.

    """
    query, passages = _checked(q0, V)
    return np.asarray((query + passages.sum(axis=0)) / (len(passages) + 1), np.float32)


def rocchio(
    q0: np.ndarray,
    V_pos: np.ndarray,
    alpha: float = 0.4,
    beta: float = 0.6,
    *,
    V_neg: np.ndarray | None = None,
    gamma: float = 0.0,
) -> np.ndarray:
    """``q1 = alpha q0 + beta mean(V_pos) - gamma mean(V_neg)``; (d,), float32. A mean over nothing is left out.

    Args:
        q0: the query; (d,).
        V_pos: vectors of relevant passages; (k, d).
        alpha: the weight of the query.
        beta: the weight of the relevant passages.
        V_neg: vectors of irrelevant passages; (n, d).
        gamma: their weight.

    Raises:
        InputError: the shapes do not fit, or nothing is left of the query (``alpha = beta = 0``).

    """
    query, relevant = _checked(q0, V_pos)
    irrelevant = relevant[:0] if V_neg is None else _checked(q0, V_neg)[1]
    _refuse(_weight_problems(alpha, beta, gamma))
    moved = alpha * query
    if len(relevant):
        moved = moved + beta * relevant.mean(axis=0)
    if len(irrelevant):
        moved = moved - gamma * irrelevant.mean(axis=0)
    return np.asarray(moved, np.float32)


@dataclass(frozen=True)
class Feedback:
    """What to do with the results of the first search.

    Attributes:
        method: `none`, `average`, `rocchio`, or a learned `PrfEncoder`.
        k: how many passages of the first search are taken to be relevant; 3, or what the encoder was trained with, if
            not given. 0 leaves the query as it is.
        alpha: Rocchio's weight of the query.
        beta: Rocchio's weight of the relevant passages.
        gamma: Rocchio's weight of the irrelevant passages.
        relevant: ids of documents that the user says are relevant; they replace the first search's.
        irrelevant: ids of documents that the user says are not; only Rocchio can use them.

    Raises:
        InputError: the values do not fit; all problems are reported together.

    """

    method: str | PrfEncoder = "average"
    k: int | None = None
    alpha: float = 0.4
    beta: float = 0.6
    gamma: float = 0.0
    relevant: Sequence[str] = ()
    irrelevant: Sequence[str] = ()

    def __post_init__(self) -> None:
        problems = _weight_problems(self.alpha, self.beta, self.gamma)
        if self.k is not None and self.k < 0:
            problems.append(f"k must not be negative, not {self.k}")
        problems += self._method_problems() + self._id_problems()
        _refuse(problems)

    @classmethod
    def chosen(cls, relevant: Sequence[str] = (), irrelevant: Sequence[str] = ()) -> Feedback:
        """What "more like these, less like those" means when nothing else is said.

        Rocchio with alpha 0.4 and beta 0.6; gamma is 0.15, in the usual proportion to the others (Manning, Raghavan and
        Schütze, Introduction to Information Retrieval, section 9.1.1: 1, 0.75, 0.15).
        """
        return cls("rocchio", gamma=0.15 if irrelevant else 0.0, relevant=relevant, irrelevant=irrelevant)

    @property
    def n_passages(self) -> int:
        """How many passages of the first search are read."""
        if self.k is not None:
            return self.k
        return self.method.k if isinstance(self.method, PrfEncoder) else DEFAULT_K

    @property
    def by_user(self) -> bool:
        """Whether the user named documents, so that the first search's are not taken to be relevant."""
        return bool(self.relevant or self.irrelevant)

    @property
    def depth(self) -> int:
        """How deep the first search must go."""
        return 0 if self.by_user or self.method == "none" else self.n_passages

    def as_read(self, query: str) -> str:
        """A query's text as the first search must encode it: lower-cased if the feedback encoder was trained so."""
        return self.method.as_read(query) if isinstance(self.method, PrfEncoder) else query

    def _method_problems(self) -> list[str]:
        if not isinstance(self.method, PrfEncoder):
            known = self.method in METHODS
            return [] if known else [f"method must be one of {', '.join(METHODS)} or a PrfEncoder, not {self.method!r}"]
        if self.k not in (None, 0, self.method.k):
            return [f"the feedback encoder was made for k = {self.method.k}, not {self.k}"]
        return []

    def _id_problems(self) -> list[str]:
        problems = [
            f"{name} must be a list of ids, not one text"
            for name, ids in (("relevant", self.relevant), ("irrelevant", self.irrelevant))
            if isinstance(ids, str)
        ]
        both = sorted(set(self.relevant) & set(self.irrelevant))
        if both and not problems:
            problems.append(f"{both[0]!r} is both relevant and irrelevant")
        if self.by_user and self.method == "none":
            problems.append("relevant and irrelevant documents need a method: average, rocchio or a PrfEncoder")
        elif self.irrelevant and (self.method != "rocchio" or self.gamma == 0):
            problems.append("irrelevant documents need the method rocchio and a gamma above 0")
        return problems


def _checked(q0: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    query, passages = np.asarray(q0, np.float64), np.asarray(V, np.float64)
    if query.ndim != 1 or passages.ndim != 2 or passages.shape[1] != len(query):
        raise InputError(
            f"a query of shape {query.shape} does not fit passages of shape {passages.shape}: (d,), (k, d)"
        )
    if not (np.isfinite(query).all() and np.isfinite(passages).all()):
        raise InputError("the query or a passage holds NaN or infinity")
    return query, passages


def _weight_problems(alpha: float, beta: float, gamma: float) -> list[str]:
    problems = [
        f"{name} must be a number from 0, not {value}"
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma))
        if not (np.isfinite(value) and value >= 0)
    ]
    if alpha == 0 and beta == 0:
        problems.append("alpha and beta are both 0: nothing is left of the query")
    return problems


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise InputError("; ".join(problems), where="feedback")
