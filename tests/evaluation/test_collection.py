"""Reading BEIR folders: what is there, and what is wrong with it and where."""

from __future__ import annotations

import gzip
import json

import pytest

from sememe.errors import InputError
from sememe.evaluation.collection import read_collection, read_qrels

QUERIES = [{"_id": "1", "text": "one", "metadata": {}}, {"_id": "2", "text": "two"}, {"_id": "3", "text": "three"}]
HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in QUERIES))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(HEADER + "3\tx y\t2\n1\ta\t1\n1\tb\t0\n")
    return tmp_path


def test_only_judged_queries_are_returned_in_the_order_of_the_queries_file(folder):
    queries, qrels = read_collection(folder)
    assert list(queries.items()) == [("1", "one"), ("3", "three")]
    assert list(qrels.items()) == [("1", {"a": 1, "b": 0}), ("3", {"x y": 2})]


def test_gzip_and_a_missing_header_are_read(folder):
    path = folder / "queries.jsonl"
    (folder / "queries.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    (folder / "qrels" / "dev.tsv.gz").write_bytes(gzip.compress(b"2\ta\t-1\r\n2\ta\t-1\r\n"))
    assert read_collection(folder, "dev") == ({"2": "two"}, {"2": {"a": -1}})


def test_a_missing_split_names_those_that_are_there(folder):
    (folder / "qrels" / "train.tsv").write_text(HEADER)
    with pytest.raises(InputError, match=r"qrels/dev\.tsv: does not exist\. Splits that are there: test, train"):
        read_collection(folder, "dev")


def test_a_folder_without_queries_is_named(tmp_path):
    with pytest.raises(InputError, match=r"queries\.jsonl: does not exist"):
        read_collection(tmp_path)


def test_a_judged_query_without_text_is_named(folder):
    (folder / "qrels" / "test.tsv").write_text(HEADER + "1\ta\t1\n9\ta\t1\n")
    with pytest.raises(InputError, match="1 queries that are not in the queries file, such as '9'"):
        read_collection(folder)


def test_a_broken_query_is_named_with_its_line(folder):
    with open(folder / "queries.jsonl", "a") as stream:
        stream.write('{"_id": "4", "text": \n')
    with pytest.raises(InputError, match=r"queries\.jsonl:4: is malformed JSON"):
        read_collection(folder)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1 a 1", "has 1 fields instead of 3"),
        ("1\t0\ta\t1", "has 4 fields instead of 3"),
        ("1\ta\thigh", "has no whole number as its relevance: 'high'"),
        ("1\ta\t0", "judges document 'a' of query '1' again, differently"),
    ],
)
def test_a_bad_judgement_is_named_with_its_line(folder, line, problem):
    path = folder / "qrels" / "test.tsv"
    path.write_text(f"{HEADER}1\ta\t1\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_qrels(path)
    assert str(caught.value).startswith(f"{path}:3: {problem}")


def test_an_empty_file_of_judgements_is_refused(folder):
    path = folder / "qrels" / "test.tsv"
    path.write_text(HEADER)
    with pytest.raises(InputError, match="holds no judgements"):
        read_qrels(path)


def test_scifact_is_read_whole(shared):
    queries, qrels = read_collection(shared("retrieval-scifact"))
    assert len(queries) == len(qrels) == 300
    assert sum(map(len, qrels.values())) == 339
    assert queries["1"] == "0-dimensional biomaterials show inductive properties."
