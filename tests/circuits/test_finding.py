"""The command end to end on a tiny model: what it prints, what it keeps, and how it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_circuits import tiny_model

from sememe.circuits.circuit import Circuit
from sememe.circuits.drawing import text_map
from sememe.circuits.finding import FindConfig
from sememe.cli import main
from sememe.errors import ArtifactError, InputError

QUICK = ["--n", "8", "--steps", "20", "--n-latents", "20", "--faithfulness-pairs", "4", "--patching-pairs", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    lm = tiny_model()
    lm.model.save_pretrained(path)
    lm.tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    """A circuit that the command found, with patching; its folder."""
    out = tmp_path_factory.mktemp("found") / "ioi.circuit"
    assert main(["circuits", "find", str(folder), "--task", "ioi", "--patching", "--out", str(out), *QUICK]) == 0
    return out


def test_find_prints_heads_drawing_methods_and_verdict(folder, found, capsys):
    assert main(["circuits", "show", str(found)]) == 0
    printed = capsys.readouterr().out
    parts = ["8 pairs", "patching every head", "null 95%", "patched", "layer", "ROC AUC", "average precision"]
    parts += ["the paper: unique codes", "control: random projection", "random circuits of", "below 50 a class"]
    for part in parts:
        assert part in printed
    circuit = Circuit.load(found)
    best = circuit.name(circuit.ranked[0])
    assert f"\n{best} " in printed
    assert printed.count("[") >= len(circuit.heads)


def test_json_is_one_object_in_the_shape_of_the_design(folder, capsys):
    assert main(["circuits", "find", str(folder), "--task", "ioi", "--json", *QUICK]) == 0
    value = json.loads(capsys.readouterr().out)
    assert len(value["heads"]) == 12
    assert {"layer", "head", "score"} <= set(value["heads"][0])
    scores = [head["score"] for head in value["heads"]]
    assert scores == sorted(scores, reverse=True)
    assert value["seconds"] > 0
    assert value["auc_vs_patching"] is None
    assert "--patching" in value["warnings"][-1]


def test_the_folder_holds_what_was_found(found, tmp_path):
    circuit = Circuit.load(found)
    assert {file.name for file in found.iterdir()} == {"model.safetensors", "card.json", "circuit.svg"}
    assert 0 <= circuit.card["agreement"]["reliable"]["auc"] <= 1
    again = tmp_path / "again"
    circuit.save(again)
    for name in ("model.safetensors", "card.json", "circuit.svg"):
        assert (again / name).read_bytes() == (found / name).read_bytes()
    assert circuit.grid("patching").shape == (3, 4)
    assert all(a // 4 < b // 4 for a, b, _ in circuit.edges)
    for place in range(12):
        table = circuit.code_table(place)
        assert len(table) == circuit.evidence["total"][place]
        assert sum(not negative for _, _, negative in table) == circuit.evidence["unique"][place]
    assert len(circuit.attention) == len(circuit.card["examples"]) == 3
    drawn = (found / "circuit.svg").read_text()
    assert drawn.count("<rect") == 13
    assert drawn.count('stroke="#111"') == len(circuit.heads)


def test_explain_says_what_a_head_attends_to(found, capsys):
    assert main(["circuits", "show", str(found), "--explain", "1.2"]) == 0
    printed = capsys.readouterr().out
    assert "head" in printed
    assert "1.2, rank" in printed
    assert printed.count("from the last token to") == 3
    assert main(["circuits", "show", str(found), "--explain", "1.2", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["layer"], value["head"]) == (1, 2)
    for example in value["examples"]:
        assert sum(example["attention"]) == pytest.approx(1, abs=0.01)
        assert len(example["tokens"]) == len(example["attention"])


def test_a_published_circuit_is_a_second_reference(folder, capsys, monkeypatch):
    from sememe.circuits import finding

    monkeypatch.setattr(finding, "published_heads", lambda lm, task: ("A. Author (2020)", np.arange(12) < 3))
    assert main(["circuits", "find", str(folder), "--task", "ioi", *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "against A. Author (2020)" in printed
    assert "precision at 3" in printed
    assert "\nagainst patching" not in printed
    arguments = ["circuits", "find", str(folder), "--task", "ioi", "--patching", "--patching-kind", "zero", "--json"]
    assert main([*arguments, *QUICK]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["published"]["source"] == "A. Author (2020)"
    assert "patching" in value["heads"][0]["evidence"]


def test_a_users_file_is_a_task(folder, tmp_path, capsys):
    names = {"answer": " Mary", "wrong": " John"}
    pairs = [
        {"positive": f"the {thing} and the key", "negative": f"the {thing} and the map", **names}
        for thing in ("book", "cup", "ring", "box")
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, pairs)))
    assert main(["circuits", "find", str(folder), "--task", str(path), "--json", *QUICK]) == 0
    assert len(json.loads(capsys.readouterr().out)["heads"]) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "nothing"], "no task 'nothing'"),
        (["--task", "ioi", "--corruption", "x"], "no corruption"),
        (["--task", "ioi", "--explain", "9.9"], "no head '9.9'"),
        (["--task", "ioi", "--n", "1", "--examples", "0"], "n is 1; give 4 or more; examples is 0"),
        (["--task", "ioi", "--n-latents", "1"], "n_latents is 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, capsys, words, message):
    assert main(["circuits", "find", str(folder), *QUICK, *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_a_folder_that_is_no_circuit_is_refused(found, tmp_path):
    with pytest.raises(ArtifactError):
        Circuit.load(tmp_path)
    assert not Circuit.is_circuit(tmp_path)
    assert Circuit.is_circuit(found)
    circuit = Circuit.load(found)
    Circuit({"reliable": circuit.score[:5]}, circuit.codes, circuit.attention, circuit.card)
    damaged = tmp_path / "damaged"
    circuit.save(damaged)
    data = bytearray((damaged / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        Circuit.load(damaged)
    with pytest.raises(InputError, match="patching_pairs is 0"):
        FindConfig(patching_pairs=0)


def test_the_text_map_shades_by_share_and_marks_the_circuit():
    grid = np.array([[0.09, 1.0], [-0.5, 0.1]])
    lines = text_map(grid, np.array([[False, True], [False, False]])).split("\n")
    assert lines[0] == "    1  ▒  ·"
    assert lines[1] == "    0    [█]"
    assert lines[2] == "layer  0  1  head"
