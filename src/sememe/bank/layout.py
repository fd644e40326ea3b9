"""The files of a bank and the header in its journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sememe import __version__
from sememe.bank.encoding import SCALE, STORED
from sememe.errors import ArtifactError, InputError
from sememe.journal import JOURNAL, Journal

FORMAT = "bank"
FORMAT_VERSION = 1
VECTORS = "vectors.bin"
SCALES = "scales.bin"
DOCUMENTS = "documents.bin"
POSITIONS = "positions.bin"
IDS = "document_ids.jsonl"
INTEGERS: dict[str, np.dtype[Any]] = {DOCUMENTS: np.dtype("<i8"), POSITIONS: np.dtype("<i4")}


@dataclass(frozen=True)
class Header:
    """What the first commit of a bank says."""

    dimensions: int
    dtype: str
    provenance: Mapping[str, Any]


def files(dtype: str) -> list[str]:
    """The bank's own files."""
    return [VECTORS, *([SCALES] if dtype == "int8" else []), DOCUMENTS, POSITIONS, IDS]


def make_header(dimensions: int, dtype: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The header of a new bank.

    Raises:
        InputError: a value cannot be used.

    """
    if dtype not in STORED:
        raise InputError(
            f"numbers cannot be stored as {dtype!r}", where="dtype", hint=f"Choose from {', '.join(STORED)}"
        )
    try:
        plain = json.loads(json.dumps(dict(provenance), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"is not made of JSON values ({error})", where="provenance") from error
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "dimensions": positive(dimensions, "dimensions"),
        "dtype": dtype,
        "provenance": plain,
    }


def open_journal(path: Path, *, writable: bool) -> Journal:
    """Open the journal of a bank, or say why the folder is none."""
    if path.is_dir() and not (path / JOURNAL).is_file():
        hint = "Check the path, or make the bank again if its creation was interrupted"
        raise ArtifactError(f"is not a bank: it has no {JOURNAL}", where=str(path), hint=hint)
    return Journal.open(path, writable=writable)


def read_header(journal: Journal) -> Header:
    """Check the header of a bank.

    Raises:
        ArtifactError: it is not a bank's, or from a newer version.

    """
    header, where = journal.header, str(journal.folder)
    if header.get("format") != FORMAT:
        raise ArtifactError(f"is not a bank: its journal is of the format {header.get('format')!r}", where=where)
    version = header.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ArtifactError(
            f"is a bank of format version {version}; this Sememe ({__version__}) reads up to {FORMAT_VERSION}",
            where=where,
            hint="Install a newer Sememe",
        )
    dimensions, dtype, provenance = (header.get(name) for name in ("dimensions", "dtype", "provenance"))
    if (
        not isinstance(dimensions, int)
        or dimensions < 1
        or not isinstance(dtype, str)
        or dtype not in STORED
        or not isinstance(provenance, dict)
        or not set(files(dtype)) <= set(journal.commits[0].ends)
    ):
        raise ArtifactError("has a header that makes no sense", where=str(journal.path(JOURNAL)))
    return Header(dimensions, dtype, provenance)


def n_rows(journal: Journal, dimensions: int, dtype: str) -> int:
    """How many rows are committed.

    Raises:
        ArtifactError: the files hold different numbers of rows.

    """
    widths = {VECTORS: STORED[dtype].itemsize * dimensions, **{name: kind.itemsize for name, kind in INTEGERS.items()}}
    if dtype == "int8":
        widths[SCALES] = SCALE.itemsize
    counts = {name: journal.length(name) / width for name, width in widths.items()}
    if len(set(counts.values())) > 1:
        raise ArtifactError(f"holds different numbers of rows in its files: {counts}", where=str(journal.folder))
    count = counts[VECTORS]
    if count != int(count):
        raise ArtifactError("ends inside a row", where=str(journal.path(VECTORS)))
    return int(count)


def fingerprint(journal: Journal, dtype: str) -> str:
    """A hash of the header and of the length and checksum of the bank's own files."""
    last = journal.commits[-1]
    content = {name: [last.ends[name], last.checksums[name]] for name in files(dtype)}
    text = json.dumps([dict(journal.header), content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_ids(journal: Journal) -> list[str]:
    """The committed document ids."""
    with open(journal.path(IDS), "rb") as stream:
        lines = stream.read(journal.length(IDS)).decode("ascii", "replace").split("\n")
    try:
        return [str(json.loads(line)) for line in lines[:-1]]
    except ValueError as error:
        raise ArtifactError("is damaged", where=str(journal.path(IDS)), hint="Restore it from a copy") from error


def integers(values: Sequence[int] | np.ndarray | None, n: int, default: np.ndarray, file: str) -> np.ndarray:
    """One number a row as it is stored in `file`.

    Raises:
        InputError: not integers, not one a row, negative, or too large.

    """
    dtype, name = INTEGERS[file], file.removesuffix(".bin")
    array = default if values is None else np.asarray(values)
    if array.shape != (n,):
        raise InputError(f"has shape {array.shape}, but there are {n} rows", where=name)
    if values is not None and n:
        if array.dtype.kind not in "iu":
            raise InputError(f"holds {array.dtype}, not integers", where=name)
        if array.min() < 0 or array.max() > np.iinfo(dtype).max:
            raise InputError(f"holds a number that is negative or above {np.iinfo(dtype).max}", where=name)
    return array.astype(dtype)


def positive(value: int, name: str) -> int:
    """`value` as a whole number of at least 1.

    Raises:
        InputError: it is not.

    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"must be a whole number of at least 1, not {value!r}", where=name)
    return int(value)
