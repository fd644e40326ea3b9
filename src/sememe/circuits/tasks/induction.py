"""Induction: what followed a word the first time follows it again. Wording and word list are our own."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from sememe.circuits.tasks.task import Pair, Task
from sememe.circuits.tasks.vocabulary import NOUNS, whole_words

if TYPE_CHECKING:
    from sememe.models import LanguageModel

LENGTH, SHOWN = 8, 3
TEMPLATES = (
    "The list reads{words}. Read once more, it reads{again}",
    "First round:{words}. Second round:{again}",
    "They called out{words}, and then a second time{again}",
)
CORRUPTIONS = ("fresh", "shuffled")


def induction(lm: LanguageModel, n: int = 64, seed: int = 0, corruption: str = "fresh") -> Task:
    """Pairs of induction: a list of words is begun again, and the answer is the word that comes next in it.

    Args:
        lm: the model; the words are single tokens of it.
        n: how many pairs.
        seed: of the drawing.
        corruption: how the first list of a negative differs. `fresh`: the words that are repeated do not occur in
            it; `shuffled`: all words stand in another order, so that another one follows the last.

    Raises:
        InputError: the model's tokenizer keeps too few of the words whole.

    """
    rng = random.Random(f"induction {seed}")
    nouns = whole_words(lm, NOUNS, 3 * LENGTH)
    pairs = []
    for number in range(n):
        drawn = rng.sample(nouns, LENGTH + SHOWN)
        words, fresh = drawn[:LENGTH], drawn[LENGTH:]
        start = rng.randrange(LENGTH - SHOWN)
        again, following = words[start : start + SHOWN], words[start + SHOWN]
        if corruption == "fresh":
            others = [*words[:start], *fresh, *words[start + SHOWN :]]
        else:
            others = _shuffled(words, again[-1], following, rng)
        wrong = rng.choice([word for word in words if word not in (*again, following)])
        group = number % len(TEMPLATES)
        positive, negative = (
            TEMPLATES[group].format(words=_spaced(listed), again=_spaced(again)) for listed in (words, others)
        )
        pairs.append(Pair(positive, negative, (f" {following}",), (f" {wrong}",), group))
    return Task.of("induction", pairs, lm, corruption=corruption)


def _shuffled(words: list[str], last: str, following: str, rng: random.Random) -> list[str]:
    while True:
        others = rng.sample(words, len(words))
        if (last, following) not in itertools.pairwise(others):
            return others


def _spaced(words: list[str]) -> str:
    return "".join(f" {word}" for word in words)
