import csv
import datetime
import decimal
import gzip
import io
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.corpus import read
from sememe.errors import InputError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def table(tmp_path):
    def write(data, name="papers.csv"):
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
        return tmp_path / name

    return write


def test_csv_rows_become_documents(table):
    path = table('id,title,abstract,year\n1,"A, b","line 1\nline ""2""",1999\n\n2,C,d,2000\n')
    first, second = read(path)
    assert (first.id, first.title, first.text) == ("1", "A, b", 'line 1\nline "2"')
    assert first.metadata == {"year": "1999"}
    assert (second.id, second.text) == ("2", "d")


def test_csv_can_be_compressed_marked_and_of_windows(table):
    data = "id,text\r\n1,é\r\n"
    plain = list(read(table(data)))
    assert plain[0].text == "é"
    assert plain == list(read(table(gzip.compress(data.encode()), "a.csv.gz")))
    assert plain == list(read(table(data.encode("utf-8-sig"), "b.csv")))
    assert plain == list(read(table(data.encode("utf-16"), "c.csv")))
    assert plain == list(read(table(data.encode("cp1252"), "d.csv"), encoding="cp1252"))


def test_tsv_other_separators_and_plain_quotes(table):
    assert [document.text for document in read(table("id\ttext\n1\ta,b\n", "a.tsv"))] == ["a,b"]
    assert [document.text for document in read(table("id;text\n1;a,b\n"), delimiter=";")] == ["a,b"]
    path = table('id\ttext\n1\t"begins with a quote\n2\tb\n', "b.tsv")
    assert [document.text for document in read(path, quote="")] == ['"begins with a quote', "b"]


def test_a_missing_header_shows_what_was_taken_for_it(table, refuse):
    error = refuse(table("1,first title,some words\n2,second title,others\n"))
    assert "no text field" in error.message
    assert "found '1', 'first title', 'some words'" in error.message
    assert error.where.endswith("papers.csv:2")


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        ("id,text\n1,a\n2,b,c\n3,d\n", 3, "3 fields where the header has 2"),
        ('id,text\n1,a\n"2\n2",b,c\n3,d\n', 3, "3 fields"),
        ("id,text\n1,a\n2\n3,d\n", 3, "1 fields"),
        ('id,text\n1,a\n2,"b"c\n3,d\n', 3, "malformed"),
        (b"id,text\n1,a\n2,\xe9\n3,d\n", 3, "not valid UTF-8"),
        (b"id,text\n1,a\n2,\0\n3,d\n", 3, "NUL"),
        ("id,text\n1,a\n1,b\n3,d\n", 3, "same id"),
    ],
)
def test_a_bad_row_stops_with_its_line_or_is_skipped(table, refuse, data, line, message):
    path = table(data)
    error = refuse(path)
    assert message in error.message
    assert error.where == f"{path}:{line}"
    corpus = read(path, on_error="skip")
    assert [document.text for document in corpus] == ["a", "d"]
    assert corpus.n_skipped == 1


def test_a_quote_left_open_is_told_and_does_not_swallow_the_file(table, refuse):
    error = refuse(table('id,text\n1,a\n2,"open\n3,b\n'))
    assert error.where.endswith("papers.csv:3")
    assert "quote that is not closed" in error.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("id,text,id\n1,a,2\n", "'id' twice"),
        ('id,"text\n1,a\n', "malformed header"),
        (b"\xff\xfd,text\n1,a\n", "not valid UTF-8"),
        ("id,text\n", "holds no documents"),
        ("", "holds no documents"),
    ],
)
def test_a_bad_header_is_an_error_even_when_skipping(table, refuse, data, message):
    for on_error in ("stop", "skip"):
        assert message in refuse(table(data), on_error=on_error).message


def test_columns_without_a_name_are_numbered(table):
    (document,) = read(table(",text,\n0,a,z\n"))
    assert document.metadata == {"column 1": "0", "column 3": "z"}


def test_a_field_of_ten_megabytes(table):
    text = "word " * 2_000_000
    assert [document.text for document in read(table(f"id,text\n1,{text}\n"))] == [text]


rows = st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2))


@given(rows)
@settings(deadline=None)
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "text", "note"])
    writer.writerows([[f"n{i}", *value] for i, value in enumerate([["a", "b"], *values])])
    path.write_bytes(out.getvalue().encode())
    documents = list(read(path))
    assert [[document.text, document.metadata["note"]] for document in documents] == [["a", "b"], *values]


@given(st.lists(st.binary(max_size=40), max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(b"id,text\n" + b"\n".join(lines))
    try:
        assert all(document.id for document in read(path, on_error="skip"))
    except InputError as error:
        assert error.where


@pytest.fixture
def arrow_file(tmp_path):
    def write(columns, name="papers.parquet", **options):
        table = columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns)
        parquet.write_table(table, tmp_path / name, **options)
        return tmp_path / name

    return write


def test_parquet_rows_become_documents_with_json_metadata(arrow_file):
    day = datetime.datetime(2024, 5, 6, 7, 8, tzinfo=datetime.UTC)
    path = arrow_file(
        {
            "id": [1, 2],
            "text": ["a", None],
            "when": [day, None],
            "score": [float("nan"), 0.5],
            "price": [decimal.Decimal("1.10"), None],
            "raw": [b"\xff", b""],
            "nested": [{"tags": ["x", None], "image": b"png"}, None],
        }
    )
    first, second = read(path)
    assert (first.id, first.text) == ("1", "a")
    assert first.metadata == {
        "when": "2024-05-06T07:08:00+00:00",
        "score": None,
        "price": "1.10",
        "nested": {"tags": ["x", None]},
    }
    assert second.text == ""
    assert second.metadata == {"when": None, "score": 0.5, "price": None, "nested": None}


def test_parquet_places_are_rows_across_row_groups(arrow_file, refuse):
    n = 3000
    path = arrow_file({"id": [*range(n - 1), 5], "text": ["a"] * n}, row_group_size=700)
    error = refuse(path)
    assert error.where == f"{path}:3000"
    assert f"{path}:6" in error.message
    assert sum(1 for _ in read(path, on_error="skip")) == n - 1


def test_parquet_with_text_that_is_not_utf8_loses_only_that_row(arrow_file, refuse):
    binary = pyarrow.array([b"a", b"\xff", b"c"], pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, binary.buffers())
    path = arrow_file(pyarrow.table({"id": pyarrow.array([1, 2, 3]), "text": text}))
    assert refuse(path).where == f"{path}:2"
    assert [document.id for document in read(path, on_error="skip")] == ["1", "3"]


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped"])
def test_damaged_parquet_is_refused(arrow_file, refuse, damage):
    path = arrow_file({"id": list(range(5000)), "text": [f"some words {i * i}" for i in range(5000)]})
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[200:260] = b"\xff" * 60
    path.write_bytes({"empty": b"", "text": b"id,text\n1,a\n", "truncated": data[:-100]}.get(damage, data))
    error = refuse(path)
    assert error.where == str(path)
    assert "Parquet" in error.message


def test_parquet_without_rows(arrow_file, refuse):
    assert refuse(arrow_file({"id": pyarrow.array([], "string"), "text": pyarrow.array([], "string")})).where


def test_without_pyarrow_the_install_line_is_given(arrow_file):
    path = arrow_file({"id": [1], "text": ["a"]})
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from sememe.corpus import read\nfrom sememe.errors import MissingExtraError\n"
        "try: read(sys.argv[1])\nexcept MissingExtraError as error: print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout == "Install it with: pip install 'sememe[parquet]'\n"
