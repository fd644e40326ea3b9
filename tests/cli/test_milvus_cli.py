"""The command line against milvus-lite: push an index, search it there, be told what is wrong in one line."""

from __future__ import annotations

import importlib.util
import json

import pytest
from test_cli import DOCUMENTS, hash_encoder_everywhere, index, run_json, source

from sememe.cli import main

FIXTURES = (hash_encoder_everywhere, index, source)
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pymilvus") is None or importlib.util.find_spec("milvus_lite") is None,
    reason="needs pymilvus and milvus-lite: pip install 'sememe[milvus]' milvus-lite",
)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "lite.db"


def without_parts(answer):
    return [{name: value for name, value in hit.items() if name != "parts"} for hit in answer["hits"]]


def test_push_and_search(index, source, database, capsys):
    code, pushed = run_json(capsys, "index", "push", index, "--to", database, "--collection", "papers")
    assert code == 0
    assert (pushed["documents"], pushed["sent"], pushed["unchanged"], pushed["deleted"]) == (3, 3, 0, 0)
    assert pushed["recall@10"] == 1.0
    assert pushed["address"] == f"milvus://{database}/papers"
    for words in (["cat house"], ["cat", "--where", "year>=2002"], ["tree", "-k", "1"], ["house", "--mode", "hybrid"]):
        _, ours = run_json(capsys, "search", index, *words)
        _, theirs = run_json(capsys, "search", pushed["address"], *words)
        assert without_parts(theirs) == without_parts(ours)
    assert main(["search", pushed["address"], "cat house", "-k", "2", "--stages"]) == 0
    out = capsys.readouterr().out
    assert "Cats" in out
    assert "server FLAT" in out
    source.write_text(json.dumps({"id": "d", "text": "a red fish swims"}) + "\n")
    assert main(["index", str(source), "--path", str(index), "--add"]) == 0
    assert main(["index", "--path", str(index), "--delete", "a"]) == 0
    capsys.readouterr()
    assert main(["index", "push", str(index), "--to", pushed["address"]]) == 0
    out = capsys.readouterr().out
    assert "1, unchanged 2, deleted 1" in out
    assert "1.000 of an exact scan" in out


def test_a_search_on_a_server_is_explained_with_the_atoms_of_the_index(source, tmp_path, database, capsys):
    texts, index = (
        [f"{document['text']} {i % 7}" for i in range(70) for document in DOCUMENTS],
        tmp_path / "larger.index",
    )
    source.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    assert main(["index", str(source), "--path", str(index)]) == 0
    assert main(["index", "push", str(index), "--to", str(database), "--collection", "papers"]) == 0
    assert main(["atoms", "learn", str(index), "--n-atoms", "40", "--steps", "20"]) == 0
    capsys.readouterr()
    code, answer = run_json(capsys, "search", f"milvus://{database}/papers", "cat", "--atoms", index / "atoms")
    assert code == 0
    for hit in answer["hits"]:
        parts = hit["explanation"]
        total = sum(atom["contribution"] for atom in parts["atoms"]) + parts["bias"] + parts["residual"]
        assert total == pytest.approx(hit["score"], abs=1e-4)


PUSH = ["index", "push", "{index}", "--to", "{database}"]
PLACE = "milvus://{database}/papers"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search", "milvus://{database}/nothing", "cat"], "does not exist"),
        (["search", "milvus://host/bad-name", "cat"], "is not a name for a collection"),
        (["search", PLACE, "cat", "--coarse", "pq:8"], "has the index that it was made with"),
        (["search", PLACE, "cat", "--steer", "1:0.5"], "no atoms to steer along"),
        (["search", PLACE, "cat", "--like", "a"], "feedback reads the vectors of an index"),
        (["search", PLACE, "--eval", "x"], "needs an index on disk"),
        (PUSH, "needs --collection"),
        ([*PUSH, "--collection", "p", "--parameter", "M"], "NAME=NUMBER"),
        ([*PUSH, "--collection", "papers", "--index", "HNSW"], "settings was"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(words, told, index, database, capsys):
    assert main(["index", "push", str(index), "--to", str(database), "--collection", "papers"]) == 0
    capsys.readouterr()
    assert main([word.format(database=database, index=index) for word in words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1
