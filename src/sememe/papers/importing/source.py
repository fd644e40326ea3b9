"""One door to all sources of papers: a file, standard input, an address, the arXiv API."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from sememe.corpus.corpus import MAX_LISTED, SKIP_HINT
from sememe.corpus.document import Skipped
from sememe.corpus.entries import Problem
from sememe.corpus.files import printable
from sememe.corpus.stdin import Spool
from sememe.errors import InputError
from sememe.papers.fetching import fetch
from sememe.papers.importing.arxiv_api import arxiv_papers
from sememe.papers.importing.formats import FORMATS, WHAT, Entry, recognise
from sememe.papers.importing.unpacking import unpacked
from sememe.papers.paper import Paper, one_line

ARXIV = "arxiv:"
ARXIV_LIMIT = 100


@dataclass(frozen=True, slots=True)
class ImportConfig:
    """How papers are read.

    Raises:
        InputError: a value is not allowed.

    """

    format: str | None = field(
        default=None,
        metadata={"help": "read it as this, whatever it looks like", "choices": tuple(FORMATS)},
    )
    on_error: str = field(
        default="stop",
        metadata={"help": "what to do with a bad record: stop, or skip it and count it", "choices": ("stop", "skip")},
    )
    limit: int | None = field(
        default=None, metadata={"help": f"read at most this many papers (from the arXiv API {ARXIV_LIMIT})"}
    )
    encoding: str = field(
        default="utf-8", metadata={"help": "the encoding of text files; a byte order mark goes first"}
    )

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InputError(f"there is no format {self.format!r}", hint=f"Use one of {', '.join(FORMATS)}")
        if self.on_error not in ("stop", "skip"):
            raise InputError(f"on_error is {self.on_error!r}, not stop or skip")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit is {self.limit}, which is below 1")
        try:
            " ".encode(self.encoding)
        except (LookupError, ValueError):
            raise InputError(f"encoding is {self.encoding!r}, which is not the name of a text encoding") from None


class PaperSource:
    """Papers that are read one at a time, while one iterates.

    Args:
        source: a path, `-` for standard input, an http(s) address, or `arxiv:` and a query or ids.
        config: how it is read.

    Raises:
        InputError: there is no such file.

    """

    def __init__(self, source: str, config: ImportConfig = ImportConfig()) -> None:
        self.source = source
        self.config = config
        self.skipped: list[Skipped] = []
        self.n_skipped = 0
        if not source.startswith(ARXIV) and source != "-" and "://" not in source:
            _require_file(source)

    def __iter__(self) -> Iterator[Paper]:
        """Read the source from its beginning.

        Raises:
            InputError: the source or one of its records cannot be used; `where` is the place.
            RemoteError: a server cannot be reached.

        """
        self.skipped, self.n_skipped = [], 0
        return islice(self._papers(), self.config.limit)

    def _papers(self) -> Iterator[Paper]:
        found = False
        for entry in self._entries():
            if isinstance(entry, tuple):
                found = True
                yield replace(entry[1], source=one_line(printable(self.source))[:500])
            elif isinstance(entry, Problem):
                self._refuse(entry)
            else:
                self._list(entry)
        if not found and not self.n_skipped:
            raise InputError("holds no papers", where=printable(self.source), hint=WHAT)

    def _entries(self) -> Iterator[Entry]:
        if self.source.startswith(ARXIV):
            yield from arxiv_papers(self.source.removeprefix(ARXIV), self.config.limit or ARXIV_LIMIT)
            return
        with _as_file(self.source) as (path, label), unpacked(path, label) as files:
            for file, name in files:
                form = self.config.format or recognise(file, name, self.config.encoding)
                yield from FORMATS[form](file, name, self.config.encoding)

    def _refuse(self, problem: Problem) -> None:
        if self.config.on_error == "skip":
            self._list(Skipped(problem.place, problem.reason))
            return
        hint = f"{problem.hint}, {SKIP_HINT}" if problem.hint else f"Mend it, {SKIP_HINT}"
        raise InputError(problem.reason, where=problem.place, hint=hint)

    def _list(self, skipped: Skipped) -> None:
        self.n_skipped += 1
        if len(self.skipped) < MAX_LISTED:
            self.skipped.append(skipped)


@contextlib.contextmanager
def _as_file(source: str) -> Iterator[tuple[Path, str]]:
    """The source as a file, with its name for messages."""
    if source == "-":
        spool = Spool()
        yield spool.path, "stdin"
    elif "://" in source:
        with tempfile.TemporaryDirectory(prefix="sememe-") as folder:
            path = Path(folder) / "fetched"
            with open(path, "wb") as stream:
                fetch(source, stream)
            yield path, source
    else:
        yield _require_file(source), printable(source)


def _require_file(source: str) -> Path:
    path = Path(source).expanduser()
    if not source or not path.is_file():
        what = "is a folder" if source and path.is_dir() else "there is no such file"
        hint = "Give a file, - for standard input, an http(s) address, or arxiv:QUERY"
        raise InputError(what, where=printable(source) or "the source", hint=hint)
    return path
