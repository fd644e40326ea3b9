"""A task: pairs of prompts that differ in what makes a model's answer right, and how the answer is scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.models import LanguageModel

MOST_LISTED = 8


@dataclass(frozen=True)
class Pair:
    """A prompt on which the task can be done, and its minimal counterpart on which it cannot.

    Attributes:
        positive: the prompt.
        negative: as many tokens, and nothing in it decides the answer.
        answer: continuations of `positive` that are right; each begins with a token of its own.
        wrong: continuations that are wrong.
        group: pairs that were made from one template; what stands at a place means the same in all of them.

    """

    positive: str
    negative: str
    answer: tuple[str, ...]
    wrong: tuple[str, ...]
    group: int = 0


@dataclass(frozen=True, eq=False)
class Task:
    """Pairs as a model reads them; made by `Task.of`.

    Attributes:
        name: such as `ioi`.
        corruption: how the negatives were made.
        pairs: the pairs as texts.
        positive: the token ids of each positive prompt.
        negative: those of each negative prompt.
        answer: the ids of the first tokens of each pair's answers.
        wrong: those of its wrong answers.

    """

    name: str
    corruption: str
    pairs: tuple[Pair, ...]
    positive: tuple[list[int], ...]
    negative: tuple[list[int], ...]
    answer: tuple[list[int], ...]
    wrong: tuple[list[int], ...]

    @classmethod
    def of(
        cls,
        name: str,
        pairs: Sequence[Pair],
        lm: LanguageModel,
        *,
        corruption: str = "given",
        where: Sequence[str] | None = None,
    ) -> Task:
        """Tokenise pairs and check them all.

        Args:
            name: the task's name.
            pairs: the pairs.
            lm: the model whose tokens count.
            corruption: how the negatives were made.
            where: the place of each pair for messages, such as `file:line`.

        Raises:
            InputError: there are none; or, all reported together: prompts of a pair differ in length or not at all,
                an answer does not begin with a token of its own, an answer is also wrong.

        """
        if not pairs:
            raise InputError(f"the task {name!r} has no pairs")
        places = list(where) if where is not None else [f"pair {place}" for place in range(len(pairs))]
        read = [_read(pair, lm) for pair in pairs]
        problems = [f"{place}: {problem}" for place, (_, found) in zip(places, read, strict=True) for problem in found]
        if problems:
            shown = "; ".join(problems[:MOST_LISTED])
            rest = f"; and {len(problems) - MOST_LISTED} more" if len(problems) > MOST_LISTED else ""
            raise InputError(f"the task {name!r} cannot be used: {shown}{rest}", hint="Repair these pairs")
        positive, negative, answer, wrong = zip(*(ids for ids, _ in read), strict=True)
        return cls(name, corruption, tuple(pairs), positive, negative, answer, wrong)

    def __len__(self) -> int:
        return len(self.pairs)

    def part(self, rows: Sequence[int]) -> Task:
        """Only some of the pairs, in the order given."""

        def pick(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[row] for row in rows)

        fields = (self.pairs, self.positive, self.negative, self.answer, self.wrong)
        return Task(self.name, self.corruption, *map(pick, fields))

    def by_length(self) -> list[np.ndarray]:
        """The rows of the pairs, those of equal length together, so that nothing is ever padded."""
        lengths = np.array([len(ids) for ids in self.positive])
        return [np.flatnonzero(lengths == length) for length in np.unique(lengths)]

    def groups(self) -> np.ndarray:
        """A number for each pair (n,): pairs of one template and length have the same."""
        keys = [(pair.group, len(ids)) for pair, ids in zip(self.pairs, self.positive, strict=True)]
        order = {key: number for number, key in enumerate(sorted(set(keys)))}
        return np.array([order[key] for key in keys])

    def logit_differences(self, logits: Any, rows: Iterable[int]) -> Any:
        """How far the model prefers right answers: log-sum-exp of their logits minus that of the wrong ones', in nats.

        With one answer on each side this is the logit difference.

        Args:
            logits: tensor (len(rows), vocabulary): the scores for what follows each prompt.
            rows: which pairs.

        """
        import torch

        found = [
            logits[place, self.answer[row]].logsumexp(0) - logits[place, self.wrong[row]].logsumexp(0)
            for place, row in enumerate(rows)
        ]
        return torch.stack(found)


def _read(pair: Pair, lm: LanguageModel) -> tuple[tuple[list[int], ...], list[str]]:
    """The ids of a pair's parts, and what is wrong with it."""
    positive, negative = lm.tokenize(pair.positive).ids, lm.tokenize(pair.negative).ids
    problems = []
    if not positive:
        problems.append("the positive prompt has no tokens")
    if len(positive) != len(negative):
        problems.append(f"the positive prompt has {len(positive)} tokens, the negative one {len(negative)}")
    elif positive == negative:
        problems.append("both prompts are the same")
    if len(positive) > lm.max_tokens:
        problems.append(f"the prompt has {len(positive)} tokens, the model reads {lm.max_tokens}")
    sides = []
    for side, texts in (("answer", pair.answer), ("wrong", pair.wrong)):
        if not texts:
            problems.append(f"{side!r} is empty")
        firsts = [_first_token(pair.positive, positive, text, lm) for text in texts]
        problems += [f"{text!r} is no token after the prompt" for text, token in zip(texts, firsts, strict=True)
                     if token is None]  # fmt: skip
        sides.append(sorted({token for token in firsts if token is not None}))
    if set(sides[0]) & set(sides[1]):
        problems.append("an answer begins with the same token as a wrong one")
    return (positive, negative, *sides), problems


def _first_token(prompt: str, ids: list[int], text: str, lm: LanguageModel) -> int | None:
    """The token that `text` begins with when it follows the prompt; None when it melts into the prompt."""
    whole = lm.tokenize(prompt + text).ids
    return whole[len(ids)] if len(whole) > len(ids) and whole[: len(ids)] == ids else None
