"""Scores of heads and of pairs of heads, from their codes: what occurs in positive prompts and in no negative one.

Sections 3.3 and 3.4 of the spec of arXiv 2405.12522. Everything here is integers and sets; the codes may come from
the discrete autoencoder or from anything else that gives a head's output a number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sememe.errors import InputError


@dataclass(frozen=True, eq=False)
class Counts:
    """How many different codes each head has: int64 (heads,).

    Attributes:
        positive: codes that occur in positive prompts only.
        negative: codes that occur in negative prompts only.
        total: codes that occur at all.

    """

    positive: np.ndarray
    negative: np.ndarray
    total: np.ndarray

    @property
    def normalised(self) -> np.ndarray:
        """The share of a head's codes that occur in positive prompts only: float64 (heads,)."""
        share: np.ndarray = self.positive / np.maximum(self.total, 1)
        return share


def node_scores(codes: np.ndarray, n_positive: int) -> Counts:
    """Count each head's codes.

    Args:
        codes: integers from 0 (prompts, heads), the positive prompts first.
        n_positive: how many prompts are positive.

    Raises:
        InputError: a class has no prompts, or the codes are no such array.

    """
    _check(codes, n_positive)
    size = int(codes.max()) + 1
    positive, negative = (_present(part, size) for part in (codes[:n_positive], codes[n_positive:]))
    return Counts(
        (positive & ~negative).sum(axis=1), (negative & ~positive).sum(axis=1), (positive | negative).sum(axis=1)
    )


def edge_scores(codes: np.ndarray, n_positive: int, *, normalise: bool = False) -> np.ndarray:
    """For every two heads, how many pairs of codes co-occur in a positive prompt and in no negative one.

    Args:
        codes: integers from 0 (prompts, heads), the positive prompts first.
        n_positive: how many prompts are positive.
        normalise: divide by the number of different pairs in positives plus that in negatives.

    Returns:
        Symmetric (heads, heads) with a zero diagonal, int64 or, normalised, float64. Counting has no direction:
        orient an edge from the lower layer to the higher one.

    """
    _check(codes, n_positive)
    n_heads, size = codes.shape[1], int(codes.max()) + 1
    scores = np.zeros((n_heads, n_heads), np.float64 if normalise else np.int64)
    wide = codes.astype(np.int64)
    for head in range(n_heads - 1):
        # A pair of codes is one number; no array over all possible pairs is ever made.
        keys = wide[:, head, None] * size + wide[:, head + 1 :]
        unique, in_positive, in_negative = _distinct(keys, n_positive)
        scores[head, head + 1 :] = unique / np.maximum(in_positive + in_negative, 1) if normalise else unique
    return scores + scores.T


def edge_level_scores(edges: np.ndarray) -> np.ndarray:
    """The paper's "edge-level" score of heads, int64 (heads,): it scores no edges.

    The official code lists the two heads of each pair, the highest-scoring pair first, keeps the first half of that
    list (all ordered pairs, squared heads // 2 entries) and counts how often a head appears (section 3.4).
    """
    n_heads = len(edges)
    first, second = np.nonzero(~np.eye(n_heads, dtype=bool))
    order = np.argsort(-edges[first, second], kind="stable")
    listed = np.stack([first[order], second[order]], axis=1).reshape(-1)
    return np.bincount(listed[: n_heads * n_heads // 2], minlength=n_heads)


@dataclass(frozen=True, eq=False)
class Null:
    """Normalised scores when the labels of the prompts mean nothing: float64 (heads,) each.

    Attributes:
        mean: over permutations.
        sd: their standard deviation.
        bound: what 95% of permutations stay below.

    """

    mean: np.ndarray
    sd: np.ndarray
    bound: np.ndarray

    def z(self, normalised: np.ndarray) -> np.ndarray:
        """How many standard deviations scores lie above the null's mean; 0 where neither ever varies.

        A head that permutations never move cannot be told from its null: at least one more code would have to differ
        for it to move, so the smallest standard deviation is that of a single head among all, never zero.
        """
        floor = float(np.median(self.sd[self.sd > 0])) if (self.sd > 0).any() else 1.0
        found: np.ndarray = (normalised - self.mean) / np.maximum(self.sd, floor)
        return found


def permutation_null(codes: np.ndarray, n_positive: int, n_permutations: int = 20, random_state: int = 0) -> Null:
    """What normalised scores are worth: the same counts with the class labels permuted.

    The count measures a head's diversity too, so this is shown beside every score (section 8).
    """
    if n_permutations < 2:
        raise InputError(f"{n_permutations} permutations are too few", where="n_permutations", hint="Give 2 or more")
    rng = np.random.default_rng(random_state)
    drawn = np.stack(
        [node_scores(codes[rng.permutation(len(codes))], n_positive).normalised for _ in range(n_permutations)]
    )
    return Null(drawn.mean(axis=0), drawn.std(axis=0, ddof=1), np.quantile(drawn, 0.95, axis=0))


def random_projection_codes(outputs: np.ndarray, n_codes: int = 200, random_state: int = 0) -> np.ndarray:
    """Codes without any learning, int32 (prompts, heads): the strongest of random directions (a control)."""
    rng = np.random.default_rng(random_state)
    directions = rng.standard_normal((outputs.shape[-1], n_codes)).astype(np.float32)
    codes: np.ndarray = np.stack([(prompt @ directions).argmax(axis=-1) for prompt in outputs]).astype(np.int32)
    return codes


def mean_difference(outputs: np.ndarray, n_positive: int) -> np.ndarray:
    """The length of the difference of the classes' mean outputs, float64 (heads,): the plainest control."""
    difference = outputs[:n_positive].mean(axis=0, dtype=np.float64) - outputs[n_positive:].mean(
        axis=0, dtype=np.float64
    )
    length: np.ndarray = np.linalg.norm(difference, axis=-1)
    return length


def softmax(scores: np.ndarray) -> np.ndarray:
    """Scores as shares of one, for display; their order does not change."""
    exponentials = np.exp(scores - np.max(scores))
    shares: np.ndarray = exponentials / exponentials.sum()
    return shares


def _present(codes: np.ndarray, size: int) -> np.ndarray:
    """Which codes each head has: bool (heads, size)."""
    found = np.zeros((codes.shape[1], size), bool)
    found[np.arange(codes.shape[1])[None, :], codes] = True
    return found


def _distinct(keys: np.ndarray, n_positive: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each column: how many keys are in positives only, in positives, and in negatives."""
    order = np.argsort(keys, axis=0, kind="stable")  # positives come first among equals
    ranked, is_positive = np.take_along_axis(keys, order, axis=0), order < n_positive
    starts = np.ones(ranked.shape, bool)
    starts[1:] = ranked[1:] != ranked[:-1]
    ends = np.ones(ranked.shape, bool)
    ends[:-1] = starts[1:]
    # A run of equal keys has a positive when it starts with one, and a negative when it ends with one.
    in_positive, in_negative = (starts & is_positive).sum(axis=0), (ends & ~is_positive).sum(axis=0)
    return starts.sum(axis=0) - in_negative, in_positive, in_negative


def _check(codes: np.ndarray, n_positive: int) -> None:
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or codes.shape[1] == 0 or (codes.size and codes.min() < 0):
        raise InputError(f"expected codes (prompts, heads) from 0, got {codes.dtype} {codes.shape}", where="codes")
    if not 0 < n_positive < len(codes):
        raise InputError(f"{n_positive} of {len(codes)} prompts are positive", where="codes", hint="Give both classes")
