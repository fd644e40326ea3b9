"""Greater-than: an event that began in one year can only end in a later one.

The task is that of Hanna et al. (arXiv 2305.00586); the wording and the list of events are our own. Tokenizers write
a year in different pieces. With two digits a token the answer is the rest of the year; with one digit a token it is
the decade, and the beginning year's own decade counts on neither side.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sememe.circuits.tasks.task import Pair, Task
from sememe.circuits.tasks.vocabulary import EVENTS, whole_words
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.models import LanguageModel

TEMPLATES = (
    "The {event} that began in the year {year} ended in the year {century}",
    "According to the chronicle, the {event} went on from the year {year} until the year {century}",
    "The {event} started in {year} and was over in {century}",
)
CORRUPTIONS = ("first-year", "century")
CENTURIES = tuple(range(12, 20))


def greater_than(lm: LanguageModel, n: int = 64, seed: int = 0, corruption: str = "first-year") -> Task:
    """Pairs of greater-than.

    Args:
        lm: the model.
        n: how many pairs.
        seed: of the drawing.
        corruption: `first-year`: the negative's event began in the century's year 01, so nothing is excluded (the
            circuits paper's own); `century`: in the year 01 of another century.

    Raises:
        InputError: the tokenizer writes years in some other way than one or two digits a token.

    """
    digits = _digits_a_token(lm)
    rng = random.Random(f"greater-than {seed}")
    events = whole_words(lm, EVENTS, 8)
    pairs = []
    for _ in range(n):
        group, century = rng.randrange(len(TEMPLATES)), rng.choice(CENTURIES)
        other = century if corruption == "first-year" else rng.choice([c for c in CENTURIES if c != century])
        year, later, earlier = _draw(rng, digits)
        event = rng.choice(events)
        pairs.append(
            Pair(
                TEMPLATES[group].format(event=event, year=f"{century}{year}", century=century),
                TEMPLATES[group].format(event=event, year=f"{other}01", century=century),
                later,
                earlier,
                group,
            )
        )
    return Task.of("greater-than", pairs, lm, corruption=corruption)


def _draw(rng: random.Random, digits: int) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The last two digits of a beginning, and the continuations that are later and earlier than it."""
    if digits == 1:
        decade = rng.randrange(2, 8)
        numbers = [str(digit) for digit in range(10)]
        return f"{decade}{rng.randrange(10)}", tuple(numbers[decade + 1 :]), tuple(numbers[:decade])
    year = rng.randrange(11, 98)
    numbers = [f"{number:02d}" for number in range(2, 99)]
    return f"{year:02d}", tuple(x for x in numbers if int(x) > year), tuple(x for x in numbers if int(x) < year)


def _digits_a_token(lm: LanguageModel) -> int:
    bare = len(lm.tokenize("in").ids)
    tokens = {text: len(lm.tokenize(f"in {text}").ids) - bare for text in ("17", "1743", "1856")}
    if tokens["1743"] == tokens["17"] + 1 == tokens["1856"]:
        return 2
    if tokens["1743"] == tokens["17"] + 2 == tokens["1856"]:
        return 1
    raise InputError(
        "the tokenizer writes years neither with one nor with two digits a token",
        where=lm.name,
        hint="Give prompts of your own with --task FILE",
    )
