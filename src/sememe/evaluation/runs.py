"""TREC run files: `query Q0 document rank score tag`, one hit a line. Every evaluation tool reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from sememe import disk
from sememe.corpus.streams import open_utf8
from sememe.errors import InputError
from sememe.evaluation.metrics import Run, ranking

N_FIELDS = 6


def write_run(path: str | Path, run: Run, *, tag: str) -> None:
    """Write a run file in one step, each query's documents in trec_eval's order; folders are made.

    Args:
        path: the file.
        run: scores by query and document; they are written so that reading gives the same numbers.
        tag: the name of the system.

    Raises:
        InputError: an id or the tag is empty or holds white space, which the format cannot express, or a score is
            not finite.

    """
    path = Path(path)
    _check_field(tag, f"tag {tag!r}")
    lines = []
    for query, scores in run.items():
        _check_field(query, f"query {query!r}")
        for rank, document in enumerate(ranking(scores), start=1):
            _check_field(document, f"query {query!r}, document {document!r}")
            score = float(scores[document])
            if not math.isfinite(score):
                raise InputError(f"the score is {score}", where=f"query {query!r}, document {document!r}")
            lines.append(f"{query} Q0 {document} {rank} {score!r} {tag}\n")
    disk.make_folder(path.parent)
    disk.write_file(path, "".join(lines).encode())


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a run file (also .gz): query id -> document id -> score. Ranks and tags are passed over, as by trec_eval.

    Raises:
        InputError: the file cannot be read, or a line is not a hit or repeats one; `where` is the line.

    """
    run: dict[str, dict[str, float]] = {}
    for place, fields in lines_of_fields(path):
        if len(fields) != N_FIELDS:
            raise InputError(
                f"has {len(fields)} fields instead of {N_FIELDS}",
                where=place,
                hint="A line must be: QUERY Q0 DOCUMENT RANK SCORE TAG",
            )
        query, _, document, _, score, _ = fields
        scores = run.setdefault(query, {})
        if document in scores:
            raise InputError(f"repeats document {document!r} of query {query!r}", where=place)
        scores[document] = _score(score, place)
    return run


def lines_of_fields(path: str | Path, separator: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """The lines of a text file as (place, fields); blank ones are left out.

    Args:
        path: the file, plain or gzip.
        separator: what separates fields; white space when left out.

    Raises:
        InputError: the file cannot be read, or a line is not UTF-8.

    """
    with open_utf8(Path(path), str(path)) as stream:
        for number, line in enumerate(stream, start=1):
            place = f"{path}:{number}"
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError(f"is not valid UTF-8 (byte {error.start + 1} of the line)", where=place) from None
            if text.strip():
                yield place, text.split(separator)


def _score(text: str, place: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"has no number as its score: {text!r}", where=place)
    return score


def _check_field(field: str, where: str) -> None:
    if not field or field.split() != [field]:
        raise InputError("is empty or holds white space, which a run file cannot express", where=where)
