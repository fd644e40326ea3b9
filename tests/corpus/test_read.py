"""What a source may be: standard input, BEIR folders, hub ids, and what is refused."""

import gzip
import io
import json
import sys
from types import SimpleNamespace

import pytest

from sememe.corpus import read
from sememe.errors import InputError


@pytest.fixture
def pipe(monkeypatch, tmp_path):
    """Pipe bytes into standard input; spooled files go to a folder of the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def pipe(data):
        stream = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
        monkeypatch.setattr("sys.stdin", stream)
        return tmp_path

    return pipe


def test_json_lines_from_standard_input_are_read_again(pipe):
    folder = pipe(b'\n \n{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n')
    corpus = read("-")
    first = corpus.take(1)
    assert [document.id for document in corpus] == ["1", "2"] == [document.id for document in corpus]
    assert corpus.name == "stdin"
    assert len(list(folder.iterdir())) == 1
    del corpus
    assert [document.id for document in first] == ["1"]
    del first
    assert not list(folder.iterdir())  # the spooled copy goes with its last reader


def test_compressed_standard_input(pipe):
    pipe(gzip.compress(b'{"id": 1, "text": "a"}\n'))
    assert [document.id for document in read("-")] == ["1"]


def test_plain_lines_from_standard_input(pipe, refuse):
    pipe("first line\n\n  second – line \r\n".encode())
    documents = list(read("-"))
    assert [document.text for document in documents] == ["first line", "second – line"]
    assert len({document.id for document in documents}) == 2
    pipe(b"same\nother\nsame\n")
    error = refuse("-")
    assert error.where == "stdin:3"
    assert "stdin:1" in error.message


def test_malformed_json_on_standard_input_is_not_taken_for_text(pipe, refuse):
    pipe(b'{"id": 1, "text": "a"\n')
    assert refuse("-").where == "stdin:1"


def test_bad_lines_on_standard_input(pipe, refuse):
    pipe(b"caf\xe9\nfine\n")
    assert refuse("-").where == "stdin:1"
    pipe(b"caf\xe9\nfine\n")
    assert [document.text for document in read("-", on_error="skip")] == ["fine"]
    pipe(b"caf\xe9\nfine\n")
    assert [document.text for document in read("-", encoding="latin-1")] == ["café", "fine"]
    pipe(b"")
    assert refuse("-").message == "holds no documents"


def test_a_terminal_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(InputError, match="nothing is piped in"):
        read("-")


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_beir_folder(tmp_path, name, refuse):
    folder = tmp_path / "beir"
    folder.mkdir()
    lines = b'{"_id": "a", "title": "T", "text": "x", "metadata": {"y": 1}}\n{"_id": "b", "title": "", "text": ""}\n'
    (folder / name).write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "not a document"}\n')
    (folder / "README.md").write_text("not a document")
    documents = list(read(folder))
    assert [(document.id, document.content) for document in documents] == [("a", "T\nx"), ("b", "")]
    assert documents[0].metadata == {"y": 1}
    assert read(f"{folder}/").name == "beir"
    (folder / name).write_bytes(b"")
    assert refuse(folder).where == f"{folder}/{name}"


@pytest.mark.parametrize(
    "source", ["nothing", "missing.jsonl", "data/missing.csv.gz", "/no/such/place", "", "https://example.org/a.jsonl"]
)
def test_what_is_missing_is_told_with_all_kinds(source):
    with pytest.raises(InputError, match="no such file or folder") as caught:
        read(source)
    kinds = (".jsonl", ".csv", ".tsv", ".parquet", "BEIR", ".pdf", "-", "python:stdlib", "hf:OWNER/NAME")
    assert all(kind in caught.value.hint for kind in kinds)


@pytest.mark.parametrize("name", ["a.docx", "Makefile", "a.gz", "a.parquet.gz", "a.pdf.gz"])
def test_an_unknown_kind_of_file(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match="unknown kind") as caught:
        read(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)
    assert ".jsonl" in caught.value.hint


def test_a_file_that_goes_away_between_two_passes(jsonl):
    path = jsonl({"id": 1, "text": "a"})
    corpus = read(path)
    assert len(list(corpus)) == 1
    path.unlink()
    with pytest.raises(InputError, match="No such file"):
        list(corpus)


@pytest.fixture
def hub(monkeypatch):
    """The `datasets` package with its door to the network replaced."""
    datasets = pytest.importorskip("datasets")
    calls = []

    def rows(n):
        for i in range(n):
            yield {"id": i, "text": f"text {i}", "label": i % 2, "raw": b"\0"}

    def stream(n):
        return datasets.IterableDataset.from_generator(rows, gen_kwargs={"n": n})

    def load_dataset(path, name=None, **options):
        calls.append((path, name, options))
        if path.endswith("missing"):
            raise ConnectionError("Couldn't reach the hub\nwith a second line")
        if options["split"] is not None:
            return stream(2)
        splits = {"a/one": {"corpus": 3}, "a/two": {"test": 1, "train": 4}, "a/none": {"x": 1, "y": 1}}[path]
        return datasets.IterableDatasetDict({split: stream(n) for split, n in splits.items()})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


@pytest.mark.parametrize(
    ("source", "n", "call"),
    [
        ("hf:a/one", 3, ("a/one", None, None, None)),
        ("a/two", 4, ("a/two", None, None, None)),
        ("a/two:test", 2, ("a/two", None, "test", None)),
        ("hf:a/two:config:test", 2, ("a/two", "config", "test", None)),
        ("hf:a/two@0a1b2c:test", 2, ("a/two", None, "test", "0a1b2c")),
    ],
)
def test_hub_data_sets_are_streamed(hub, source, n, call):
    corpus = read(source)
    documents = list(corpus)
    assert documents == list(corpus)
    assert len(documents) == n
    assert documents[1].text == "text 1"
    assert documents[1].metadata == {"label": 1}
    path, name, options = hub[0]
    assert (path, name, options["split"], options["revision"]) == call
    assert options["streaming"] is True
    assert set(options) == {"split", "revision", "streaming"}


def test_hub_errors(hub):
    with pytest.raises(InputError, match=r"x, y.*:SPLIT"):
        read("hf:a/none")
    with pytest.raises(InputError, match=r"\(ConnectionError: Couldn't reach the hub\)") as caught:
        read("hf:a/missing")
    assert caught.value.where == "hf:a/missing"
    with pytest.raises(InputError, match="no such file or folder, and as a Hugging Face data set") as caught:
        read("a/missing")
    assert ".jsonl" in caught.value.hint
    with pytest.raises(InputError, match="is not OWNER/NAME"):
        read("hf:only-a-name")


def test_hub_without_datasets(monkeypatch):
    from sememe.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"sememe\[hub\]"):
        read("hf:a/one")
    with pytest.raises(InputError, match=r"no such file or folder.*sememe\[hub\]"):
        read("a/one")


def test_a_failure_while_streaming_names_the_data_set(hub, monkeypatch):
    import datasets

    def rows():
        yield {"id": 1, "text": "a"}
        raise OSError("connection reset")

    stream = datasets.IterableDataset.from_generator(rows)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
    corpus = iter(read("hf:a/one"))
    assert next(corpus).id == "1"
    with pytest.raises(InputError, match="connection reset") as caught:
        next(corpus)
    assert caught.value.where == "hf:a/one"


def test_a_file_goes_before_a_data_set_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").mkdir()
    (tmp_path / "a" / "one" / "x.txt").write_text("words")
    assert [document.text for document in read("a/one")] == ["words"]


def test_places_are_as_the_source_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 1}) + "\n")
    with pytest.raises(InputError) as caught:
        list(read("a.jsonl"))
    assert caught.value.where == "a.jsonl:1"
