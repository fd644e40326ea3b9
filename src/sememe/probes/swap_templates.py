"""Sentences of our own in which only the order of words says who does what, or what is of which colour."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from sememe.errors import InputError

CONVERSES = (
    ("is left of", "is right of"),
    ("is above", "is below"),
    ("is in front of", "is behind"),
    ("is bigger than", "is smaller than"),
    ("is older than", "is younger than"),
    ("gave something to", "received something from"),
    ("is the parent of", "is the child of"),
    ("sold something to", "bought something from"),
    ("chases", "is chased by"),
    ("follows", "is followed by"),
    ("pushes", "is pushed by"),
    ("is watched by", "watches"),
)
"""A relation and its converse: "the a R the b" says the same as "the b R' the a"."""
NOUNS = (
    "dog", "cat", "horse", "bird", "man", "woman", "boy", "girl", "child", "doctor", "teacher", "farmer", "nurse",
    "sailor", "lion", "monkey", "rabbit", "elephant", "king", "queen",
)  # fmt: skip
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple")
OBJECTS = ("cube", "ball", "box", "cup", "chair", "table", "lamp", "book")


@dataclass(frozen=True)
class SwapCase:
    """A reference, a sentence that says the same in other words, and one that says something else in its words.

    Attributes:
        kind: the relation, or the pair of colours.
        reference: what is asked for.
        true: says the same.
        false: the same with its two parts swapped.
    """

    kind: str
    reference: str
    true: str
    false: str


def converse_cases(n: int = 1200, random_state: int = 0) -> list[SwapCase]:
    """Who does what to whom. The false sentence has exactly the words of the reference, the true one has others.

    A bag of words prefers the false one always, so it scores 0; guessing scores one half.
    """
    cases = [
        SwapCase(relation, f"the {a} {relation} the {b}", f"the {b} {converse} the {a}", f"the {b} {relation} the {a}")
        for relation, converse in CONVERSES
        for a, b in permutations(NOUNS, 2)
    ]
    return _sample(cases, n, random_state)


def attribute_cases(n: int = 800, random_state: int = 0) -> list[SwapCase]:
    """What is of which colour. True and false sentence have the same words, so a bag of words scores one half."""
    cases = [
        SwapCase(
            " and ".join(sorted((one, other))),
            f"a {one} {a} and a {other} {b}",
            f"the {a} is {one} and the {b} is {other}",
            f"the {a} is {other} and the {b} is {one}",
        )
        for one, other in permutations(COLOURS, 2)
        for a, b in permutations(OBJECTS, 2)
    ]
    return _sample(cases, n, random_state)


def _sample(cases: list[SwapCase], n: int, random_state: int) -> list[SwapCase]:
    if n < 1:
        raise InputError(f"{n} cases", hint="Give 1 or more")
    chosen = np.random.default_rng([random_state, 22]).permutation(len(cases))[:n]
    return [cases[place] for place in sorted(chosen)]
