"""Tasks: pairs of prompts whose difference is what a circuit is looked for with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sememe.circuits.tasks import docstring, greater_than, induction, ioi
from sememe.circuits.tasks.reading import read_task
from sememe.circuits.tasks.task import Pair, Task
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.models import LanguageModel

__all__ = ["TASKS", "Pair", "Task", "make_task", "read_task"]


@dataclass(frozen=True)
class _Kind:
    make: Callable[[LanguageModel, int, int, str], Task]
    corruptions: Sequence[str]
    """The first is the default."""


TASKS = {
    "ioi": _Kind(ioi.ioi, ioi.CORRUPTIONS),
    "greater-than": _Kind(greater_than.greater_than, greater_than.CORRUPTIONS),
    "docstring": _Kind(docstring.docstring, docstring.CORRUPTIONS),
    "induction": _Kind(induction.induction, induction.CORRUPTIONS),
}
"""The built-in tasks by name."""


def make_task(name: str, lm: LanguageModel, n: int = 64, seed: int = 0, corruption: str | None = None) -> Task:
    """A built-in task, or one from a file of JSON lines.

    Args:
        name: one of `TASKS`, or a path.
        lm: the model.
        n: how many pairs to make; of a file, the first so many.
        seed: of the drawing.
        corruption: how negatives are made; by default the task's first way. Not for files.

    Raises:
        InputError: there is no such task, file or corruption, or it does not fit the model.

    """
    if n < 2:
        raise InputError(f"{n} pairs are too few", where="n", hint="Give 2 or more")
    if name not in TASKS:
        if not Path(name).is_file():
            raise InputError(f"there is no task {name!r}", hint=f"Use {', '.join(TASKS)}, or a file of JSON lines")
        if corruption is not None:
            raise InputError("the negatives of a file are given", where="corruption", hint="Leave it out")
        task = read_task(name, lm)
        return task.part(range(min(n, len(task))))
    kind = TASKS[name]
    chosen = corruption or kind.corruptions[0]
    if chosen not in kind.corruptions:
        raise InputError(
            f"{name} has no corruption {chosen!r}", where="corruption", hint=f"Use {', '.join(kind.corruptions)}"
        )
    return kind.make(lm, n, seed, chosen)
