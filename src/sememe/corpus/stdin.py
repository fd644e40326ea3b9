"""Standard input, kept in a temporary file so that it can be read more than once."""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from sememe.corpus.entries import BadRecordError, Fields, Problem
from sememe.corpus.json_lines import json_records
from sememe.corpus.streams import Lines, open_utf8
from sememe.errors import InputError


class Spool:
    """All of standard input in a temporary file that goes when this object goes, or with the process.

    Raises:
        InputError: standard input is a terminal, or the disk is full.
    """

    def __init__(self) -> None:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError(
                "nothing is piped in", where="stdin", hint="Use it behind a pipe: zcat FILE.gz | sememe index - ..."
            )
        with tempfile.NamedTemporaryFile(prefix="sememe-stdin-", delete=False) as file:
            self.path = Path(file.name)
            weakref.finalize(self, self.path.unlink, missing_ok=True)
            try:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            except OSError as error:
                raise InputError(
                    f"cannot be kept in {self.path.parent} ({error.strerror})",
                    where="stdin",
                    hint="Name a folder with more room in the variable TMPDIR",
                ) from None

    def records(self, encoding: str) -> Iterator[tuple[int, Fields] | Problem]:
        """JSON lines when the first line that is not blank begins with `{`; otherwise a document a line."""
        if _begins_with_brace(self.path, encoding):
            return json_records(self.path, "stdin", encoding)
        return _line_records(self.path, encoding)


def _begins_with_brace(path: Path, encoding: str) -> bool:
    with open_utf8(path, "stdin", encoding) as stream:
        while piece := stream.read(1 << 16):
            if text := piece.lstrip():
                return text.startswith(b"{")
    return False


def _line_records(path: Path, encoding: str) -> Iterator[tuple[int, Fields] | Problem]:
    with open_utf8(path, "stdin", encoding) as stream:
        lines = Lines(stream)
        while True:
            try:
                text = next(lines).strip()
                if text:
                    yield lines.number, {"text": text}
            except StopIteration:
                return
            except BadRecordError as bad:
                yield Problem.at(f"stdin:{lines.number}", bad)
