"""`sememe atoms export` and `import`: what they write, say and refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from sememe.atoms import Atoms
from sememe.atoms.weights import Weights
from sememe.cli import main

N, D = 20, 6
X = np.random.default_rng(5).standard_normal((100, D)).astype(np.float32)


@pytest.fixture
def atoms(tmp_path):
    """Atoms with thresholds, saved in `tmp_path/a`."""
    rng = np.random.default_rng(2)
    decoder = rng.standard_normal((N, D)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    arrays = (rng.standard_normal((N, D)), rng.standard_normal(N), rng.standard_normal(D), np.linspace(0, 1, N))
    card = {"coder": "threshold", "certificate": {}, "n_train": 90, "n_held_out": 10,
            "source": {"model": "gpt2", "site": "layers.3.mlp.key"}}  # fmt: skip
    atoms = Atoms(Weights(decoder, *(array.astype(np.float32) for array in arrays)), np.arange(N), card)
    atoms.save(tmp_path / "a")
    return atoms


@pytest.fixture
def foreign(tmp_path):
    """A folder of SAELens that says neither its model nor how often its atoms fire."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    rng = np.random.default_rng(3)
    shapes = {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(arrays, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"architecture": "standard", "metadata": {}}))
    return folder


def test_what_was_exported_is_imported_as_it_was(atoms, tmp_path, capsys):
    assert main(["atoms", "export", str(tmp_path / "a"), str(tmp_path / "sae")]) == 0
    out = capsys.readouterr().out
    assert "jumprelu" in out
    assert "blocks.3.mlp.hook_post" in out
    assert main(["atoms", "import", str(tmp_path / "sae"), "--path", str(tmp_path / "b"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["atoms"] == N
    assert said["source"]["site"] == "layers.3.mlp.key"
    assert said["imported"]["architecture"] == "jumprelu"
    again = Atoms.load(tmp_path / "b")
    assert (again.transform(X) != atoms.transform(X)).nnz == 0
    np.testing.assert_allclose(again.frequency, np.arange(N) / 100)


def test_export_as_json_is_the_configuration(atoms, tmp_path, capsys):
    assert main(["atoms", "export", str(tmp_path / "a"), str(tmp_path / "sae"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["config"] == json.loads((tmp_path / "sae" / "cfg.json").read_text())


def test_imported_atoms_without_frequencies_are_listed(foreign, tmp_path, capsys):
    assert main(["atoms", "import", str(foreign), "--path", str(tmp_path / "b")]) == 0
    out = capsys.readouterr().out
    assert "not in the folder" in out
    assert "not known" in out
    assert main(["atoms", "list", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == N


def test_a_folder_of_sparsify_is_told_apart_by_its_files(tmp_path, capsys):
    folder = tmp_path / "layers.2"
    folder.mkdir()
    eye, zero = np.eye(D, dtype=np.float32), np.zeros(D, np.float32)
    arrays = {"encoder.weight": eye, "encoder.bias": zero, "W_dec": eye, "b_dec": zero}
    save_file(arrays, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"activation": "topk", "k": 2}))
    words = ["atoms", "import", str(folder), "--path", str(tmp_path / "b"), "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["imported"]["format"] == "sparsify"
    assert said["source"]["site"] == "layers.2.residual"
    assert main([*words, "--format", "saelens"]) == 2


@pytest.mark.parametrize("weights", ["thesis.txt", "sae.safetensors"])
def test_export_does_not_replace_what_saelens_did_not_write(weights, atoms, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "cfg.json").write_text("{}")
    (other / weights).write_text("years of work")
    assert main(["atoms", "export", str(tmp_path / "a"), str(other)]) == 2
    assert "not replaced" in capsys.readouterr().err
    assert (other / weights).read_text() == "years of work"


def test_what_cannot_be_read_leaves_nothing_behind(foreign, tmp_path, capsys):
    assert main(["atoms", "import", str(tmp_path / "missing"), "--path", str(tmp_path / "b")]) == 2
    assert "not a folder of SAELens" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    assert main(["atoms", "import", str(foreign), "--path", str(foreign)]) == 2
    assert "would replace what they are read from" in capsys.readouterr().err
    assert (foreign / "cfg.json").is_file()
