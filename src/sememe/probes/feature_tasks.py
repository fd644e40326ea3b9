"""Tasks whose answers are several features that matter equally: balanced, independent, of known complexity.

After Lampinen, Chan and Hermann (2024), section 3. A network that answers all of them computes all of them; what its
representation then favours is a property of learning, not of what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from sememe.errors import InputError

TOLERANCE = 0.02
N_ORDINARY = 8  # tokens of a sequence task that are no markers, at least


@dataclass(frozen=True, eq=False)
class FeatureTask:
    """Inputs and the features that a network must answer.

    Attributes:
        X: (n, bits) float32 bits, or (n, length) int64 tokens.
        F: (n, features), int8, 0 or 1.
        names: of the features.
        kinds: what each of them is.
        places: feature -> which columns of X it depends on.
        vocabulary: how many tokens there are; 0 for bits.
    """

    X: np.ndarray
    F: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    places: Mapping[str, range]
    vocabulary: int = 0

    def take(self, rows: slice | np.ndarray) -> FeatureTask:
        """The same task with these inputs only."""
        return replace(self, X=self.X[rows], F=self.F[rows])

    def sub_features(self, name: str) -> np.ndarray:
        """The bits that a feature of bits depends on, (n, bits): the inputs of an XOR, say."""
        bits: np.ndarray = self.X[:, list(self.places[name])].astype(np.int8)
        return bits


def _parity(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = x.sum(axis=1) % 2
    return found


BIT_KINDS: Mapping[str, tuple[int, Callable[[np.ndarray], Any]]] = {
    "linear": (1, lambda x: x[:, 0]),
    "and": (2, lambda x: x.all(axis=1)),
    "or": (2, lambda x: x.any(axis=1)),
    "xor": (2, _parity),
    "parity3": (3, _parity),
    "parity4": (4, _parity),
    "xor_of_ands": (4, lambda x: x[:, :2].all(axis=1) ^ x[:, 2:].all(axis=1)),
    "sum_mod3_is0": (4, lambda x: x.sum(axis=1) % 3 == 0),
    "majority5": (5, lambda x: x.sum(axis=1) >= 3),
}
"""Kind -> how many bits it reads, and the feature of bits (n, that many)."""

TOKEN_KINDS = ("marker", "equal")
"""`marker`: whether the feature's own token stands anywhere in its part of the sequence. `equal`: whether the first and
the last token of its part are the same, whatever they are."""


def make_boolean(
    n: int, features: Mapping[str, str] | None = None, n_bits: int = 32, random_state: int = 0
) -> FeatureTask:
    """Vectors of fair bits; every feature reads bits of its own, and the rest distract.

    Every feature is 1 in half of the inputs: its value is drawn first, and its bits uniformly among the patterns with
    that value. With 32 bits no test input is likely to repeat a training input.

    Args:
        n: how many inputs.
        features: name -> kind, a key of `BIT_KINDS`; by default an easy `linear` and a hard `parity4`.
        n_bits: length of the inputs.
        random_state: seed.

    Raises:
        InputError: a kind is unknown, or the bits are too few for the features.
    """
    wanted = {"easy": "linear", "hard": "parity4"} if features is None else dict(features)
    _check(n, wanted, tuple(BIT_KINDS))
    stride = n_bits // len(wanted)
    places = {}
    for number, (name, kind) in enumerate(wanted.items()):
        size = BIT_KINDS[kind][0]
        if size > stride:
            hint = f"Give {size * len(wanted)} bits or more"
            raise InputError(f"{n_bits} bits are too few for {len(wanted)} features", where="n_bits", hint=hint)
        places[name] = range(number * stride, number * stride + size)
    rng = np.random.default_rng([random_state, 11])
    X = rng.integers(0, 2, (n, n_bits))
    F = rng.integers(0, 2, (n, len(wanted)), dtype=np.int8)
    for column, (name, kind) in enumerate(wanted.items()):
        size, function = BIT_KINDS[kind]
        patterns = np.array(list(product((0, 1), repeat=size)))
        values = function(patterns).astype(bool)
        for value in (0, 1):
            rows, fitting = np.flatnonzero(F[:, column] == value), patterns[values == bool(value)]
            X[np.ix_(rows, np.asarray(places[name]))] = fitting[rng.integers(0, len(fitting), len(rows))]
    return FeatureTask(X.astype(np.float32), F, tuple(wanted), tuple(wanted.values()), places)


def make_sequences(
    n: int, features: Mapping[str, str] | None = None, length: int = 16, vocabulary: int = 64, random_state: int = 0
) -> FeatureTask:
    """Sequences of tokens; every feature reads a part of its own, and has a marker of its own.

    Tokens `0 ... features - 1` are the markers, which stand nowhere but where a feature of kind `marker` puts them.

    Args:
        n: how many sequences.
        features: name -> kind, one of `TOKEN_KINDS`; by default an easy `marker` and a hard `equal`.
        length: tokens of a sequence.
        vocabulary: how many tokens there are, markers included.
        random_state: seed.

    Raises:
        InputError: a kind is unknown, or length or vocabulary are too small for the features.
    """
    wanted = {"easy": "marker", "hard": "equal"} if features is None else dict(features)
    _check(n, wanted, TOKEN_KINDS)
    part, n_markers = length // len(wanted), len(wanted)
    if part < 2 or vocabulary < n_markers + N_ORDINARY:
        hint = f"Give a length of {2 * n_markers} and a vocabulary of {n_markers + N_ORDINARY} or more"
        raise InputError(f"too short or too few tokens for {n_markers} features", where="make_sequences", hint=hint)
    rng = np.random.default_rng([random_state, 12])
    X = rng.integers(n_markers, vocabulary, (n, length))
    F = rng.integers(0, 2, (n, n_markers), dtype=np.int8)
    places = {name: range(number * part, (number + 1) * part) for number, name in enumerate(wanted)}
    for marker, (name, kind) in enumerate(wanted.items()):
        first, yes = places[name].start, F[:, marker] == 1
        if kind == "marker":
            chosen = first + rng.integers(0, part, n)
            X[np.flatnonzero(yes), chosen[yes]] = marker
        else:
            other = n_markers + (X[:, first] - n_markers + rng.integers(1, vocabulary - n_markers, n)) % (
                vocabulary - n_markers
            )
            X[:, first + part - 1] = np.where(yes, X[:, first], other)
    return FeatureTask(X, F, tuple(wanted), tuple(wanted.values()), places, vocabulary)


def check_independence(F: np.ndarray, names: tuple[str, ...] | None = None, tol: float = TOLERANCE) -> None:
    """Refuse features whose explained variances would not add up.

    Two features are taken for correlated when |r| is above `tol` by more than three standard errors of chance.

    Args:
        F: (n, features), 0 or 1.
        names: of the features, for the message.
        tol: the largest correlation that does not matter.

    Raises:
        InputError: a feature is constant, or two are correlated; the message names them.
    """
    named = names or tuple(f"feature {number}" for number in range(F.shape[1]))
    constant = [name for name, column in zip(named, F.T, strict=True) if column.min() == column.max()]
    if constant:
        raise InputError(f"always the same: {', '.join(constant)}", where="features", hint="Leave such features out")
    r = np.atleast_2d(np.corrcoef(F.astype(np.float64), rowvar=False))
    np.fill_diagonal(r, 0.0)
    first, second = np.unravel_index(int(np.abs(r).argmax()), r.shape)
    if abs(r[first, second]) > tol + 3 / np.sqrt(len(F)):
        raise InputError(
            f"{named[first]} and {named[second]} are correlated (r = {r[first, second]:+.2f}), so that their explained "
            "variances do not add up",
            where="features",
            hint="Draw them independently, or look at the joint share only",
        )


def _check(n: int, features: Mapping[str, str], kinds: tuple[str, ...]) -> None:
    if n < 1 or not features:
        raise InputError(f"{n} inputs with {len(features)} features", hint="Give one or more of both")
    for name, kind in features.items():
        if kind not in kinds:
            raise InputError(f"there is no kind {kind!r}", where=f"feature {name}", hint=f"Use {', '.join(kinds)}")
