"""Folders of SAELens and sparsify, made here by their equations; against the tools themselves: test_saelens_peer.py."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from faults import ERRORS, KILLS, count_points, fault, killed_at
from sememe.atoms import Atoms
from sememe.atoms.hook_names import hook_of, site_of
from sememe.atoms.saelens import export_saelens, import_saelens
from sememe.atoms.sparsify import import_sparsify
from sememe.atoms.weights import Weights
from sememe.errors import ArtifactError, InputError

N, D = 24, 10
META = {"sae_lens_version": "6.54.12", "model_name": "gpt2", "hook_name": "blocks.7.hook_mlp_out"}
CONFIG = {"architecture": "standard", "d_in": D, "d_sae": N, "dtype": "float32", "apply_b_dec_to_input": True,
          "normalize_activations": "none", "metadata": META}  # fmt: skip


def tensors(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "W_enc": rng.standard_normal((D, N)).astype(np.float32),
        "W_dec": (rng.standard_normal((N, D)) * rng.uniform(0.2, 4, (N, 1))).astype(np.float32),
        "b_enc": rng.standard_normal(N).astype(np.float32),
        "b_dec": rng.standard_normal(D).astype(np.float32),
    }


def write(folder, config=(), arrays=(), drop=()):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps({**CONFIG, **dict(config)}))
    whole = {**tensors(), **dict(arrays)}
    save_file({name: whole[name] for name in whole if name not in drop}, folder / "sae_weights.safetensors")
    return folder


@pytest.fixture
def x():
    return (2 * np.random.default_rng(5).standard_normal((60, D))).astype(np.float32)


def assert_same(atoms, x, codes, decoder, bias):
    """The atoms give these codes, times the decoder's norms, and this reconstruction."""
    found = atoms.transform(x)
    assert found.nnz
    scale = np.abs(codes).max()
    norms = np.linalg.norm(decoder, axis=1)
    np.testing.assert_allclose(found.toarray(), codes * norms, rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose(atoms.inverse_transform(found), codes @ decoder + bias, rtol=1e-4, atol=1e-4 * scale)
    np.testing.assert_allclose(np.linalg.norm(atoms.decoder, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("centred", [True, False])
def test_standard(centred, x, tmp_path):
    t = tensors()
    atoms = import_saelens(write(tmp_path / "sae", {"apply_b_dec_to_input": centred}))
    codes = np.maximum((x - centred * t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    assert_same(atoms, x, codes, t["W_dec"], t["b_dec"])
    assert atoms.card["coder"] == "imported"
    assert atoms.card["source"] == {"model": "gpt2", "hook": "blocks.7.hook_mlp_out", "site": "layers.7.mlp"}
    assert atoms.card["imported"]["architecture"] == "standard"


def test_jumprelu_with_thresholds_of_both_signs(x, tmp_path):
    t = tensors()
    threshold = np.linspace(-2, 3, N).astype(np.float32)
    atoms = import_saelens(write(tmp_path / "sae", {"architecture": "jumprelu"}, {"threshold": threshold}))
    p = (x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    assert_same(atoms, x, np.maximum(p, 0) * (p > threshold), t["W_dec"], t["b_dec"])


@pytest.mark.parametrize("centred", [True, False])
def test_a_gated_coder_is_a_threshold_coder(centred, x, tmp_path):
    t, rng = tensors(), np.random.default_rng(1)
    gate, magnitude, r = (rng.standard_normal(N).astype(np.float32) for _ in range(3))
    config = {"architecture": "gated", "apply_b_dec_to_input": centred}
    extra = {"b_gate": gate, "b_mag": magnitude, "r_mag": r}
    atoms = import_saelens(write(tmp_path / "sae", config, extra, drop=["b_enc"]))
    w = (x - centred * t["b_dec"]) @ t["W_enc"]
    codes = np.maximum(w * np.exp(r) + magnitude, 0) * (w + gate > 0)
    assert_same(atoms, x, codes, t["W_dec"], t["b_dec"])


def test_topk_ranked_by_norm(x, tmp_path):
    t = tensors()
    config = {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}
    atoms = import_saelens(write(tmp_path / "sae", config))
    norms = np.linalg.norm(t["W_dec"], axis=1)
    p = np.maximum(((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]) * norms, 0)
    codes = p * (p >= np.sort(p, axis=1)[:, -3:-2])
    assert_same(atoms, x, codes / norms, t["W_dec"], t["b_dec"])
    assert atoms.weights.k == 3


def test_topk_whose_choice_would_change_is_refused(tmp_path):
    folder = write(tmp_path / "sae", {"architecture": "topk", "k": 3})
    with pytest.raises(ArtifactError, match="would choose others"):
        import_saelens(folder)
    equal = tensors()["W_dec"]
    equal = 2.5 * equal / np.linalg.norm(equal, axis=1, keepdims=True)
    atoms = import_saelens(write(tmp_path / "sae", {"architecture": "topk", "k": 3}, {"W_dec": equal}))
    assert atoms.weights.k == 3


@pytest.mark.parametrize("by_norm", [True, False])
def test_batchtopk_checkpoint(by_norm, x, tmp_path):
    t = tensors()
    config = {"architecture": "batchtopk", "k": 4.5, "rescale_acts_by_decoder_norm": by_norm}
    atoms = import_saelens(write(tmp_path / "sae", config, {"topk_threshold": np.array(1.5)}))
    p = (x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    ranked = p * np.linalg.norm(t["W_dec"], axis=1) if by_norm else p
    assert_same(atoms, x, p * (ranked > 1.5), t["W_dec"], t["b_dec"])


def test_a_constant_scaling_is_folded_in(x, tmp_path):
    t, s = tensors(), 2.5
    folder = write(tmp_path / "sae", {"normalize_activations": "expected_average_only_in"})
    with pytest.raises(ArtifactError, match="no activation_scaler"):
        import_saelens(folder)
    for wrong in (0, -1, True, "2", None, float("nan")):
        (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": wrong}))
        with pytest.raises(ArtifactError, match="not a positive number"):
            import_saelens(folder)
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": s}))
    codes = np.maximum((s * x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    assert_same(import_saelens(folder), x, codes, t["W_dec"] / s, t["b_dec"] / s)


def test_folders_older_than_version_6(x, tmp_path):
    t = tensors()
    old = {"d_in": D, "d_sae": N, "hook_point": "blocks.2.hook_resid_pre", "model_name": "gpt2-small",
           "normalize_activations": False, "activation_fn_str": "relu"}  # fmt: skip
    folder = write(tmp_path / "sae", arrays={"scaling_factor": np.ones(N, np.float32)})
    (folder / "cfg.json").write_text(json.dumps(old))
    atoms = import_saelens(folder)
    assert_same(atoms, x, np.maximum((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0), t["W_dec"], t["b_dec"])
    assert atoms.card["source"]["site"] == "layers.1.residual"
    equal = t["W_dec"] / np.linalg.norm(t["W_dec"], axis=1, keepdims=True)
    write(folder, arrays={"W_dec": equal})
    topk = {**old, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}}
    (folder / "cfg.json").write_text(json.dumps(topk))
    assert import_saelens(folder).weights.k == 2
    for wrong in ({**old, "activation_fn_str": "tanh-relu"}, {**old, "normalize_activations": True},
                  {**topk, "activation_fn_kwargs": []}):  # fmt: skip
        (folder / "cfg.json").write_text(json.dumps(wrong))
        with pytest.raises(ArtifactError):
            import_saelens(folder)


def test_bfloat16_is_read_without_torch(tmp_path):
    # The upper halves of the float32 numbers, under a header written by hand.
    upper = {name: (array.view(np.uint32) >> 16).astype("<u2") for name, array in tensors().items()}
    folder, header, data = write(tmp_path / "sae"), {}, b""
    for name, array in upper.items():
        places = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": places}
        data += array.tobytes()
    text = json.dumps(header).encode()
    (folder / "sae_weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    expected = (upper["b_dec"].astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(import_saelens(folder).bias, expected)


def test_an_atom_without_direction_is_never_active(x, tmp_path):
    decoder = tensors()["W_dec"]
    decoder[4] = 0
    atoms = import_saelens(write(tmp_path / "sae", arrays={"W_dec": decoder}))
    assert atoms.transform(x)[:, 4].nnz == 0
    np.testing.assert_allclose(np.linalg.norm(atoms.decoder, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "skip_transcoder"}, "atoms cannot express.*reconstruct what they read"),
        ({"architecture": "matching_pursuit"}, "Readable are standard"),
        ({"architecture": None}, "architecture 'None'"),
        ({"architecture": ["standard"]}, "atoms cannot express"),
        ({"architecture": "x" * 10_000}, "atoms cannot express"),
        ({"d_sae": 10**15}, "says d_sae is 10000"),
        ({"d_in": "10"}, "says d_in"),
        ({"normalize_activations": "layer_norm"}, "layer_norm"),
        ({"normalize_activations": {"a": 1}}, "normalises its input"),
        ({"architecture": "topk"}, "k is 'None'"),
        ({"architecture": "topk", "k": N + 1}, "whole number from 1 to 24"),
        ({"architecture": "topk", "k": 2.0}, "whole number"),
        ({"architecture": "topk", "k": True}, "whole number"),
        ({"architecture": "jumprelu"}, "lacks the tensor threshold"),
        ({"architecture": "gated"}, "lacks the tensor b_gate"),
    ],
)
def test_configurations_that_are_refused(config, message, tmp_path):
    with pytest.raises(ArtifactError, match=message) as caught:
        import_saelens(write(tmp_path / "sae", config))
    assert caught.value.where is not None
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"W_enc": np.zeros((N, D), np.float32)}, r"W_enc has shape \(24, 10\), not \(10, 24\)"),
        ({"b_enc": np.zeros(N + 1, np.float32)}, "b_enc has shape"),
        ({"W_dec": np.zeros(N, np.float32)}, "W_dec has shape"),
        ({"W_dec": np.zeros((0, D), np.float32)}, "W_dec has shape"),
        ({"b_dec": np.full(D, np.nan, np.float32)}, "b_dec holds NaN"),
        ({"W_enc": np.full((D, N), np.inf, np.float32)}, "W_enc holds NaN"),
        ({"W_dec": np.full((N, D), 1e30, np.float32), "b_enc": np.full(N, 1e30, np.float32)}, "too large"),
        ({"W_enc": np.zeros((D, N), np.int8)}, "dtype I8"),
        ({"scaling_factor": np.full(N, 2, np.float32)}, "finetuning"),
    ],
)
def test_tensors_that_are_refused(arrays, message, tmp_path):
    with pytest.raises(ArtifactError, match=message):
        import_saelens(write(tmp_path / "sae", arrays=arrays))


@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "b_dec"])
def test_a_missing_tensor_is_named(name, tmp_path):
    with pytest.raises(ArtifactError, match=f"lacks the tensor {name}"):
        import_saelens(write(tmp_path / "sae", drop=[name]))


def test_folders_that_are_none(tmp_path):
    with pytest.raises(ArtifactError, match="not a folder"):
        import_saelens(tmp_path / "missing")
    with pytest.raises(ArtifactError, match="has no cfg"):
        import_saelens(tmp_path)
    folder = write(tmp_path / "sae")
    with pytest.raises(ArtifactError, match="not a file in it"):
        import_saelens(folder / "cfg.json")
    for text in ("[]", "{", "[" * 100_000, "{" + '"a":"' + "x" * (1 << 20) + '"}'):
        (folder / "cfg.json").write_text(text)
        with pytest.raises(ArtifactError):
            import_saelens(folder)
    write(folder)
    weights = folder / "sae_weights.safetensors"
    whole = weights.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"\xff" * 64):
        weights.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="not a valid safetensors file"):
            import_saelens(folder)
    weights.unlink()
    with pytest.raises(ArtifactError, match="has no sae_weights"):
        import_saelens(folder)


def test_a_pickle_is_not_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    folder = write(tmp_path / "sae")
    (folder / "sae_weights.safetensors").unlink()
    (folder / "sae_weights.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ArtifactError, match="pickle"):
        import_saelens(folder)
    (folder / "sae_weights.pt").rename(folder / "sae_weights.safetensors")
    with pytest.raises(ArtifactError, match="not a valid safetensors"):
        import_saelens(folder)
    assert not (tmp_path / "ran").exists()


def test_hostile_metadata_does_not_reach_the_card(tmp_path):
    meta = {"model_name": ["gpt2"], "dataset_path": 3, "hook_name": "../" * 500, "context_size": float("nan"),
            "prepend_bos": {"a": 1}, "sememe": {"site": 7, "model": 5}}  # fmt: skip
    atoms = import_saelens(write(tmp_path / "sae", {"metadata": meta}))
    assert atoms.card["source"] == {}
    atoms.save(tmp_path / "atoms")
    assert Atoms.load(tmp_path / "atoms").card["imported"]["format"] == "saelens"


def test_shares_of_active_vectors(tmp_path):
    shares = np.linspace(0, 1, N)
    folder = write(tmp_path / "sae")
    save_file({"sparsity": np.log10(shares + 1e-10).astype(np.float32)}, folder / "sparsity.safetensors")
    atoms = import_saelens(folder)
    np.testing.assert_allclose(atoms.fired / atoms.card["n_vectors"], shares, rtol=1e-6)
    save_file({"sparsity": np.zeros(3, np.float32)}, folder / "sparsity.safetensors")
    with pytest.raises(ArtifactError, match="sparsity has shape"):
        import_saelens(folder)


def atoms_of(thresholds=0.0, k=None, **card):
    rng = np.random.default_rng(2)
    decoder = rng.standard_normal((N, D)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    encoder = rng.standard_normal((N, D)).astype(np.float32)
    limits = (thresholds * rng.random(N)).astype(np.float32)
    weights = Weights(decoder, encoder, np.zeros(N, np.float32), np.ones(D, np.float32), limits, k)
    whole = {"coder": "threshold", "source": {"model": "gpt2", "site": "layers.3.mlp.key"}, "certificate": {},
             "n_train": 900, "n_held_out": 100, "r2": 0.5, **card}  # fmt: skip
    return Atoms(weights, np.arange(N), whole)


@pytest.mark.parametrize(
    ("thresholds", "k", "architecture"),
    [(0, None, "standard"), (1, None, "jumprelu"), (0, 3, "topk"), (0, N, "standard")],
)
def test_there_and_back_is_the_same_to_the_bit(thresholds, k, architecture, tmp_path):
    atoms = atoms_of(thresholds, k)
    config = export_saelens(atoms, tmp_path / "sae")
    assert config == json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert config["architecture"] == architecture
    assert config["metadata"]["hook_name"] == "blocks.3.mlp.hook_post"
    again = import_saelens(tmp_path / "sae")
    for name, array in atoms.weights.arrays().items():
        np.testing.assert_array_equal(again.weights.arrays()[name], array, err_msg=name)
    assert again.weights.k == (3 if k == 3 else None)
    np.testing.assert_array_equal(again.fired, atoms.fired)
    assert again.card["n_vectors"] == 1000
    assert again.card["source"]["site"] == "layers.3.mlp.key"


def test_the_threshold_itself_is_above_what_is_written(tmp_path):
    atoms = atoms_of(1.0)
    export_saelens(atoms, tmp_path / "sae")
    written = load_file(tmp_path / "sae" / "sae_weights.safetensors")["threshold"]
    ours = atoms.weights.thresholds
    assert (ours > written).all()
    np.testing.assert_array_equal(np.nextafter(written, np.float32(9)), ours)


def test_an_export_has_the_same_bytes_again_and_replaces_only_its_kind(tmp_path):
    for name in ("a", "b", "b"):
        export_saelens(atoms_of(1.0), tmp_path / name)
    for file in ("cfg.json", "sae_weights.safetensors", "sparsity.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    (tmp_path / "b" / "trainer_state.pt").touch()
    for name in ("other", "b"):
        with pytest.raises(ArtifactError, match="not replaced"):
            export_saelens(atoms_of(), tmp_path / name)


def test_what_saelens_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match="both a k and thresholds"):
        export_saelens(atoms_of(1.0, 3), tmp_path / "sae")
    assert not (tmp_path / "sae").exists()


def test_models_with_a_short_name_are_written_with_their_hub_id(tmp_path):
    atoms = atoms_of(source={"model": "smollm2-135m", "site": "layers.3.residual", "max_tokens": 256})
    meta = export_saelens(atoms, tmp_path / "sae")["metadata"]
    assert (meta["model_name"], meta["context_size"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", 256)
    assert import_saelens(tmp_path / "sae").card["source"]["model"] == "smollm2-135m"


def test_no_shares_are_written_where_none_are_known(tmp_path):
    export_saelens(import_saelens(write(tmp_path / "sae")), tmp_path / "again")
    assert not (tmp_path / "again" / "sparsity.safetensors").exists()


def test_a_kill_at_any_point_of_an_export_leaves_the_old_folder_or_the_new(tmp_path):
    old, new = atoms_of(1.0), atoms_of(0.0, 3)

    def fresh(place):
        export_saelens(old, place)
        return lambda: export_saelens(new, place)

    points = count_points(fresh(tmp_path / "count"))
    for point in range(1, points + 1):
        for kind in KILLS:
            place = tmp_path / f"{point}{kind}"
            killed_at(point, fresh(place), kind)
            assert import_saelens(place).weights.k in (None, 3)
        for kind in ERRORS:
            place = tmp_path / f"{point}{kind}"
            work = fresh(place)
            with fault(kind, point), pytest.raises(ArtifactError):
                work()
            assert import_saelens(place).weights.k in (None, 3)


@pytest.mark.parametrize(
    ("site", "hook"),
    [
        ("embedding", "blocks.0.hook_resid_pre"),
        ("layers.12.residual", "blocks.12.hook_resid_post"),
        ("layers.0.mlp", "blocks.0.hook_mlp_out"),
        ("layers.0.mlp.key", "blocks.0.mlp.hook_post"),
        ("layers.5.attention", "blocks.5.hook_attn_out"),
        ("layers.5.attention.heads", "blocks.5.attn.hook_z"),
    ],
)
def test_sites_have_hooks(site, hook):
    assert hook_of(site) == hook
    assert site_of(hook) == site


def test_other_names_of_sites():
    assert hook_of("final") is None
    assert hook_of("pooled") is None
    assert site_of("blocks.3.hook_resid_pre") == "layers.2.residual"
    assert site_of("model.layers.7") == "layers.7.residual"
    assert site_of("transformer.h.7.mlp") == "layers.7.mlp"
    assert site_of("gpt_neox.layers.1.attention") == "layers.1.attention"
    for other in ("", "hook_embed", "ln_final.hook_normalized", "blocks.3.ln2.hook_normalized", "blocks.x.hook_mlp_out",
                  "layers.7.mlp.up_proj", "blocks.3.hook_mlp_out\n", "x" * 10_000):  # fmt: skip
        assert site_of(other) is None


def sparsify_folder(place, config=(), arrays=(), k=4):
    t = tensors()
    decoder = t["W_dec"] / np.linalg.norm(t["W_dec"], axis=1, keepdims=True)
    whole = {"encoder.weight": np.ascontiguousarray(t["W_enc"].T), "encoder.bias": t["b_enc"], "W_dec": decoder,
             "b_dec": t["b_dec"], **dict(arrays)}  # fmt: skip
    place.mkdir(parents=True)
    save_file(whole, place / "sae.safetensors")
    whole = {"activation": "topk", "k": k, "d_in": D, "transcode": False, "skip_connection": False, **dict(config)}
    (place / "cfg.json").write_text(json.dumps(whole))
    return place


def test_sparsify(x, tmp_path):
    t = tensors()
    (tmp_path / "config.json").write_text(json.dumps({"model": "EleutherAI/pythia-160m"}))
    atoms = import_sparsify(sparsify_folder(tmp_path / "layers.5.mlp"))
    p = np.maximum((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0)
    decoder = t["W_dec"] / np.linalg.norm(t["W_dec"], axis=1, keepdims=True)
    assert_same(atoms, x, p * (p >= np.sort(p, axis=1)[:, -4:-3]), decoder, t["b_dec"])
    assert atoms.card["source"] == {"model": "EleutherAI/pythia-160m", "hook": "layers.5.mlp", "site": "layers.5.mlp"}
    atoms.save(tmp_path / "atoms")
    assert Atoms.load(tmp_path / "atoms").weights.k == 4
    with pytest.raises(ArtifactError, match="folder of sparsify"):
        import_saelens(tmp_path / "layers.5.mlp")


@pytest.mark.parametrize(
    ("config", "arrays", "message"),
    [
        ({"transcode": True}, {}, "transcoder"),
        ({"activation": "groupmax"}, {}, "groupmax"),
        ({"k": 0}, {}, "whole number"),
        ({}, {"W_skip": np.eye(D, dtype=np.float32)}, "skip connection"),
        ({}, {"W_dec": 3 * tensors()["W_dec"]}, "would choose others"),
        ({}, {"encoder.bias": np.full(N, np.nan, np.float32)}, "holds NaN"),
    ],
)
def test_what_of_sparsify_is_refused(config, arrays, message, tmp_path):
    with pytest.raises(ArtifactError, match=message):
        import_sparsify(sparsify_folder(tmp_path / "layers.1", config, arrays))
