"""Folders of sentence-transformers and transformers: the same vectors as there, and refusals that name the fault."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TEXTS, bert_folder, byte_pairs, causal_model, randomised

from sememe import disk
from sememe.errors import ArtifactError, InputError, ModelError, SememeError
from sememe.models import Encoder
from sememe.models.encoder import compared, is_compared_by_cosine
from sememe.models.trainable import EncoderChanges, as_trainable

transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture
def build(bert, tmp_path):
    """Save a sentence-transformers model around the tiny BERT: `build(module, ...)` gives its folder and itself."""
    from sentence_transformers.models import Transformer

    def made(*modules, folder: Path = bert, lower_case: bool = False, max_length: int | None = 24, **options):
        first = Transformer(str(folder), max_seq_length=max_length, do_lower_case=lower_case)
        model = sentence_transformers.SentenceTransformer(modules=[first, *modules], device="cpu", **options)
        model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
        return tmp_path / "saved", model

    return made


def pooling(mode="mean", **options):
    from sentence_transformers.models import Pooling

    return Pooling(32, mode, **options)


def dense(width: int, activation: str = "Tanh", **options):
    import torch
    from sentence_transformers.models import Dense

    return randomised(
        Dense(options.pop("width_in", 32), width, activation_function=getattr(torch.nn, activation)(), **options)
    )


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all()
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("mode", [*MODES, ("mean", "max"), ("cls", "lasttoken")], ids=str)
def test_pooling_equals_sentence_transformers(build, mode) -> None:
    folder, model = build(pooling(mode))
    assert_same(Encoder.load(folder).encode([*TEXTS, ""]), model.encode([*TEXTS, ""]))


@pytest.mark.parametrize("activation", ["Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid"])
def test_dense_equals_sentence_transformers(build, activation) -> None:
    folder, model = build(pooling(), dense(12, activation))
    assert_same(Encoder.load(folder).encode(TEXTS), model.encode(TEXTS))


def test_every_kind_of_module_equals_sentence_transformers(build) -> None:
    from sentence_transformers.models import Dropout, LayerNorm, Normalize

    modules = [pooling("cls"), dense(32, use_residual=True), LayerNorm(32), Dropout(), dense(12, use_residual=True)]
    folder, model = build(*modules, dense(12, bias=False, width_in=12), Normalize())
    encoder = Encoder.load(folder)
    assert (encoder.dimensions, encoder.normalizes, encoder.max_tokens) == (12, True, 22)
    assert_same(encoder.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize("lower_case", [False, True])
def test_settings_of_the_tokenizer_count(build, lower_case) -> None:
    folder, model = build(pooling(), lower_case=lower_case, max_length=9)
    assert_same(Encoder.load(folder).encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize("include_prompt", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_prompts_equal_sentence_transformers(build, mode, include_prompt) -> None:
    prompts = {"query": "cat mat: ", "document": "warm ", "passage": "small ", "topic": "sparse: "}
    folder, model = build(pooling(mode, include_prompt=include_prompt), prompts=prompts, default_prompt_name="topic")
    encoder = Encoder.load(folder)
    assert_same(encoder.encode(TEXTS), model.encode(TEXTS))
    assert_same(encoder.encode_query(TEXTS), model.encode_query(TEXTS))
    assert_same(encoder.encode_document(TEXTS), model.encode_document(TEXTS))
    assert_same(encoder.encode(TEXTS, prompt_name="passage"), model.encode(TEXTS, prompt_name="passage"))
    assert_same(encoder.encode(TEXTS, prompt="is "), model.encode(TEXTS, prompt="is "))
    assert_same(encoder.encode(TEXTS, prompt=""), model.encode(TEXTS, prompt=""))
    assert not np.allclose(encoder.encode(TEXTS), encoder.encode(TEXTS, prompt=""))


def test_prompts_can_be_given_and_are_saved(build, tmp_path) -> None:
    folder, _ = build(pooling())
    plain = Encoder.load(folder)
    encoder = plain.with_prompts(query="cat mat: ").with_prompts(document="warm ")
    assert_same(encoder.encode_query(TEXTS), plain.encode(TEXTS, prompt="cat mat: "))
    assert_same(encoder.encode_document(TEXTS), plain.encode(TEXTS, prompt="warm "))
    assert_same(plain.encode_query(TEXTS), plain.encode(TEXTS))
    assert plain.with_prompts() is plain
    at_once = plain.with_prompts(query="cat mat: ", document="warm ")
    assert encoder.fingerprint == at_once.fingerprint != plain.fingerprint
    assert encoder.max_tokens == plain.max_tokens - len(plain.token_spans("cat mat: "))
    encoder.save_pretrained(tmp_path / "prompted")
    peer = sentence_transformers.SentenceTransformer(str(tmp_path / "prompted"), device="cpu")
    assert_same(encoder.encode_query(TEXTS), peer.encode_query(TEXTS))
    assert_same(Encoder.load(tmp_path / "prompted").encode_document(TEXTS), peer.encode_document(TEXTS))


def test_training_reads_given_prompts_and_saves_them(build, tmp_path) -> None:
    encoder = Encoder.load(build(pooling())[0], device="cpu")
    trainable = as_trainable(encoder, EncoderChanges(query_prompt="cat mat: "))
    prompt = trainable.tokenize(["cat mat: "])[0]
    assert trainable.frames["query"][0][-len(prompt) :] == prompt
    assert trainable.frames["document"][0] == as_trainable(encoder).frames["document"][0]
    trainable.save(tmp_path / "trained", {})
    assert Encoder.load(tmp_path / "trained").prompts["query"] == "cat mat: "


def test_an_index_remembers_the_prompts_that_were_given(build, tmp_path) -> None:
    from sememe import Document, Index

    plain = Encoder.load(build(pooling())[0])
    encoder = plain.with_prompts(query="cat mat: ", document="warm ")
    documents = [Document(str(number), text) for number, text in enumerate(TEXTS) if text.strip()]
    with Index.build(documents, encoder, tmp_path / "i") as index:
        expected = [(hit.document.id, hit.score) for hit in index.search("soft", k=3)]
    with Index.open(tmp_path / "i") as index:
        assert index.encoder.prompts["query"] == "cat mat: "
        assert [(hit.document.id, hit.score) for hit in index.search("soft", k=3)] == expected
        assert_same(index.query_vector("soft"), plain.encode("soft", prompt="cat mat: ", normalize_embeddings=True))
    with Index.open(tmp_path / "i", encoder=plain) as index:
        assert [(hit.document.id, hit.score) for hit in index.search("soft", k=3)] == expected
    with (
        Index.open(tmp_path / "i", encoder=plain.with_prompts(query="warm ")) as index,
        pytest.raises(ModelError, match="built with another"),
    ):
        index.search("soft")


def test_room_is_what_a_prompt_leaves(build) -> None:
    folder, _ = build(pooling(), prompts={"query": "cat mat: "})
    encoder = Encoder.load(folder)
    full = "cat " * encoder.max_tokens
    assert encoder.max_tokens == 24 - 2 - len(encoder.token_spans("cat mat: "))
    assert np.allclose(encoder.encode_query(full), encoder.encode_query(full + "mat"))
    assert not np.allclose(encoder.encode_query(full), encoder.encode_query("cat " * (encoder.max_tokens - 1) + "mat"))


def test_cutting_in_the_configuration(build) -> None:
    from sentence_transformers.models import Normalize

    folder, _ = build(pooling(), Normalize())
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "truncate_dim": 8}))
    encoder = Encoder.load(folder)
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    assert (encoder.dimensions, encoder.width, encoder.normalizes) == (8, 32, False)
    assert_same(encoder.encode(TEXTS), model.encode(TEXTS))
    assert_same(encoder.encode(TEXTS, truncate_dim=20), model.encode(TEXTS, truncate_dim=20))


@pytest.mark.parametrize("said", [None, "cosine", "dot", "euclidean"])
def test_vectors_are_compared_as_sentence_transformers_does(build, bert, said) -> None:
    folder, model = build(pooling(), similarity_fn_name=said)
    encoder = Encoder.load(folder)
    assert encoder.similarity == model.similarity_fn_name == (said or "cosine")
    assert Encoder.load(bert).similarity == "cosine"
    if said == "euclidean":
        with pytest.raises(ModelError, match=r"compared by 'euclidean'.*cosine or dot"):
            is_compared_by_cosine(encoder)
        assert not is_compared_by_cosine(encoder, "dot")
        return
    by_cosine = is_compared_by_cosine(encoder)
    queries, texts = (
        compared(vectors, encoder, by_cosine=by_cosine)
        for vectors in (encoder.encode_query(TEXTS[:2]), encoder.encode_document(TEXTS))
    )
    theirs = model.similarity(model.encode_query(TEXTS[:2]), model.encode_document(TEXTS)).numpy()
    assert_same(queries @ texts.T, theirs)


@pytest.mark.parametrize("said", [None, "dot"])
def test_training_begins_with_vectors_as_they_are_compared(build, said) -> None:
    encoder = Encoder.load(build(pooling(), similarity_fn_name=said)[0], device="cpu")
    trainable = as_trainable(encoder)
    assert trainable.similarity == (said or "cosine")
    before = compared(encoder.encode(TEXTS), encoder, by_cosine=said is None)
    assert_same(trainable.encoder.encode(TEXTS), before)


def test_unit_vectors_are_not_touched(build) -> None:
    from sentence_transformers.models import Normalize

    folder, _ = build(pooling(), Normalize(), similarity_fn_name="dot")
    encoder = Encoder.load(folder)
    vectors = encoder.encode(TEXTS)
    assert is_compared_by_cosine(encoder)
    assert compared(vectors, encoder, by_cosine=True) is vectors


def test_a_bare_transformer_is_pooled_by_its_mean(bert) -> None:
    model = sentence_transformers.SentenceTransformer(str(bert), device="cpu")
    assert_same(Encoder.load(bert).encode(TEXTS), model.encode(TEXTS))


@pytest.fixture(scope="module")
def causal(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("causal")
    causal_model("llama").save_pretrained(folder)
    byte_pairs().save_pretrained(folder)
    return folder


def test_a_bare_causal_model_is_pooled_by_its_last_token(causal) -> None:
    model = sentence_transformers.SentenceTransformer(str(causal), device="cpu")
    assert_same(Encoder.load(causal).encode(TEXTS), model.encode(TEXTS))


def test_a_text_without_tokens_is_zero(causal) -> None:
    encoder = Encoder.load(causal)
    assert encoder.token_spans("") == []
    assert not encoder.encode("").any()
    mixed = encoder.encode(["", "the cat", ""])
    assert not mixed[[0, 2]].any()
    assert np.allclose(mixed[1], encoder.encode("the cat"), atol=1e-6)


def test_only_the_encoder_of_an_encoder_decoder_runs(tmp_path) -> None:
    tokenizer = byte_pairs()
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=0
    )
    randomised(transformers.T5ForConditionalGeneration(config)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    encoder = Encoder.load(tmp_path)
    assert not hasattr(encoder.model, "decoder")
    assert_same(encoder.encode(TEXTS), model.encode(TEXTS))


def test_saved_folders_load_everywhere_and_save_the_same_bytes(build, tmp_path) -> None:
    from sentence_transformers.models import LayerNorm, Normalize

    modules = [pooling("max", include_prompt=False), dense(12, "GELU", use_residual=True), LayerNorm(12), Normalize()]
    folder, model = build(*modules, prompts={"query": "find: "}, lower_case=True)
    encoder = Encoder.load(folder)
    encoder.save_pretrained(tmp_path / "first")
    again = Encoder.load(tmp_path / "first")
    again.save_pretrained(tmp_path / "second")
    rival = sentence_transformers.SentenceTransformer(str(tmp_path / "first"), device="cpu")
    for other in (again, rival, model):
        assert_same(encoder.encode_query(TEXTS), other.encode_query(TEXTS))
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert again.fingerprint == Encoder.load(tmp_path / "second").fingerprint


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_failed_save_leaves_the_old_folder(bert, tmp_path, monkeypatch) -> None:
    encoder = Encoder.load(bert)
    encoder.save_pretrained(tmp_path / "model")
    before = contents(tmp_path / "model")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(disk, "fsync", fail)
    with pytest.raises(ArtifactError, match="cannot be written"):
        encoder.save_pretrained(tmp_path / "model")
    assert contents(tmp_path / "model") == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_not_replaced(bert, tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="not an encoder's folder"):
        Encoder.load(bert).save_pretrained(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_fingerprint_follows_the_weights_and_not_the_readme(bert, tmp_path) -> None:
    first = Encoder.load(bert).fingerprint
    shutil.copytree(bert, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("another")
    assert Encoder.load(tmp_path / "copy").fingerprint == first
    weights = tmp_path / "copy" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert Encoder.load(tmp_path / "copy").fingerprint != first


def test_a_path_is_named_so_that_it_is_found_from_anywhere(bert, monkeypatch) -> None:
    monkeypatch.chdir(bert.parent)
    assert Encoder.load("bert").name == str(bert)


def edited(folder: Path, file: str, change) -> Path:
    path = folder / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return folder


def retyped(place: int, kind: str):
    def change(modules: list) -> list:
        modules[place]["type"] = kind
        return modules

    return change


REFUSALS = {
    "a kind we do not have": ("modules.json", retyped(2, "sentence_transformers.models.CNN"), "kind 'CNN'"),
    "a first kind we do not have": ("modules.json", retyped(0, "sentence_transformers.models.BoW"), "kind 'BoW'"),
    "code of its own": ("modules.json", retyped(2, "custom.Evil"), "needs code of its own"),
    "no pooling": ("modules.json", lambda modules: [modules[0], modules[2]], "where its pooling should be"),
    "a module elsewhere": ("modules.json", lambda m: [*m[:2], {**m[2], "path": "../../2_Dense"}], "outside its folder"),
    "no list": ("modules.json", lambda _: {}, "not a list of modules"),
    "an unknown pooling": (
        "1_Pooling/config.json",
        lambda c: {**c, "pooling_mode": "median"},
        "unknown pooling 'median'",
    ),
    "an unknown activation": (
        "2_Dense/config.json",
        lambda c: {**c, "activation_function": "os.system"},
        "unknown activation 'os.system'",
    ),
    "a width that does not fit": ("2_Dense/config.json", lambda c: {**c, "out_features": 5}, "does not fit"),
    "no width": ("2_Dense/config.json", lambda c: {"bias": True}, "in_features"),
    "a length that is no number": (
        "sentence_bert_config.json",
        lambda c: {**c, "max_seq_length": "x"},
        "max_seq_length",
    ),
    "another task": (
        "sentence_bert_config.json",
        lambda c: {**c, "transformer_task": "text-generation"},
        "'text-generation' transformer",
    ),
    "prompts that are none": ("config_sentence_transformers.json", lambda c: {**c, "prompts": [1]}, "prompts is"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(build, case) -> None:
    file, change, message = REFUSALS[case]
    folder, _ = build(pooling(), dense(12))
    with pytest.raises(ModelError, match=message.replace(".", r"\.")):
        Encoder.load(edited(folder, file, change))


def test_refuses_pickled_weights_without_opening_them(bert, tmp_path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\)"):
        Encoder.load(folder)


def test_refuses_damaged_weights(build) -> None:
    folder, _ = build(pooling(), dense(12))
    for file, kind in (("2_Dense/model.safetensors", ArtifactError), ("model.safetensors", ModelError)):
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(data[: len(data) // 2])
        with pytest.raises(kind, match=r"model\.safetensors|cannot be loaded"):
            Encoder.load(folder)
        (folder / file).write_bytes(data)


def test_refuses_a_folder_that_is_no_model(tmp_path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        Encoder.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        Encoder.load(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(ModelError, match="is a file"):
        Encoder.load(tmp_path / "file")


def test_refuses_an_architecture_that_needs_code(bert, tmp_path) -> None:
    folder = tmp_path / "remote"
    shutil.copytree(bert, folder)
    canary = tmp_path / "canary"
    (folder / "modeling.py").write_text(f"open({str(canary)!r}, 'w')\n")
    auto = {"AutoConfig": "modeling.C", "AutoModel": "modeling.M"}
    edited(folder, "config.json", lambda c: {**c, "model_type": "unheard-of", "auto_map": auto})
    with pytest.raises(SememeError, match="cannot be loaded by transformers"):
        Encoder.load(folder)
    assert not canary.exists()


@pytest.fixture(scope="module")
def tiny_encoder(bert):
    return Encoder.load(bert)


@given(st.lists(st.text(st.characters(), max_size=60), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_text_is_encoded_or_refused(tiny_encoder, texts) -> None:
    try:
        vectors = tiny_encoder.encode(texts)
    except InputError:
        assert any("\ud800" <= character <= "\udfff" for text in texts for character in text)
        return
    assert vectors.shape == (len(texts), 32)
    assert np.isfinite(vectors).all()
    for text, vector in zip(texts, vectors, strict=True):
        assert np.abs(tiny_encoder.encode(text) - vector).max() < 1e-5
        spans = tiny_encoder.token_spans(text)
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert spans == sorted(spans)


def test_refuses_a_device_that_is_not_here(bert) -> None:
    with pytest.raises(InputError, match="cannot use the device 'abacus'"):
        Encoder.load(bert, device="abacus")
