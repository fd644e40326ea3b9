"""The command line: what it prints, its exit codes, and its errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from hash_encoder import HashEncoder
from sememe import Encoder
from sememe.cli import VERBS, main

DOCUMENTS = [
    {"id": "a", "title": "Cats", "text": "the cat sleeps in the small house", "year": 2001},
    {"id": "b", "title": "Dogs", "text": "the dog runs under a tree", "year": 2002},
    {"id": "c", "title": "Birds", "text": "a bird flies over the big house", "year": 2003},
]


@pytest.fixture(autouse=True)
def hash_encoder_everywhere(monkeypatch):
    """The verbs load encoders by name; these tests are about the verbs, not about a transformer."""
    monkeypatch.setattr(Encoder, "load", staticmethod(lambda *_, **__: HashEncoder()))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    return path


@pytest.fixture
def index(tmp_path, source, capsys):
    path = tmp_path / "my.index"
    assert main(["index", str(source), "--path", str(path)]) == 0
    capsys.readouterr()
    return path


def run_json(capsys, *words):
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_index_reports_what_it_made(tmp_path, source, capsys):
    code, report = run_json(capsys, "index", source, "--path", tmp_path / "x")
    assert code == 0
    assert report.pop("seconds") > 0
    assert report == {"documents": 3, "vectors": 3, "dimensions": 16, "skipped": 0}


def test_search_prints_hits(index, capsys):
    assert main(["search", str(index), "cat house", "-k", "2"]) == 0
    out = capsys.readouterr().out
    assert "Cats" in out
    assert "Dogs" not in out


def test_search_json_is_the_stable_object(index, capsys):
    code, answer = run_json(capsys, "search", index, "cat", "-k", "3", "--where", "year>=2002")
    assert code == 0
    assert answer["query"] == "cat"
    assert {hit["id"] for hit in answer["hits"]} == {"b", "c"}
    assert set(answer["hits"][0]) >= {"id", "title", "score", "explanation"}


def test_add_replace_delete_compact(index, source, capsys):
    source.write_text(json.dumps({"id": "d", "text": "a red fish swims"}) + "\n")
    assert main(["index", str(source), "--path", str(index), "--add"]) == 0
    assert main(["index", str(source), "--path", str(index), "--add"]) == 2
    assert "'d' is already there" in capsys.readouterr().err
    assert main(["index", str(source), "--path", str(index), "--replace"]) == 0
    assert main(["index", "--path", str(index), "--delete", "a", "nothing", "--compact"]) == 0
    assert "1 of 2 documents deleted" in capsys.readouterr().out
    code, info = run_json(capsys, "index", "--path", index)
    assert code == 0
    assert (info["documents"], info["deleted"], info["vectors"]) == (3, 0, 3)


def test_resume_of_a_complete_index_changes_nothing(index, source, capsys):
    assert main(["index", str(source), "--path", str(index)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["index", str(source), "--path", str(index), "--resume"]) == 0


def test_skipped_records_are_listed(tmp_path, capsys):
    source = tmp_path / "bad.jsonl"
    source.write_text('{"id": "a", "text": "x"}\nnot json\n')
    assert main(["index", str(source), "--path", str(tmp_path / "i")]) == 2
    assert "bad.jsonl:2" in capsys.readouterr().err
    assert main(["index", str(source), "--path", str(tmp_path / "j"), "--on-error", "skip"]) == 0
    out = capsys.readouterr().out
    assert "1 bad records skipped" in out
    assert "bad.jsonl:2" in out


def test_learn_list_show_and_explained_search(tmp_path, capsys):
    rng = np.random.default_rng(0)
    words = ["cat", "dog", "bird", "tree", "house", "river", "stone", "cloud"]
    source = tmp_path / "many.jsonl"
    source.write_text(
        "".join(json.dumps({"id": str(i), "text": " ".join(rng.choice(words, 4))}) + "\n" for i in range(300))
    )
    index = tmp_path / "my.index"
    assert main(["index", str(source), "--path", str(index)]) == 0
    capsys.readouterr()
    code, learned = run_json(
        capsys, "atoms", "learn", index, "--n-atoms", 16, "--target-active", 4, "--steps", 60, "--batch-size", 64
    )
    assert code == 0
    assert learned["atoms"] == 16
    assert set(learned) == {"atoms", "r2", "mean_active", "dead", "certificate"}
    code, listing = run_json(capsys, "atoms", "list", index)
    assert code == 0
    assert listing["total"] == 16
    code, atom = run_json(capsys, "atoms", "show", index, listing["atoms"][0]["atom"], "-n", 3)
    assert code == 0
    assert len(atom["documents"]) == 3
    code, answer = run_json(capsys, "search", index, "cat tree", "-k", 2)
    for hit in answer["hits"]:
        parts = hit["explanation"]
        total = sum(a["contribution"] for a in parts["atoms"]) + parts["bias"] + parts["residual"]
        assert total == pytest.approx(hit["score"], rel=1e-4, abs=1e-6)
    assert main(["search", str(index), "cat tree", "-k", "1", "--steer", f"{listing['atoms'][0]['atom']}:0.5"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert any("residual" in line for line in printed)
    assert not [line for line in printed if line.endswith(" ")]
    assert main(["search", str(index), "cat tree", "--steer", "99:1"]) == 2
    assert "no atom 99" in capsys.readouterr().err


def test_errors_are_one_line_with_exit_code_2(tmp_path, index, capsys):
    cases = [
        (["search", str(tmp_path / "none"), "x"], "does not exist"),
        (["search", str(index)], "needs an index and a query"),
        (["search", str(index), "x", "--where", "year"], "is not a condition"),
        (["search", str(index), "x", "--steer", "a:b"], "is not ATOM:AMOUNT"),
        (["search", str(index), "x", "-k", "0"], "k must be at least 1"),
        (["index", str(tmp_path / "none.jsonl"), "--path", str(tmp_path / "n")], "none.jsonl"),
    ]
    for words, message in cases:
        assert main(words) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


def test_errors_as_json(tmp_path, capsys):
    code, answer = run_json(capsys, "search", tmp_path / "none", "x")
    assert code == 2
    assert set(answer["error"]) == {"kind", "message", "where", "hint"}
    assert answer["error"]["kind"] == "artifact"


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="does not exist"):
        main(["search", str(tmp_path / "none"), "x", "--debug"])


def test_bare_command_and_unknown_verb(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)
    assert main(["serach"]) == 2
    assert "Did you mean 'search'?" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"sememe {verb}" in capsys.readouterr().out.split("example")[1]


def test_doctor_knows_the_machine_and_checks_an_index(index, capsys):
    code, report = run_json(capsys, "doctor")
    assert code == 0
    assert {"python", "memory", "disk_free", "extras", "models"} <= set(report)
    assert main(["doctor", "--index", str(index)]) == 0
    assert "every checksum agrees" in capsys.readouterr().out
    file = index / "g000001" / "vectors.bin"
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    assert main(["doctor", "--index", str(index)]) == 2
    assert "vectors.bin" in capsys.readouterr().err


def test_doctor_plans_a_job(source, capsys):
    code, plan = run_json(capsys, "doctor", "--plan", source)
    assert code == 0
    assert plan["documents"] == 3
    assert plan["disk_bytes"] > 3 * 16 * 4


def test_importing_is_light():
    code = "import sys, sememe.cli as c; c.main(['--help']); print({'torch', 'numpy', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
