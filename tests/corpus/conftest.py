"""Fixtures for the tests of reading: small files, and the error that reading them raises."""

from __future__ import annotations

import json

import pytest

from sememe.corpus import read
from sememe.errors import InputError


@pytest.fixture
def refuse():
    """Read a source to its end and return the error, which must be one of ours with a place and a hint."""

    def refuse(source, **options) -> InputError:
        with pytest.raises(InputError) as caught:
            list(read(source, **options))
        error = caught.value
        assert error.where
        assert error.hint
        str(error).encode()  # it can be printed
        return error

    return refuse


@pytest.fixture
def jsonl(tmp_path):
    """Write a JSON-lines file of records (objects, or lines as text or bytes) and return its path."""

    def write(*records, name="papers.jsonl"):
        lines = [record if isinstance(record, str | bytes) else json.dumps(record) for record in records]
        data = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write
