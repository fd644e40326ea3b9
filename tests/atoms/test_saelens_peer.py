"""Against the tools themselves, each in a Python of its own: the same codes and reconstructions in both directions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sememe.atoms import Atoms
from sememe.atoms.config import CODER_NAMES
from sememe.atoms.saelens import export_saelens, import_saelens
from sememe.atoms.sparsify import import_sparsify
from sememe.atoms.weights import Weights
from sememe.errors import ArtifactError

HERE = Path(__file__).parent
OURS = (*CODER_NAMES, "edge", "heads")
THEIRS = (
    "standard", "raw_input", "bfloat16", "float16", "jumprelu", "gated", "gated_raw_input", "topk", "topk_by_norm",
    "batchtopk_True", "batchtopk_True.inference", "batchtopk_False", "batchtopk_False.inference",
    "matryoshka", "matryoshka.inference", "scaled", "scaled.inference", "topk_training", "topk_training.inference",
    "jumprelu_training", "jumprelu_training.inference", "gated_training", "gated_training.inference",
)  # fmt: skip


def run_peer(variable, tool, script, root):
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"needs a Python with {tool}; set {variable} to its path")
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([python, str(HERE / script), str(root)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def x_of(n=160, d=16):
    rng = np.random.default_rng(3)
    x = (rng.random((n, 24)) ** 6 @ rng.standard_normal((24, d))).astype(np.float32)
    x[:4] = 0
    x[0, 0], x[1, 0] = 0.5, np.nextafter(np.float32(0.5), np.float32(0))
    x[2, 0], x[3, 0] = np.nextafter(np.float32(0.5), np.float32(1)), 1e-30
    return x


def edge(d):
    """Codes of it are single numbers of the vectors, so that the comparison with the threshold has no rounding."""
    eye = np.eye(d, dtype=np.float32)
    zero = np.zeros(d, np.float32)
    return Weights(eye, eye, zero, zero, np.full(d, 0.5, np.float32))


def ours(name, x):
    if name == "edge":
        return Atoms(edge(x.shape[1]), np.zeros(x.shape[1]), {"certificate": {}, "source": {}})
    site = "layers.3.attention.heads" if name == "heads" else "layers.3.mlp"
    options = {"n_atoms": 40, "steps": 200, "batch_size": 64, "target_active": 4.0}
    atoms = Atoms.fit(x, coder="threshold" if name == "heads" else name, **options)
    atoms.card["source"] = {"model": "gpt2", "site": site}
    return atoms


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("peer")
    np.save(root / "x.npy", x_of())
    for name in OURS if os.environ.get("SEMEME_PEER_PYTHON") else ():
        atoms = ours(name, x_of())
        export_saelens(atoms, root / "ours" / name)
        atoms.save(root / "saved" / name)
    run_peer("SEMEME_PEER_PYTHON", "sae-lens", "saelens_peer.py", root)
    return root


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", OURS)
def test_sae_lens_computes_from_our_folder_what_we_compute(name, root):
    atoms, x = Atoms.load(root / "saved" / name), x_of()
    theirs = np.load(root / "codes" / "ours" / f"{name}.npz")
    codes = atoms.transform(x)
    assert codes.nnz > 20
    np.testing.assert_array_equal(codes.toarray() > 0, theirs["codes"] > 0)
    assert_close(codes.toarray(), theirs["codes"])
    assert_close(atoms.inverse_transform(codes), theirs["vectors"])


def test_an_activation_at_the_threshold_is_active_for_both(root):
    codes = np.load(root / "codes" / "ours" / "edge.npz")["codes"]
    assert (codes[:4, 0] > 0).tolist() == [True, False, True, False]
    again = import_saelens(root / "ours" / "edge")
    assert (again.transform(x_of()).toarray()[:4, 0] > 0).tolist() == [True, False, True, False]


@pytest.mark.parametrize("name", THEIRS)
def test_we_compute_from_their_folder_what_sae_lens_computes(name, root):
    atoms, x = import_saelens(root / "theirs" / name), x_of()
    twin = name if (root / "codes" / "theirs" / f"{name}.npz").is_file() else f"{name}.inference"
    theirs = np.load(root / "codes" / "theirs" / f"{twin}.npz")
    # With rescale_acts_by_decoder_norm the activations of sae-lens are already those of rows of norm 1.
    factor = 1 if name == "topk_by_norm" else theirs["norms"]
    codes = atoms.transform(x)
    assert codes.nnz > 20
    np.testing.assert_allclose(np.linalg.norm(atoms.decoder, axis=1), 1, rtol=1e-6)
    assert_close(codes.toarray(), theirs["codes"] * factor)
    assert_close(atoms.inverse_transform(codes), theirs["vectors"])
    assert atoms.card["source"] == {
        "model": "EleutherAI/pythia-70m",
        "hook": "blocks.3.hook_resid_post",
        "site": "layers.3.residual",
    }


def test_their_shares_of_active_vectors_are_read(root):
    atoms = import_saelens(root / "theirs" / "matryoshka")
    np.testing.assert_allclose(atoms.fired / atoms.card["n_vectors"], np.arange(48) / 48, rtol=1e-6)


@pytest.mark.parametrize("name", ["topk_unequal", "transcoder", "layer_norm"])
def test_what_atoms_cannot_express_is_refused(name, root):
    with pytest.raises(ArtifactError):
        import_saelens(root / "theirs" / name)


@pytest.mark.parametrize("name", THEIRS)
def test_what_was_read_can_be_saved_and_exported(name, root, tmp_path):
    atoms = import_saelens(root / "theirs" / name)
    atoms.save(tmp_path / "atoms")
    export_saelens(Atoms.load(tmp_path / "atoms"), tmp_path / "sae")
    again = import_saelens(tmp_path / "sae")
    for array, expected in zip(again.weights.arrays().values(), atoms.weights.arrays().values(), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_we_compute_from_a_folder_of_sparsify_what_it_computes(tmp_path):
    x = x_of()
    np.save(tmp_path / "x.npy", x)
    run_peer("SEMEME_SPARSIFY_PYTHON", "eai-sparsify", "sparsify_peer.py", tmp_path)
    atoms, theirs = import_sparsify(tmp_path / "layers.3"), np.load(tmp_path / "codes.npz")
    codes = atoms.transform(x)
    assert codes.nnz > 20
    assert_close(codes.toarray(), theirs["codes"])
    assert_close(atoms.inverse_transform(codes), theirs["vectors"])
    assert atoms.card["source"]["site"] == "layers.3.residual"
