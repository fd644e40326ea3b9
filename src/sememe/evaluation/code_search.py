"""Code search in the user's own environment: installed functions, asked for by their docstrings.

As in CodeSearchNet and CoIR: a document is a function without its docstring, a query the first paragraph of the
docstring. The labels are free and the code is what the user works with, so this says how well an encoder or a pipeline
finds that; it is for evaluation, since a docstring is an easier question than what people type.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sememe import disk
from sememe.corpus.python_files import find_modules
from sememe.errors import InputError
from sememe.evaluation.docstring_pairs import Pair, package_pairs

PREFIX = "python:"
MOST_FUNCTIONS, MOST_QUERIES, LEAST_PAIRS = 5_000, 500, 20


def collection_folder(source: str | Path) -> Path:
    """The BEIR folder that `source` names: itself, or one made of installed packages.

    Args:
        source: a folder, or `python:PACKAGE`, `python:PACKAGE,PACKAGE` or `python:stdlib`. A folder that is made is
            kept in the cache folder, and made again when a file of the packages has changed.

    Raises:
        InputError: there is no such package, or its functions with docstrings are too few.

    """
    text = str(source)
    if not text.startswith(PREFIX):
        return Path(source)
    packages = [name.strip() for name in text.removeprefix(PREFIX).split(",") if name.strip()]
    if not packages:
        raise InputError("names no package", where=text, hint="Write it like python:json,http or python:stdlib")
    name = re.sub("[^A-Za-z0-9.]+", "-", "-".join(packages))[:60]
    folder = disk.cache_folder() / "code-search" / f"python-{name}-{_state(packages)}"
    if not (folder / "queries.jsonl").is_file():
        _write(folder, packages, text)
    return folder


def _state(packages: list[str]) -> str:
    """A hash of which files there are, how long they are and when they were changed."""
    digest = hashlib.sha256()
    for package in packages:
        for module in find_modules(package):
            found = module.file.stat()
            digest.update(f"{module.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _write(folder: Path, packages: list[str], source: str) -> None:
    """Corpus, judgements and, last, queries, so that these stand for all."""
    pairs = [found for package in packages for found in package_pairs(package)]
    if len(pairs) < LEAST_PAIRS:
        raise InputError(
            f"has {len(pairs)} functions with a docstring and a body; {LEAST_PAIRS} are the least that say anything",
            where=source,
            hint="Name more packages, or python:stdlib",
        )
    draw = random.Random(0)
    draw.shuffle(pairs)
    pairs = pairs[:MOST_FUNCTIONS]
    asked = pairs[:MOST_QUERIES]
    documents = [
        {"_id": f"f{number}", "title": "", "text": _code(pair), "metadata": {"module": module}}
        for number, (module, pair) in enumerate(pairs)
    ]
    queries = [{"_id": f"q{number}", "text": pair.docstring} for number, (_, pair) in enumerate(asked)]
    judgements = "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\tf{n}\t1\n" for n in range(len(asked)))
    disk.make_folder(folder / "qrels")
    disk.write_file(folder / "corpus.jsonl", _lines(documents))
    disk.write_file(folder / "qrels" / "test.tsv", judgements.encode())
    disk.write_file(folder / "queries.jsonl", _lines(queries))


def _code(pair: Pair) -> str:
    return f"{pair.signature}\n    {pair.body.replace(chr(10), chr(10) + '    ')}"


def _lines(records: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()
