"""The fields of a request that changes something: a form, or JSON sent by a script of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from fastapi import Request
from starlette.exceptions import HTTPException

from sememe.errors import InputError
from sememe.web.access import local_path
from sememe.web.form_keys import FormKeys

MAX_FIELDS = 2000
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@dataclass(frozen=True)
class SentFields:
    """What was sent.

    Attributes:
        fields: name -> values.
        is_json: whether a script sent it, which wants JSON back.
    """

    fields: Mapping[str, Sequence[str]]
    is_json: bool

    def __getitem__(self, name: str) -> str:
        """A field that must be there.

        Raises:
            InputError: it is not.
        """
        if not self.fields.get(name):
            raise InputError(f"the field {name!r} is missing")
        return self.fields[name][0]

    def get(self, name: str, default: str = "") -> str:
        """A field, or what stands for it."""
        return self.fields[name][0] if self.fields.get(name) else default

    @property
    def back(self) -> str:
        """The address to go to afterwards: one of ours, or the first page."""
        return local_path(self.get("back", "/"))


async def sent_fields(request: Request, keys: FormKeys | None) -> SentFields:
    """Read a request that changes something.

    Args:
        request: of any kind; other kinds than a form or JSON are refused, since other sites can send those.
        keys: what its `form_key` is checked with; None for what carries a proof of its own.

    Raises:
        HTTPException: it is of another kind (415), cannot be read (400), or comes from no page of ours (403).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (FORM, JSON):
        raise HTTPException(415, "only forms and JSON can be sent here")
    body = await request.body()
    try:
        fields = (
            _of_json(body) if kind == JSON else parse_qs(body.decode(), keep_blank_values=True, max_num_fields=2000)
        )
    except (ValueError, RecursionError):
        raise HTTPException(400, "what was sent cannot be read") from None
    sent = SentFields(fields, kind == JSON)
    if keys is not None:
        keys.check(sent.get("form_key"))
    return sent


def _of_form(body: bytes) -> dict[str, list[str]]:
    return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)


def _of_json(body: bytes) -> dict[str, list[str]]:
    given: Any = json.loads(body)
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ValueError
    return {name: [value] for name, value in given.items()}
