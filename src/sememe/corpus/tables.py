"""Tables: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.config import ReadConfig
from sememe.corpus.entries import BadRecordError, Fields, Problem
from sememe.corpus.streams import MAX_RECORD_BYTES, Lines, open_utf8
from sememe.errors import InputError
from sememe.extras import require

PARQUET_ROWS = 512
_OPEN_QUOTE = "Check for a quote that is not closed; when quotes are plain characters in this file, use --quote ''"


def csv_records(path: Path, label: str, config: ReadConfig, delimiter: str) -> Iterator[tuple[int, Fields] | Problem]:
    """The rows of a table with a header line, with the number of the line on which each begins."""
    # The module's own limit of 128 KiB a field is one setting for the whole process, and too small for documents.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
    with open_utf8(path, label, config.encoding) as stream:
        lines = Lines(stream)
        rows = _reader(lines, config, delimiter)
        header = _header(rows, label)
        while True:
            first = lines.number + 1
            try:
                row = next(rows)
                if row:
                    yield first, _fields(header, row, delimiter)
            except StopIteration:
                return
            except csv.Error as error:
                yield Problem(f"{label}:{first}", f"is malformed ({error})", _OPEN_QUOTE)
            except BadRecordError as bad:
                yield Problem.at(f"{label}:{first}", bad)


def parquet_records(path: Path, label: str) -> Iterator[tuple[int, Fields] | Problem]:
    """The rows of a Parquet file with their numbers, from 1. A few hundred rows are in memory at a time.

    Raises:
        InputError: the file is damaged.
        MissingExtraError: pyarrow is not installed.
    """
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    first = 1
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                yield from _rows(batch, first, label)
                first += batch.num_rows
    except (arrow.ArrowException, OSError) as error:
        message = str(error).splitlines()[0]
        raise InputError(
            f"cannot be read as Parquet ({message})", where=label, hint="Copy or download the file again"
        ) from None


def _reader(lines: Lines, config: ReadConfig, delimiter: str) -> Iterator[list[str]]:
    if config.quote:
        return csv.reader(lines, delimiter=delimiter, quotechar=config.quote, strict=True)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)


def _header(rows: Iterator[list[str]], label: str) -> list[str]:
    try:
        header = next((row for row in rows if row), [])
    except csv.Error as error:
        raise InputError(f"has a malformed header ({error})", where=f"{label}:1", hint=_OPEN_QUOTE) from None
    except BadRecordError as bad:
        raise InputError(bad.reason, where=f"{label}:1", hint=bad.hint) from None
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, start=1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"names the column {twice!r} twice", where=f"{label}:1", hint="The first line must name each column"
        )
    return names


def _fields(header: list[str], row: list[str], delimiter: str) -> Fields:
    if len(row) != len(header):
        raise BadRecordError(
            f"has {len(row)} fields where the header has {len(header)} (separator {delimiter!r})",
            "Mend the row, or name the separator with --delimiter",
        )
    return dict(zip(header, row, strict=True))


def _rows(batch: Any, first: int, label: str) -> Iterator[tuple[int, Fields] | Problem]:
    try:
        rows = batch.to_pylist()
    except ValueError:  # one value that Python cannot hold, such as text that is not UTF-8, spoils the whole batch
        yield from _rows_singly(batch, first, label)
    else:
        yield from enumerate(rows, start=first)


def _rows_singly(batch: Any, first: int, label: str) -> Iterator[tuple[int, Fields] | Problem]:
    for offset in range(batch.num_rows):
        try:
            yield first + offset, batch.slice(offset, 1).to_pylist()[0]
        except ValueError as error:
            yield Problem(f"{label}:{first + offset}", f"holds a value that cannot be read ({error})")
