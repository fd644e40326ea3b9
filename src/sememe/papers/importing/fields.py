"""Records of named fields, from JSON lines, a JSON list or a table: which field is what."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sememe.corpus.entries import BadRecordError
from sememe.papers.importing.records import make_paper, month_number, read_day
from sememe.papers.paper import Paper

Fields = Mapping[str, Any]

TITLES = ("title",)
ABSTRACTS = ("abstract", "summary", "abstract note", "text")
AUTHORS = ("authors", "author")
DATES = ("date", "published", "publishedat", "publicationdate", "publication_date", "update_date", "updated")
YEARS = ("year", "publication year")
VOTES = ("votes", "upvotes")
ADDRESSES = ("url", "link", "pdf_url", "pdf")
VENUES = ("venue", "booktitle", "publication title", "journal", "journal-ref", "journal_ref", "conference")
CATEGORIES = ("categories", "category")
KEYWORDS = ("keywords", "keyword", "manual tags")
NAMES = ("id", "_id", "doi", "arxiv", "arxiv_id", "eprint", "openreview", "acl_id", "identities")
_SEPARATED = re.compile(r"\s*;\s*|\s+and\s+")
_NOT_FIRST_NAMES = frozenset(("", "inc", "ltd", "llc", "jr", "sr", "ii", "iii", "phd", "et al"))
_FORMULA = re.compile(r"'[=+\-@\t\r]")


def paper_from_fields(fields: Fields) -> Paper:
    """A paper from a record whose fields bear usual names, in any case.

    `year` and `month` make a date where there is none. An OpenReview id is taken from an id such as
    `corl2021:-JwmfQC6IRt` when the record's `source` says `openreview`.

    Raises:
        BadRecordError: there is no title, or a field is not of the kind it should be.

    """
    record = {name.strip().lower(): value for name, value in fields.items()}
    names: list[str] = []
    for name in NAMES:
        value = record.get(name)
        names += value if isinstance(value, list) else [] if value is None else [str(value)]
    names += _external_ids(record.get("externalids"))
    if text_of(record, "source").lower() == "openreview" and ":" in (own := text_of(record, "id")):
        names.append("openreview:" + own.rpartition(":")[2])
    return make_paper(
        _first_text(record, TITLES),
        names=[name for name in names if isinstance(name, str)],
        abstract=_first_text(record, ABSTRACTS),
        authors=names_of(_first(record, AUTHORS)),
        n_authors=a_count(record, "n_authors"),
        date=_date(record),
        votes=next((count for name in VOTES if (count := a_count(record, name)) is not None), None),
        url=_first_text(record, ADDRESSES),
        venue=_first_text(record, VENUES),
        categories=_categories(_first(record, CATEGORIES)),
        keywords=names_of(_first(record, KEYWORDS), comma=True),
        version=_version(record),
    )


def paper_from_row(row: Fields) -> Paper:
    """As `paper_from_fields`, for the cells of a table: a quote that kept a cell from being a formula is taken away.

    Raises:
        BadRecordError: see there.

    """
    return paper_from_fields(
        {name: cell[1:] if isinstance(cell, str) and _FORMULA.match(cell) else cell for name, cell in row.items()}
    )


def text_of(fields: Fields, name: str) -> str:
    """The text in a field; an absent one is empty, and a list of texts is joined.

    Raises:
        BadRecordError: there is something else in it.

    """
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRecordError(f"has something other than text in the field {name!r}")


def a_count(fields: Fields, name: str) -> int | None:
    """The whole number in a field, or None.

    Raises:
        BadRecordError: there is something else in it.

    """
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.strip(" ").isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRecordError(f"has no whole number in the field {name!r}: {str(value)[:40]}")
    return value


def names_of(value: Any, *, comma: bool = False) -> list[str]:
    """The names in a list of texts or of objects with a `name`, or in one text: with `;`, "and" or commas between them.

    `Lovelace, Ada; Turing, Alan` are two people, and so are `Ada Lovelace, Alan Turing` and `Lovelace, Ada and Turing,
    Alan`.

    Raises:
        BadRecordError: there is something else in the list.

    """
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return _split_names(value, comma=comma)
    if not isinstance(value, list):
        raise BadRecordError("has something other than a list of names where names belong")
    found = [part.get("name") if isinstance(part, dict) else part for part in value]
    names = [_in_order(part) for part in found if isinstance(part, str)]
    if len(names) < len(found):
        raise BadRecordError("has a list of names in which not everything is text")
    return names


def _split_names(text: str, *, comma: bool) -> list[str]:
    if ";" in text:
        return [_in_order(part) for part in text.split(";") if part.strip()]
    parts = [part for part in _SEPARATED.split(text) if part.strip()]
    # Without a given name behind each comma, as in "Lovelace, Ada", commas separate people.
    is_list = comma or (len(parts) <= 2 and any(part.count(",") > 1 or " " in part.partition(",")[0] for part in parts))
    if is_list:
        return [name.strip() for part in parts for name in part.split(",") if name.strip()]
    return [_in_order(part) for part in parts]


def _in_order(name: str) -> str:
    """`Lovelace, Ada` as `Ada Lovelace`; one with more commas, or with a title behind it (`Atoms, Inc.`), stays."""
    last, comma, first = name.partition(",")
    if not comma or "," in first or first.strip(" .").lower() in _NOT_FIRST_NAMES:
        return name.strip(" ,")
    return f"{first.strip()} {last.strip()}"


def _first(record: Fields, names: Iterable[str]) -> Any:
    return next((record[name] for name in names if record.get(name) not in (None, "", [])), None)


def _first_text(record: Fields, names: Iterable[str]) -> str:
    return next((text for name in names if (text := text_of(record, name)).strip()), "")


def _date(record: Fields) -> datetime.date | None:
    for name in DATES:
        if (text := text_of(record, name)).strip():
            day = read_day(text)
            if day is None:
                raise BadRecordError(f"has no date in the field {name!r}: {text[:40]}", "Write it like 2024-05-21")
            return day
    year = next((count for name in YEARS if (count := a_count(record, name)) is not None), None)
    if year is None:
        return None
    month = month_number(text_of(record, "month")) or 1
    if not 1 <= year <= 9999:
        raise BadRecordError(f"has the year {year}")
    return datetime.date(year, month, 1)


def _categories(value: Any) -> list[str]:
    # arXiv separates its categories by spaces.
    return re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else names_of(value)


def _external_ids(value: Any) -> list[str]:
    """Semantic Scholar's `{"ArXiv": "2405.12522", "DOI": "10.1000/x", "ACL": "P19-1001", ...}`."""
    known = {"ArXiv": "arxiv:", "DOI": "doi:", "ACL": "acl:"}
    return [known[kind] + str(name) for kind, name in value.items() if kind in known] if isinstance(value, dict) else []


def _version(record: Fields) -> int | None:
    versions = record.get("versions")  # arXiv's own snapshot: [{"version": "v1", "created": ...}]
    return a_count(record, "version") or (len(versions) if isinstance(versions, list) and versions else None)
