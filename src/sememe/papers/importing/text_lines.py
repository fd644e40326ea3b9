"""The lines of a text in which a paper takes several of them; a line that cannot be read is told, not the end."""

from __future__ import annotations

import io
from collections.abc import Iterator

from sememe.corpus.entries import BadRecordError, Problem
from sememe.corpus.streams import Lines


class TextLines:
    """The good lines of a stream; `number` is that of the last one, and `problems` tells about bad ones.

    A line is bad when it is too long, not UTF-8, or holds a NUL.
    """

    def __init__(self, stream: io.BufferedReader, label: str) -> None:
        self._lines = Lines(stream)
        self.label = label
        self._problems: list[Problem] = []

    @property
    def number(self) -> int:
        """The number of the last line, from 1."""
        return self._lines.number

    def __iter__(self) -> Iterator[str]:
        while True:
            try:
                yield next(self._lines)
            except StopIteration:
                return
            except BadRecordError as bad:
                self._problems.append(Problem.at(f"{self.label}:{self.number}", bad))

    def problems(self) -> list[Problem]:
        """The bad lines since this was last asked."""
        found, self._problems = self._problems, []
        return found
