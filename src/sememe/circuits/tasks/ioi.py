"""Indirect object identification: two people, one of them acts, and the other one is who the sentence ends with.

The task is that of Wang et al. (arXiv 2211.00593); templates and word lists are our own.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sememe.circuits.tasks.task import Pair, Task
from sememe.circuits.tasks.vocabulary import NAMES, OBJECTS, PLACES, whole_words

if TYPE_CHECKING:
    from sememe.models import LanguageModel

TEMPLATES = (
    "Yesterday {first} and {second} visited the {place}, and {subject} handed a {object} to",
    "On Monday morning {first} and {second} met at the {place}. Soon {subject} passed the {object} to",
    "Since {first} and {second} had become neighbours, {subject} lent a {object} to",
    "While {first} and {second} waited outside the {place}, {subject} showed the {object} to",
    "Last summer {first} and {second} worked together in a {place}. One evening {subject} brought a {object} to",
    "In the story, {first} and {second} find a {object} near the {place}, and {subject} gives it to",
    "As soon as {first} and {second} reached the {place}, {subject} offered the {object} to",
    "The teacher saw that {first} and {second} were talking at the {place}. Then {subject} threw a {object} to",
    "At the {place}, {first} and {second} shared a table, and {subject} sold the {object} to",
    "Before {first} and {second} left the {place}, {subject} returned a {object} to",
    "Everyone knew that {first} and {second} quarrelled at the {place}. Later {subject} sent a {object} to",
    "After the concert {first} and {second} walked past the {place}, where {subject} gave the {object} to",
)
CORRUPTIONS = ("other-names", "third-name", "swap")


def ioi(lm: LanguageModel, n: int = 64, seed: int = 0, corruption: str = "other-names") -> Task:
    """Pairs of indirect object identification.

    In a positive prompt the acting person was named before, so the other one is the answer. The negative prompt:

    - `other-names`: three other people, nobody named twice. Neither answer is more likely than the other one.
    - `third-name`: nobody is named twice, but both answers are still there (section 3.6 of the circuits paper's spec).
      Whoever acts is rarely the receiver, so a model often prefers the same answer as before.
    - `swap`: the other person acts, which turns the answer round.

    Args:
        lm: the model; names, places and objects are single tokens of it.
        n: how many pairs; both orders of the names are equally frequent.
        seed: of the drawing.
        corruption: one of these three.

    Raises:
        InputError: the model's tokenizer keeps too few of the words whole.

    """
    rng = random.Random(f"ioi {seed}")
    names = whole_words(lm, NAMES, 12)
    places, objects = whole_words(lm, PLACES, 3), whole_words(lm, OBJECTS, 3)
    pairs = []
    for number in range(n):
        group = rng.randrange(len(TEMPLATES))
        io, subject, third = rng.sample(names, 3)
        filled = {"place": rng.choice(places), "object": rng.choice(objects)}
        people = [io, subject] if number % 2 else [subject, io]
        if corruption == "swap":
            others, actor = people, io
        elif corruption == "third-name":
            others, actor = [io if name == subject else third for name in people], subject
        else:
            *others, actor = rng.sample([name for name in names if name not in people], 3)
        template = TEMPLATES[group]
        pairs.append(
            Pair(
                template.format(first=people[0], second=people[1], subject=subject, **filled),
                template.format(first=others[0], second=others[1], subject=actor, **filled),
                (f" {io}",),
                (f" {subject}",),
                group,
            )
        )
    return Task.of("ioi", pairs, lm, corruption=corruption)
