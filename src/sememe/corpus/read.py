"""One door to all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sememe.corpus.config import ReadConfig
from sememe.corpus.corpus import Corpus
from sememe.corpus.entries import Entry, Problem
from sememe.corpus.files import FORMATS, file_entries, file_format, folder_entries, printable, require_readable
from sememe.corpus.hub import HUB_ID, hub_records
from sememe.corpus.json_lines import json_records
from sememe.corpus.python_docs import python_entries
from sememe.corpus.python_files import find_modules
from sememe.corpus.records import to_documents
from sememe.corpus.stdin import Spool
from sememe.corpus.tables import csv_records, parquet_records
from sememe.errors import InputError, SememeError
from sememe.extras import require

ACCEPTED = (
    "Sources: a file .jsonl, .csv, .tsv (also .gz) or .parquet; a BEIR folder (with corpus.jsonl); a folder of, or one "
    f"of, {' '.join(FORMATS)}; - for standard input; python:stdlib, python:NAME or python: for the documentation of "
    "Python packages; hf:OWNER/NAME[:SPLIT] for a data set of the Hugging Face hub"
)
_JSON = (".jsonl", ".ndjson", ".json")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BEIR = ("corpus.jsonl", "corpus.jsonl.gz")

_Entries = Callable[[], Iterator[Entry]]


def read(source: str | Path, **options: Any) -> Corpus:
    """Documents from a source; nothing is read yet, except standard input.

    JSON lines, tables and data sets give a document a record. The fields `_id` or `id`, `title`, and `text`,
    `abstract`, `body` or `content` are found by name (`ReadConfig` names others); all other fields become metadata. A
    record without an id gets a hash of its content. A text file is one document with its relative path as id. On
    standard input a first line that begins with `{` means JSON lines; otherwise each line is a document.

    Args:
        source: a path, `-`, `python:...` or `hf:...` (for which `OWNER/NAME` will do).
        options: the fields of `ReadConfig`.

    Raises:
        InputError: the source is unknown, missing or has nothing to read; what is wrong inside it is raised while
            iterating.
        MissingExtraError: the source needs a package that is not installed.
    """
    config = ReadConfig(**options)
    label = printable(str(source))
    name, label, entries = _open(source, label, config)

    def pass_over() -> Iterator[Entry]:
        return _never_empty(entries(), label)

    return Corpus(
        printable(str(source)), pass_over, name=name, label=label, on_error=config.on_error, limit=config.limit
    )


def _open(source: str | Path, label: str, config: ReadConfig) -> tuple[str, str, _Entries]:
    """A name, the beginning of places in messages, and how to start a pass."""
    text = str(source)
    if text == "-":
        spool = Spool()
        return "stdin", "stdin", lambda: to_documents(spool.records(config.encoding), config, "stdin")
    if text.startswith("python:"):
        package = text.removeprefix("python:")
        find_modules(package)
        return text, text, lambda: python_entries(package)
    if text.startswith("hf:"):
        return _open_hub(text.removeprefix("hf:"), config)
    path = Path(source).expanduser()
    if not text or not path.exists():  # as a path, an empty text would be the current folder
        return _open_missing(text, config)
    if path.is_dir():
        return _open_folder(path, label, config)
    return path.name.split(".")[0] or path.name, label, _open_file(path, label, config)


def _open_folder(path: Path, label: str, config: ReadConfig) -> tuple[str, str, _Entries]:
    name = path.resolve().name
    corpus = next((path / inner for inner in _BEIR if (path / inner).is_file()), None)
    if corpus is not None:
        place = f"{label.rstrip('/')}/{corpus.name}"
        return name, place, _open_file(corpus, place, config)
    require_readable(path)
    return name, label, lambda: folder_entries(path, label, config.encoding)


def _open_file(path: Path, label: str, config: ReadConfig) -> _Entries:
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in _JSON:
        return lambda: to_documents(json_records(path, label, config.encoding), config, label)
    if suffix in _DELIMITERS:
        delimiter = config.delimiter or _DELIMITERS[suffix]
        return lambda: to_documents(csv_records(path, label, config, delimiter), config, label)
    if path.suffix.lower() == ".parquet":
        require("pyarrow.parquet", "parquet")
        return lambda: to_documents(parquet_records(path, label), config, label)
    if file_format(path.name):
        return lambda: file_entries(path, label, config.encoding)
    kind = f"its name ends in {path.suffix}" if path.suffix else "its name has no extension"
    raise InputError(f"is a file of an unknown kind ({kind})", where=label, hint=ACCEPTED)


def _open_hub(identifier: str, config: ReadConfig) -> tuple[str, str, _Entries]:
    label = f"hf:{identifier}"
    records = hub_records(identifier)
    return identifier, label, lambda: to_documents(records(), config, label)


def _open_missing(text: str, config: ReadConfig) -> tuple[str, str, _Entries]:
    looks_like_file = Path(text.lower().removesuffix(".gz")).suffix in (*_JSON, *_DELIMITERS, *FORMATS, ".parquet")
    if looks_like_file or not HUB_ID.fullmatch(text):
        raise InputError("there is no such file or folder", where=printable(text), hint=ACCEPTED)
    try:
        return _open_hub(text, config)
    except SememeError as error:
        raise InputError(
            f"there is no such file or folder, and as a Hugging Face data set: {error.message}",
            where=text,
            hint=f"{error.hint}. {ACCEPTED}",
        ) from error


def _never_empty(entries: Iterator[Entry], label: str) -> Iterator[Entry]:
    found, first_bad = False, None
    for entry in entries:
        found = found or isinstance(entry, tuple)
        first_bad = first_bad or (entry if isinstance(entry, Problem) else None)
        yield entry
    if not found:
        message = f"holds no usable record; the first is bad: {first_bad.reason}" if first_bad else "holds no documents"
        raise InputError(message, where=first_bad.place if first_bad else label, hint="Check the source")
