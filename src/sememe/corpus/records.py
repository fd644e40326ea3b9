"""From a record's fields to a document: which field is what, and which values can be kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sememe.corpus.config import ReadConfig
from sememe.corpus.document import Document
from sememe.corpus.entries import BadRecordError, Entry, Fields, Problem
from sememe.corpus.values import LEFT_OUT, check_text, json_value

ID_FIELDS = ("_id", "id", "doc_id", "docid")
TITLE_FIELDS = ("title", "headline", "heading")
TEXT_FIELDS = ("text", "abstract", "body", "content", "contents", "passage", "document", "summary", "description")


def to_documents(records: Iterable[tuple[int, Fields] | Problem], config: ReadConfig, label: str) -> Iterator[Entry]:
    """Make a document of each record, or a problem at `LABEL:NUMBER`."""
    make = document_maker(config)
    for record in records:
        if isinstance(record, Problem):
            yield record
            continue
        number, fields = record
        try:
            yield number, make(fields)
        except BadRecordError as bad:
            yield Problem.at(f"{label}:{number}", bad)


def document_maker(config: ReadConfig) -> Callable[[Fields], Document]:
    """A function from a record's fields to a document; it raises `BadRecordError`.

    Which field is what is decided anew for each set of field names, so that records of several shapes may follow
    each other. A field `metadata` that holds an object (BEIR) is merged into the document's metadata.
    """

    @lru_cache(maxsize=256)
    def roles(names: tuple[str, ...]) -> _Roles:
        return _find_roles(names, config)

    def make(fields: Fields) -> Document:
        role = roles(tuple(fields))
        title = _text(fields, role.title) if role.title is not None else ""
        text = "\n".join(_text(fields, name) for name in role.text)
        metadata = _metadata(fields, role.used)
        identifier = _identifier(fields, role.id) if role.id is not None else ""
        return Document(identifier or content_id(title, text, metadata), text, title, metadata)

    return make


def content_id(title: str, text: str, metadata: Mapping[str, Any]) -> str:
    """The id of a record that has none: 128 bits of BLAKE2b over its content, in hexadecimal.

    Metadata count, so that the same words said at two dates are two records; the order of fields does not.
    """
    canonical = json.dumps([title, text, metadata], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def storable(document: Any) -> Document:
    """The document with its metadata as JSON values; refuses what could not be written down later."""
    if not isinstance(document, Document):
        raise BadRecordError(f"is {_kind(document)}, not a Document", "Make it with Document(id=..., text=...)")
    for name in ("id", "text", "title"):
        value = getattr(document, name)
        if not isinstance(value, str):
            raise BadRecordError(f"has {_kind(value)} as its {name}, not text")
        check_text(value, name)
    if not document.id:
        raise BadRecordError("has an empty id")
    metadata = json_value(dict(document.metadata))
    return document if metadata == document.metadata else replace(document, metadata=metadata)


@dataclass(frozen=True, slots=True)
class _Roles:
    id: str | None
    title: str | None
    text: tuple[str, ...]

    @property
    def used(self) -> frozenset[str]:
        return frozenset(name for name in (self.id, self.title, *self.text) if name is not None)


def _find_roles(names: tuple[str, ...], config: ReadConfig) -> _Roles:
    text: tuple[str, ...] = ()
    if config.text_field is None:
        found = _first(names, TEXT_FIELDS)
        if found is None:
            raise BadRecordError(
                f"has no text field (looked for {', '.join(TEXT_FIELDS)}; found {_listed(names)})",
                "Name the field with --text-field",
            )
        text = (found,)
    elif config.text_field in names:  # a name may itself contain a comma
        text = (config.text_field,)
    else:
        text = tuple(_required(names, name.strip()) for name in config.text_field.split(","))
    title = _first(names, TITLE_FIELDS) if config.title_field is None else _required(names, config.title_field)
    identifier = _first(names, ID_FIELDS) if config.id_field is None else _required(names, config.id_field)
    return _Roles(identifier, title, text)


def _first(names: tuple[str, ...], wanted: tuple[str, ...]) -> str | None:
    by_lower: dict[str, str] = {}
    for name in names:
        by_lower.setdefault(name.lower(), name)
    return next((by_lower[name] for name in wanted if name in by_lower), None)


def _required(names: tuple[str, ...], name: str) -> str:
    if name not in names:
        raise BadRecordError(f"has no field {name!r} (found {_listed(names)})")
    return name


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name)[:80] for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown or "no fields at all"


def _text(fields: Fields, name: str) -> str:
    value = fields[name]
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n".join(value)  # abstracts are often kept as a list of sentences
    if not isinstance(value, str):
        raise BadRecordError(f"has {_kind(value)} in the field {name!r}, not text")
    check_text(value, name)
    return value


def _identifier(fields: Fields, name: str) -> str:
    value = fields[name]
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise BadRecordError(f"has {_kind(value)} as its id in the field {name!r}, not text or a whole number")
    check_text(value, name)
    return value


def _metadata(fields: Fields, used: frozenset[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    nested = fields.get("metadata")
    merged = isinstance(nested, dict) and "metadata" not in used
    if merged:
        metadata.update(json_value(nested))
    for name, value in fields.items():
        if name not in used and not (merged and name == "metadata"):
            check_text(name, "the name of a field")
            kept = json_value(value)
            if kept is not LEFT_OUT:
                metadata[name] = kept
    return metadata


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "nothing" if value is None else names.get(type(value), f"a value of type {type(value).__name__}")
