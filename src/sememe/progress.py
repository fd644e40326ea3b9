"""One way to show that long work is moving: rate and time left, silent when nobody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Bar:
    """A bar that counts without drawing; what is drawn is decided by `progress`."""

    def __init__(self) -> None:
        self.completed = 0

    def advance(self, amount: int = 1) -> None:
        self.completed += amount

    def describe(self, description: str) -> None:
        """Change the text in front of the bar."""


class _DrawnBar(Bar):
    def __init__(self, display: object, task: int) -> None:
        super().__init__()
        self._display, self._task = display, task

    def advance(self, amount: int = 1) -> None:
        super().advance(amount)
        self._display.advance(self._task, amount)  # type: ignore[attr-defined]

    def describe(self, description: str) -> None:
        self._display.update(self._task, description=description)  # type: ignore[attr-defined]


def is_watched() -> bool:
    """Whether a person can see a bar: standard error is a terminal and `SEMEME_QUIET` is unset."""
    return sys.stderr.isatty() and not os.environ.get("SEMEME_QUIET")


@contextmanager
def progress(description: str, total: int | None = None, *, unit: str = "it", done: int = 0) -> Iterator[Bar]:
    """A progress bar on standard error; draws nothing when it is not a terminal.

    Args:
        description: what is being done, in the -ing form.
        total: how many steps there are, or None when it is not known.
        unit: what is counted, in the plural.
        done: steps that an earlier, interrupted run has already finished.

    """
    if not is_watched():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "", style="dim")

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(""), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(description, total=total, completed=done)
        yield _DrawnBar(display, task)


def track(items: Iterable[Item], description: str, total: int | None = None, *, unit: str = "it") -> Iterator[Item]:
    """Iterate over `items` under a progress bar."""
    with progress(description, total, unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()
