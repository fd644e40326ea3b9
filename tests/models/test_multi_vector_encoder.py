"""Token vectors of late-interaction models: the same as those of sentence-transformers, in every format it reads."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXTS, bert_folder, randomised

from sememe.errors import InputError, ModelError
from sememe.models.multi_vector import MultiVectorEncoder, padded

pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
if not hasattr(sentence_transformers, "MultiVectorEncoder"):
    pytest.skip("needs sentence-transformers 6 for the comparison", allow_module_level=True)

PUNCTUATED = [*TEXTS, "cat, mat. (warm) - small!", "the cat " * 40]


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("bert") / "bert")


def projection(width: int = 8, **options):
    import torch
    from sentence_transformers.base.modules.dense import Dense

    identity = torch.nn.Identity()
    return randomised(
        Dense(32, width, bias=False, activation_function=identity, module_input_name="token_embeddings", **options)
    )


@pytest.fixture
def build(bert, tmp_path):
    """Save a MultiVectorEncoder of sentence-transformers around the tiny BERT; gives its folder and itself."""
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    def made(*between, mask=None, prompts=None, **options):
        first = Transformer(str(bert), **options)
        modules = [first, *between, MultiVectorMask(**(mask or {})), Normalize(module_input_name="token_embeddings")]
        model = sentence_transformers.MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts)
        model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
        return tmp_path / "saved"

    return made


def assert_same(folder: Path, texts=PUNCTUATED) -> MultiVectorEncoder:
    theirs = sentence_transformers.MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    ours = MultiVectorEncoder.load(folder)
    for kind, encode in (("query", theirs.encode_query), ("document", theirs.encode_document)):
        for mine, other in zip(ours.encode(texts, kind), encode(texts, convert_to_numpy=True), strict=True):
            assert mine.vectors.shape == other.shape, kind
            assert np.abs(mine.vectors - other).max(initial=0) < 2e-5
            assert np.abs(np.linalg.norm(mine.vectors, axis=1) - 1).max(initial=0) < 1e-5
            assert mine.spans.shape == (len(other), 2)
    assert ours.dimensions == theirs.get_embedding_dimension()
    return ours


EXPANSIONS = [
    {"strategy": "fixed", "length": 12},
    {"strategy": "fixed", "length": 12, "attend": True},
    {"strategy": "min", "length": 12, "token": "[UNK]"},
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"query_length": 9, "document_length": 20},
        *({"query_expansion": expansion} for expansion in EXPANSIONS),
        {"max_seq_length": 11, "do_lower_case": True},
    ],
    ids=str,
)
def test_a_multi_vector_encoder_gives_the_same_vectors(build, options) -> None:
    assert_same(build(projection(), **options))


@pytest.mark.parametrize(
    "mask",
    [
        {"skiplist_words": list(string.punctuation)},
        {"skiplist_words": ["the", "cat", "nothing-known"], "skiplist_tasks": ["query", "document"]},
        {"keep_only_token_ids": [5, 6, 7, 8, 9, 30, 31, 32]},
    ],
    ids=["punctuation", "queries too", "only some"],
)
def test_what_is_skipped_is_skipped(build, mask) -> None:
    folder = build(projection(), mask=mask, query_expansion=EXPANSIONS[0], prompts={"query": "cat: ", "document": "a "})
    texts = [text for text in PUNCTUATED if "cat" in text or "small" in text]
    assert_same(folder, texts)


def test_heads_may_be_several(build) -> None:
    import torch
    from sentence_transformers.base.modules.dense import Dense

    more = randomised(
        Dense(8, 8, activation_function=torch.nn.Tanh(), module_input_name="token_embeddings", use_residual=True)
    )
    assert assert_same(build(projection(), more)).dimensions == 8


@pytest.fixture
def pylate(bert, tmp_path):
    """A folder as PyLate writes it: a transformer, a dense layer of its own class, settings at the top."""

    def made(**settings) -> Path:
        folder = tmp_path / "pylate"
        shutil.copytree(bert, folder)
        dense = projection()
        (folder / "1_Dense").mkdir()
        dense.save(str(folder / "1_Dense"))
        config = json.loads((folder / "1_Dense" / "config.json").read_text())
        config.pop("module_input_name", None)
        config.pop("module_output_name", None)
        (folder / "1_Dense" / "config.json").write_text(json.dumps(config))
        types = ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
        modules = [
            {"idx": n, "name": str(n), "path": path, "type": kind}
            for n, (kind, path) in enumerate(zip(types, ["", "1_Dense"], strict=True))
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 19, "do_lower_case": False}))
        whole = {"model_type": "ColBERT", "similarity_fn_name": "MaxSim", "prompts": {}, **settings}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(whole))
        return folder

    return made


@pytest.mark.parametrize(
    "settings",
    [
        {"query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 16, "document_length": 30},
        {"query_prefix": "[UNK] ", "document_prefix": "[MASK] ", "query_length": 16, "document_length": 30},
        {"query_length": 10, "document_length": 30, "do_query_expansion": False, "skiplist_words": ["cat"]},
        {"query_length": 10, "attend_to_expansion_tokens": True, "skiplist_words": []},
        {"query_prefix": "[Q] ", "prompts": {"query": "cat: "}, "query_expansion": None},
    ],
    ids=["prefixes as text", "prefixes as tokens", "no expansion", "attended", "prefix and prompt"],
)
def test_pylate_folders_give_the_same_vectors(pylate, settings) -> None:
    assert_same(pylate(**settings))


def test_markers_that_the_tokenizer_knows_stay_whole(pylate) -> None:
    from transformers import AutoTokenizer

    folder = pylate(query_prefix="[Q] ", document_prefix="[D] ", query_length=16)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["[Q] ", "[D] "])
    tokenizer.save_pretrained(folder)
    _grow(folder, len(tokenizer))
    ours = assert_same(folder)
    ids = ours._tokenizers["query"].encode(["[Q] cat"])[0].ids
    assert ids[1] == tokenizer.convert_tokens_to_ids("[Q] ")


def _grow(folder: Path, n: int) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(n, mean_resizing=False)
    model.save_pretrained(folder)


@pytest.mark.parametrize("metadata", [None, {"query_maxlen": 12, "doc_maxlen": 20, "attend_to_mask_tokens": True}])
def test_colbert_folders_give_the_same_vectors(bert, tmp_path, metadata) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "colbert"
    shutil.copytree(bert, folder)
    weights = {f"bert.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    weights["linear.weight"] = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    if metadata is not None:
        (folder / "artifact.metadata").write_text(json.dumps({**metadata, "mask_punctuation": False}))
    assert assert_same(folder).dimensions == 6


def test_an_encoder_of_one_vector_gives_its_token_vectors(minilm) -> None:
    encoder = MultiVectorEncoder.load("minilm")
    texts = ["Sparse retrieval with learned dictionaries.", "word", "", "the cat " * 300]
    found = encoder.encode(texts)
    assert len(found[3].vectors) == encoder.document_length == 256
    # Before they are scaled, the mean of the token vectors is the pooled vector; scaled, it still points there.
    for record, pooled in zip(found[:2], minilm.encode(texts[:2]), strict=True):
        mean = record.vectors.mean(axis=0)
        assert mean @ pooled / np.linalg.norm(mean) > 0.98
    assert encoder.fingerprint != minilm.fingerprint


def test_spans_name_the_characters_of_the_text(pylate) -> None:
    encoder = MultiVectorEncoder.load(pylate(query_prefix="[Q] ", query_length=16, skiplist_words=[]))
    record = encoder.encode(["The cat sat."], "query")[0]
    words = ["The cat sat."[start:end] for start, end in record.spans if end > start]
    assert "".join(words) == "Thecatsat."
    assert len(record.spans) == 16
    assert not record.spans[0].any()
    assert not record.spans[-1].any()


def test_neighbours_and_batches_change_nothing(bert) -> None:
    encoder = MultiVectorEncoder.load(bert)
    together = encoder.encode(PUNCTUATED, batch_size=64)
    for text, record in zip(PUNCTUATED, together, strict=True):
        alone = encoder.encode([text], batch_size=1)[0]
        assert np.array_equal(alone.spans, record.spans)
        assert np.abs(alone.vectors - record.vectors).max() < 1e-5


def test_lengths_may_be_given(bert) -> None:
    encoder = MultiVectorEncoder.load(bert, query_length=5, document_length=7)
    assert [len(encoder.encode(["cat " * 20], kind)[0].vectors) for kind in ("query", "document")] == [5, 7]
    assert encoder.fingerprint != MultiVectorEncoder.load(bert).fingerprint
    assert encoder.fingerprint == MultiVectorEncoder.load(bert, query_length=5, document_length=7).fingerprint


def test_padded_holds_the_same_vectors(bert) -> None:
    records = MultiVectorEncoder.load(bert).encode(["cat", "the cat sat on the mat"])
    vectors, mask = padded(records)
    assert vectors.shape == (*mask.shape, 32)
    for record, rows, kept in zip(records, vectors, mask, strict=True):
        assert np.array_equal(rows[kept], record.vectors)
        assert not rows[~kept].any()


def test_no_texts_give_nothing(bert) -> None:
    assert MultiVectorEncoder.load(bert).encode([]) == []


def test_what_cannot_be_used_is_refused(bert, build, tmp_path) -> None:
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    encoder = MultiVectorEncoder.load(bert)
    with pytest.raises(InputError, match=r"texts\[1\]"):
        encoder.encode(["cat", 3])
    with pytest.raises(InputError, match="passage"):
        encoder.encode(["cat"], "passage")
    with pytest.raises(InputError, match="query_length"):
        MultiVectorEncoder.load(bert, query_length=0)
    with pytest.raises(ModelError, match="pruning"):
        MultiVectorEncoder.load(build(projection(), HierarchicalTokenPooling(2.0)))


def test_code_of_a_model_is_never_run(pylate, tmp_path) -> None:
    folder = pylate()
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "own_code.Dense"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "own_code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="never runs code"):
        MultiVectorEncoder.load(folder)
    assert not (tmp_path / "ran").exists()


def test_vectors_that_are_not_scaled_are_refused(pylate) -> None:
    folder = pylate()
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({**settings, "model_type": "MultiVectorEncoder"})
    )
    with pytest.raises(ModelError, match="unit length"):
        MultiVectorEncoder.load(folder)


@pytest.mark.parametrize("side", ["left", "right"])
def test_spans_of_a_text_that_is_cut(bert, tmp_path, side) -> None:
    from transformers import AutoTokenizer

    folder = tmp_path / "cut"
    shutil.copytree(bert, folder)
    AutoTokenizer.from_pretrained(bert, truncation_side=side).save_pretrained(folder)
    text = "warm " * 300 + "the cat sat on the mat " * 300
    spans = MultiVectorEncoder.load(folder, document_length=8).encode([text])[0].spans
    words = [text[start:end] for start, end in spans if end > start]
    assert words == (["warm"] * 6 if side == "right" else ["the", "cat", "sat", "on", "the", "mat"])
    assert not spans[[0, -1]].any()
