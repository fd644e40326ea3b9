"""Test collections in the BEIR layout: `queries.jsonl` and `qrels/SPLIT.tsv` beside `corpus.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sememe.corpus import read
from sememe.errors import InputError
from sememe.evaluation.runs import lines_of_fields

_HINT = "A line must be: QUERY-ID tab DOCUMENT-ID tab SCORE"


class Collection(NamedTuple):
    """The judged queries of a test collection and their judgements; the documents are read by `sememe.read`.

    Attributes:
        queries: query id -> text, only those with judgements, in the order of the queries file.
        qrels: query id -> document id -> relevance, in the same order.

    """

    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_collection(folder: str | Path, split: str = "test") -> Collection:
    """Read the queries and judgements of a BEIR folder.

    Args:
        folder: it holds `queries.jsonl` and `qrels/SPLIT.tsv`, plain or .gz.
        split: which judgements, such as `test`.

    Raises:
        InputError: a file is missing or damaged, there is no such split, or a judged query has no text.

    """
    folder = Path(folder)
    texts = read_queries(_existing(folder / "queries.jsonl", "Give a folder in the BEIR layout"))
    path = _existing(
        folder / "qrels" / f"{split}.tsv", f"Splits that are there: {', '.join(_splits(folder)) or 'none'}"
    )
    qrels = read_qrels(path)
    unknown = [query for query in qrels if query not in texts]
    if unknown:
        raise InputError(
            f"judges {len(unknown)} queries that are not in the queries file, such as {unknown[0]!r}", where=str(path)
        )
    judged = [query for query in texts if query in qrels]
    return Collection({query: texts[query] for query in judged}, {query: qrels[query] for query in judged})


def read_queries(path: str | Path) -> dict[str, str]:
    """Read a queries file (JSON lines with `_id` and `text`, plain or .gz): query id -> text.

    Raises:
        InputError: the file or a line cannot be used, or an id is there twice; `where` is the line.

    """
    return {document.id: document.text for document in read(path)}


def read_qrels(path: str | Path) -> dict[str, dict[str, int]]:
    """Read judgements (tab-separated query id, document id, relevance; a header line may be first).

    Returns:
        Query id -> document id -> relevance.

    Raises:
        InputError: the file cannot be read or is empty, or a line is not a judgement or contradicts an earlier one;
            `where` is the line.

    """
    qrels: dict[str, dict[str, int]] = {}
    for number, (place, fields) in enumerate(lines_of_fields(path, "\t")):
        if number == 0 and fields[0] in ("query-id", "query_id", "qid"):
            continue
        if len(fields) != 3:
            raise InputError(f"has {len(fields)} fields instead of 3", where=place, hint=_HINT)
        query, document, relevance = fields[0], fields[1], _relevance(fields[2], place)
        if qrels.setdefault(query, {}).setdefault(document, relevance) != relevance:
            raise InputError(f"judges document {document!r} of query {query!r} again, differently", where=place)
    if not qrels:
        raise InputError("holds no judgements", where=str(path), hint=_HINT)
    return qrels


def _existing(path: Path, hint: str) -> Path:
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            return candidate
    raise InputError("does not exist", where=str(path), hint=hint)


def _splits(folder: Path) -> list[str]:
    return sorted({file.name.split(".")[0] for file in (folder / "qrels").glob("*.tsv*")})


def _relevance(text: str, place: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"has no whole number as its relevance: {text!r}", where=place, hint=_HINT) from None
