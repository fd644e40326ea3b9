"""Static vectors: wordllama's, model2vec's and sentence-transformers' own, against their definitions and rivals."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import TEXTS, byte_pairs

from sememe.errors import ModelError
from sememe.models import Encoder


@pytest.fixture(scope="module")
def wordllama():
    if importlib.util.find_spec("wordllama") is None:
        pytest.skip("needs the package wordllama, which carries the vectors (pip install --no-deps wordllama)")
    return Encoder.load("wordllama")


def test_wordllama_is_the_mean_of_its_rows(wordllama) -> None:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = Path(importlib.util.find_spec("wordllama").submodule_search_locations[0])
    tokenizer = Tokenizer.from_file(str(package / "tokenizers/l2_supercat_tokenizer_config.json"))
    table = load_file(package / "weights/l2_supercat_256.safetensors")["embedding.weight"].astype(np.float64)
    expected = [table[tokenizer.encode(text, add_special_tokens=False).ids].mean(0) for text in TEXTS]
    assert (wordllama.name, wordllama.dimensions, wordllama.normalizes) == ("wordllama", 256, False)
    assert np.abs(wordllama.encode(TEXTS) - expected).max() < 1e-6


def test_options(wordllama) -> None:
    vectors = wordllama.encode(TEXTS, normalize_embeddings=True, truncate_dim=64)
    plain = wordllama.encode(TEXTS)[:, :64]
    assert np.allclose(vectors, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)
    assert wordllama.encode("").tolist() == [0.0] * 256
    assert wordllama.encode([]).shape == (0, 256)
    assert np.isfinite(wordllama.encode(["", "a"], normalize_embeddings=True)).all()
    assert np.array_equal(wordllama.encode(TEXTS)[3], wordllama.encode(TEXTS[3]))


def test_a_long_text_is_read_to_its_end(wordllama) -> None:
    text = "one two three " * 30_000
    assert np.abs(wordllama.encode(text) - wordllama.encode("one two three " * 3000)).max() < 1e-3
    assert np.abs(wordllama.encode(text + "zebra " * 30_000) - wordllama.encode(text)).max() > 1e-2


def test_spans(wordllama) -> None:
    assert wordllama.token_spans("red mats") == [(0, 3), (3, 5), (5, 8)]


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(byte_pairs()), 12)).astype(np.float32)


def model2vec_folder(folder: Path, arrays: dict[str, np.ndarray], *, normalize: bool) -> Path:
    save_file(arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": normalize}))
    byte_pairs().backend_tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("normalize", [False, True])
def test_model2vec_with_mapping_and_weights(tmp_path, table, normalize) -> None:
    mapping = np.random.default_rng(1).integers(0, 40, len(table))
    weights = np.random.default_rng(2).random(len(table))
    arrays = {"embeddings": table[:40].astype(np.float16), "mapping": mapping, "weights": weights}
    encoder = Encoder.load(model2vec_folder(tmp_path, arrays, normalize=normalize))
    rows = table[:40].astype(np.float16)[mapping] * weights[:, None]
    expected = np.stack([rows[byte_pairs().backend_tokenizer.encode(text).ids].mean(0) for text in TEXTS])
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert encoder.normalizes is normalize
    assert np.abs(encoder.encode(TEXTS) - expected).max() < 1e-5


@pytest.mark.parametrize("normalize", [False, True])
def test_equals_sentence_transformers(tmp_path, table, normalize) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.models import Normalize, StaticEmbedding

    modules = [StaticEmbedding(byte_pairs().backend_tokenizer, embedding_weights=table.copy())]
    model = sentence_transformers.SentenceTransformer(
        modules=modules + [Normalize()] * normalize, device="cpu", prompts={"query": "find: "}
    )
    model.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)
    encoder = Encoder.load(tmp_path / "theirs")
    encoder.save_pretrained(tmp_path / "ours")
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    for ours, theirs in ((encoder, model), (Encoder.load(tmp_path / "ours"), again)):
        assert np.abs(ours.encode([*TEXTS, ""]) - theirs.encode([*TEXTS, ""])).max() < 1e-5
        assert np.abs(ours.encode_query(TEXTS) - theirs.encode_query(TEXTS)).max() < 1e-5
        assert ours.normalizes is normalize
    Encoder.load(tmp_path / "ours").save_pretrained(tmp_path / "twice")
    for file in ("model.safetensors", "tokenizer.json", "modules.json", "config_sentence_transformers.json"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()


def test_refusals(tmp_path, table) -> None:
    folder = model2vec_folder(tmp_path, {"vectors": table}, normalize=False)
    with pytest.raises(ModelError, match=r"neither 'embedding\.weight' nor 'embeddings'"):
        Encoder.load(folder)
    save_file({"embeddings": table[:10]}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"10 vectors for \d+ tokens"):
        Encoder.load(folder)
    save_file({"embeddings": table}, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="is not a tokenizer"):
        Encoder.load(folder)
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": 0, "path": "", "type": "sentence_transformers.models.StaticEmbedding"},
                {"idx": 1, "path": "1_Dense", "type": "sentence_transformers.models.Dense"},
            ]
        )
    )
    with pytest.raises(ModelError, match="kind 'Dense' behind its static vectors"):
        Encoder.load(folder)
