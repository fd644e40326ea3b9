"""Docstring completion: the parameters of a method are documented in the order of its signature.

The task is that of Heimersheim and Janiak (2023) as the circuits paper uses it; the layout is reStructuredText's, the
word lists are our own.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sememe.circuits.tasks.task import Pair, Task
from sememe.circuits.tasks.vocabulary import IDENTIFIERS, NOUNS, whole_words

if TYPE_CHECKING:
    from sememe.models import LanguageModel

PREFIX, MATCHING, SUFFIX = 2, 3, 1
CORRUPTIONS = ("unrelated", "documented")


def docstring(lm: LanguageModel, n: int = 64, seed: int = 0, corruption: str = "unrelated") -> Task:
    """Pairs of docstring completion.

    Args:
        lm: the model; identifiers and words are single tokens of it.
        n: how many pairs.
        seed: of the drawing.
        corruption: `unrelated`: the negative's signature and its documented parameters are other identifiers, so
            nothing links them (the circuits paper's own); `documented`: only the documented ones are others.

    Raises:
        InputError: the model's tokenizer keeps too few of the words whole.

    """
    rng = random.Random(f"docstring {seed}")
    identifiers, nouns = whole_words(lm, IDENTIFIERS, 24), whole_words(lm, NOUNS, 12)
    size = PREFIX + MATCHING + SUFFIX
    pairs = []
    for _ in range(n):
        drawn = rng.sample(identifiers, size + 1 + MATCHING + MATCHING - 1)
        method, arguments, others = drawn[0], drawn[1 : size + 1], drawn[size + 1 :]
        words = rng.sample(nouns, 3 + 2 * (MATCHING - 1))
        matching = arguments[PREFIX : PREFIX + MATCHING]
        documented = matching[:-1]
        signature = list(arguments)
        if corruption == "unrelated":
            signature[PREFIX : PREFIX + MATCHING] = others[:MATCHING]
        positive = _text(method, arguments, documented, words)
        negative = _text(method, signature, others[MATCHING:], words)
        wrong = [name for name in arguments if name not in matching]
        pairs.append(Pair(positive, negative, (f" {matching[-1]}",), tuple(f" {name}" for name in wrong)))
    return Task.of("docstring", pairs, lm, corruption=corruption)


def _text(method: str, arguments: list[str], documented: list[str], words: list[str]) -> str:
    lines = [f"\ndef {method}(self, {', '.join(arguments)}):", f'    """the {" ".join(words[:3])}', ""]
    for place, name in enumerate(documented):
        described = words[3 + 2 * place : 5 + 2 * place]
        lines.append(f"    :param {name}: {' '.join(described)}")
    return "\n".join([*lines, "    :param"])
