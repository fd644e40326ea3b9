import gzip
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.corpus import read
from sememe.corpus.entries import BadRecordError
from sememe.corpus.json_lines import parse
from sememe.errors import InputError


def test_records_become_documents(jsonl):
    record = {"_id": "d1", "title": "T", "text": "body", "metadata": {"year": 1999}, "tags": ["a", "b"]}
    (document,) = read(jsonl(record))
    assert (document.id, document.title, document.text) == ("d1", "T", "body")
    assert document.metadata == {"year": 1999, "tags": ["a", "b"]}


def test_compressed_plain_and_misnamed_are_the_same(jsonl, tmp_path):
    path = jsonl({"id": 1, "text": "é"}, {"id": 2, "text": "b"})
    packed = tmp_path / "papers.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    misnamed = tmp_path / "packed.jsonl"
    misnamed.write_bytes(packed.read_bytes())
    assert list(read(path)) == list(read(packed)) == list(read(misnamed)) == list(read(str(path)))
    assert read(packed).name == "papers"


def test_blank_lines_windows_ends_and_no_last_end(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'\r\n{"id": 1, "text": "a\xe2\x80\xa8b"}\r\n  \n{"id": 2, "text": "c"}')
    assert [document.text for document in read(path)] == ["a\u2028b", "c"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    path = tmp_path / "a.jsonl"
    lines = "".join(json.dumps({"id": i, "text": f"žluťoučký 🐎 {i}"}, ensure_ascii=False) + "\n" for i in range(9000))
    path.write_bytes(lines.encode(encoding))
    documents = list(read(path))
    assert len(documents) == 9000
    assert documents[8999].text == "žluťoučký 🐎 8999"


def test_another_encoding_can_be_named(tmp_path, refuse):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"id": 1, "text": "a"}\n{"id": 2, "text": "né"}\n'.encode("latin-1"))
    error = refuse(path)
    assert error.where == f"{path}:2"
    assert "not valid UTF-8 (0xe9 at byte 21)" in error.message
    assert "--encoding" in error.hint
    assert [document.text for document in read(path, encoding="latin-1")] == ["a", "né"]
    assert [document.text for document in read(path, on_error="skip")] == ["a"]


BAD_LINES = {
    "malformed": (b'{"id": 1, "text": "a"', "malformed JSON"),
    "two objects": (b'{"id": 1, "text": "a"} {}', "malformed JSON (Extra data"),
    "deep": (b'{"id": 1, "text": "a", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested"),
    "rather deep": (b'{"id": 1, "text": "a", "x": ' + b"[" * 300 + b"]" * 300 + b"}", "nested more than 100 deep"),
    "deep objects": (b'{"x":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
    "long number": (b'{"id": 1, "text": "a", "n": ' + b"1" * 5_000_000 + b"}", "a number of 5000000 characters"),
    "long fraction": (b'{"id": 1, "text": "a", "n": 0.' + b"1" * 5_000_000 + b"}", "a number of 5000002 characters"),
    "too large": (b'{"id": 1, "text": "a", "n": 1e999}', "too large: 1e999"),
    "NaN": (b'{"id": 1, "text": "a", "n": NaN}', "holds NaN"),
    "infinity": (b'{"id": 1, "text": "a", "n": -Infinity}', "holds -Infinity"),
    "key twice": (b'{"id": 1, "text": "a", "text": "b"}', "the key 'text' twice"),
    "inner key twice": (b'{"id": 1, "text": "a", "m": {"k": 1, "k": 2}}', "the key 'k' twice"),
    "latin-1": (b'{"id": 1, "text": "\xe9"}', "not valid UTF-8"),
    "overlong": (b'{"id": 1, "text": "\xc0\xaf"}', "not valid UTF-8"),
    "raw surrogate": (b'{"id": 1, "text": "\xed\xa0\x80"}', "not valid UTF-8"),
    "NUL": (b'{"id": 1, "text": "a\0b"}', "NUL"),
    "UTF-16 without a mark": ('{"id": 1, "text": "a"}'.encode("utf-16-le"), "UTF-16 without a byte order mark"),
    "control": (b'{"id": 1, "text": "a\x01b"}', "malformed JSON (Invalid control character"),
    "surrogate text": (b'{"id": 1, "text": "\\ud800"}', "surrogate pair (\\ud800) in 'text'"),
    "surrogate title": (b'{"id": 1, "text": "a", "title": "\\udfff"}', "surrogate"),
    "surrogate id": (b'{"id": "\\ud800", "text": "a"}', "surrogate"),
    "surrogate metadata": (b'{"id": 1, "text": "a", "x": [{"y": "\\ud800"}]}', "surrogate"),
    "surrogate key": (b'{"id": 1, "text": "a", "\\ud800": 1}', "surrogate"),
    "surrogate inner key": (b'{"id": 1, "text": "a", "x": {"\\ud800": 1}}', "surrogate"),
    "array": (b'[{"id": 1, "text": "a"}]', "JSON array"),
    "array begins": (b"[", "JSON array"),
    "a string": (b'"text"', "not an object"),
    "no text": (b'{"id": 1, "headline": "a", "words": "b"}', "found 'id', 'headline', 'words'"),
    "empty object": (b"{}", "found no fields at all"),
    "number as text": (b'{"id": 1, "text": 7}', "a number in the field 'text'"),
    "object as text": (b'{"id": 1, "text": {"a": 1}}', "an object in the field 'text'"),
    "mixed list as text": (b'{"id": 1, "text": ["a", 1]}', "a list in the field 'text'"),
    "flag as title": (b'{"id": 1, "text": "a", "title": true}', "true or false in the field 'title'"),
    "fraction as id": (b'{"id": 1.5, "text": "a"}', "a number as its id"),
    "flag as id": (b'{"id": true, "text": "a"}', "true or false as its id"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_line_stops_with_its_place_or_is_skipped(jsonl, refuse, case):
    line, message = BAD_LINES[case]
    path = jsonl({"id": "first", "text": "a"}, line, {"id": "last", "text": "b"})
    start = time.perf_counter()
    error = refuse(path)
    assert time.perf_counter() - start < 2
    assert error.where == f"{path}:2"
    assert message in error.message
    assert len(str(error)) < 1000
    assert "--on-error skip" in error.hint
    corpus = read(path, on_error="skip")
    # 0x0a and 0x00 end a UTF-16 line in the middle of a character, so it makes two bad ones.
    ids = [document.id for document in corpus]
    assert ids[0] == "first"
    assert corpus.skipped[0].place == f"{path}:2"
    if case != "UTF-16 without a mark":
        assert ids == ["first", "last"]
        assert corpus.n_skipped == 1


def test_escaped_nul_emoji_and_right_to_left_are_text(jsonl):
    text = "a\0b 👩‍🚀 שלום \u202e x\u0301"
    (document,) = read(jsonl({"id": 1, "text": text}))
    assert document.text == text


def test_a_line_of_ten_megabytes_is_a_record(jsonl):
    text = "word " * 2_000_000
    first, second = read(jsonl({"id": 1, "text": text}, {"id": 2, "text": "b"}))
    assert first.text == text
    assert second.id == "2"


def test_a_line_beyond_the_limit_is_refused_without_reading_it_whole(tmp_path):
    path = tmp_path / "huge.jsonl"
    with open(path, "wb") as stream:
        stream.write(b'{"id": 1, "n": ')
        for _ in range(200):
            stream.write(b"7" * (1 << 20))
        stream.write(b'}\n{"id": 2, "text": "b"}\n')
    script = (
        "import resource, sys\nfrom sememe.corpus import read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "corpus = read(sys.argv[1], on_error='skip')\n"
        "print([d.id for d in corpus], corpus.skipped[0].reason)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    result, grown = done.stdout.splitlines()
    assert result == "['2'] is a line of more than 32 MiB"
    assert int(grown) < 120 * 1024


def test_empty_and_blank_files_are_refused(tmp_path, refuse):
    for number, data in enumerate([b"", b"\n\n", gzip.compress(b"")]):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(data)
        error = refuse(path)
        assert error.message == "holds no documents"
        assert error.where == str(path)


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "not gzip"])
def test_damaged_gzip_is_an_error_even_when_skipping(tmp_path, refuse, damage, on_error):
    lines = b"".join(b'{"id": %d, "text": "some text %d"}\n' % (i, i * i) for i in range(20_000))
    data = bytearray(gzip.compress(lines))
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    else:
        data = bytearray(lines)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data)
    error = refuse(path, on_error=on_error)
    # A flipped byte may show as a bad line before the checksum is reached.
    assert error.where.startswith(str(path))
    assert damage == "flipped" or "damaged" in error.message


def test_utf16_cut_in_the_middle_is_an_error(tmp_path, refuse):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"id": 1, "text": "a"}\n'.encode("utf-16")[:-1])
    assert "not in the encoding utf-16" in refuse(path).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
@settings(max_examples=200, deadline=None)
def test_parsing_agrees_with_the_standard_library(record):
    assert parse(json.dumps(record)) == record
    assert parse(json.dumps(record, ensure_ascii=False)) == record


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
@settings(max_examples=300, deadline=None)
def test_parsing_anything_gives_an_object_or_our_error(line):
    try:
        assert isinstance(parse(line), dict)
    except BadRecordError as bad:
        assert bad.reason


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(b"\n".join(lines) + b'\n{"id": 1, "text": "a"}\n')
    try:
        assert list(read(path, on_error="skip"))[-1].text == "a"
    except InputError as error:
        assert error.where
