"""Broken files of every format: our own errors and nothing else, and soon.

SEMEME_FUZZ says how many inputs of each format are tried (default 60).
"""

from __future__ import annotations

import os
import random
import time

import pytest

from papers.test_formats import TestRecognising
from sememe.errors import SememeError
from sememe.papers import Paper
from sememe.papers.exporting import EXPORTS, Kept, export
from sememe.papers.importing import ImportConfig, PaperSource

INPUTS = int(os.environ.get("SEMEME_FUZZ", "60"))
SEEDS = TestRecognising.SAMPLES
PIECES = [
    b"{", b"}", b'"', b",", b"@", b"@misc{", b"=", b"\\", b"$", b"%", b"#", b"\n", b"\r\n", b"\0", b"\xff",
    b"\xef\xbb\xbf",
    b"TY  - ", b"ER  - ", b"<", b"</", b"&", b"&#0;", b"]]>", b"<![CDATA[", b"[", b"]", b"null", b"1e999", b"NaN", b"-",
    b"title", b"authors", b" and ", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", "é".encode(), "\u202e".encode(), b"'" * 50,
    b"{" * 300, b"[" * 300, b"9" * 400, b"3 authors", b"May 1, 2024", b"May 99, 2024 7",
]  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few pieces put in, taken out, doubled or overwritten."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at, n = rng.randint(0, len(found)), rng.randint(1, 40)
        match rng.randint(0, 4):
            case 0:
                found[at:at] = rng.choice(PIECES)
            case 1:
                del found[at : at + n]
            case 2:
                found[at:at] = found[at : at + n]
            case 3:
                found[at : at + 1] = bytes([rng.randint(0, 255)])
            case _:
                found[at : at + n] = rng.choice(PIECES)
    return bytes(found)


@pytest.mark.parametrize("form", SEEDS)
@pytest.mark.parametrize("is_forced", [False, True])
def test_a_broken_file_is_refused_or_read(tmp_path, form, is_forced):
    rng = random.Random(f"{form} {is_forced}")
    file = tmp_path / "broken"
    slowest = n_read = n_refused = 0.0
    for _ in range(INPUTS):
        data = mutated(SEEDS[form].encode(), rng)
        file.write_bytes(data)
        started = time.process_time()
        try:
            papers = list(PaperSource(str(file), ImportConfig(form if is_forced else None, on_error="skip")))
        except SememeError as error:
            assert "broken" in str(error)
            n_refused += 1
        else:
            n_read += 1
            assert all(isinstance(paper, Paper) for paper in papers)
            _export_all(papers)
        slowest = max(slowest, time.process_time() - started)
    assert n_read > INPUTS / 100
    assert slowest < 2
    assert n_read + n_refused == INPUTS


def _export_all(papers: list[Paper]) -> None:
    for form in EXPORTS:
        "".join(export([Kept(paper) for paper in papers], form)).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"@misc{a, title={" + b"x " * 2_000_000 + b"}}",
        b"@misc{a, author={" + b"A and " * 100_000 + b"B}, title={T}}",
        b"@misc{a, title={" + b"\\'" * 50_000 + b"}}",
        b"title\n" + b'"' * 100_000,
        b'{"title": "' + b"x" * 3_000_000 + b'"}\n',
        b'{"title": "T", "authors": [' + b'"A",' * 50_000 + b'"B"]}\n',
        b"TY  - JOUR\n" + b"AU  - A\n" * 60_000 + b"ER  - \n",
        b"3 authors\n" * 50_000,
        b"@" * 200_000,
        b"<feed>" + b"<" * 100_000,
        b"arXiv:" * 50_000 + b"\n3 authors\n\xc2\xb7\nMay 1, 2024\n",
        b"(" * 100_000 + b"\n3 authors\n\xc2\xb7\nMay 1, 2024\n",
    ],
    ids=range(12),
)
def test_large_and_odd_files_do_not_take_long(tmp_path, data):
    file = tmp_path / "broken"
    file.write_bytes(data)
    started = time.process_time()
    try:
        list(PaperSource(str(file), ImportConfig(on_error="skip")))
    except SememeError as error:
        assert str(error)
    assert time.process_time() - started < 5
