"""The feedback encoder: its input format, what fits the window, letter case, its folder, published checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_models import WORDS, bert_folder, byte_pairs, causal_model, randomised, word_pieces

from hash_encoder import HashEncoder
from sememe.errors import ArtifactError, InputError, ModelError
from sememe.models import Encoder
from sememe.models.feedback_encoder import PrfEncoder

transformers = pytest.importorskip("transformers")

QUERY = "the cat sat on a mat"  # one token a word
PASSAGE = "retrieval of documents with sparse vectors is fast when an index is small and its memory is cached and soft"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.load(bert_folder(tmp_path_factory.mktemp("bert") / "bert"), device="cpu")


def cased_roberta(folder, model_kind="RobertaModel", **sizes):
    """A tiny RoBERTa with a byte-level tokenizer that tells cases apart."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([WORDS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    config = transformers.RobertaConfig(
        vocab_size=len(fast), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2, **sizes,
    )  # fmt: skip
    model = randomised(getattr(transformers, model_kind)(config))
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    return cased_roberta(tmp_path_factory.mktemp("roberta") / "roberta")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkpoint as ANCE-PRF was published: RobertaModel as `roberta.`, `embeddingHead`, `norm`."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = cased_roberta(tmp_path_factory.mktemp("ance") / "ance")
    generator = torch.Generator().manual_seed(1)
    state = {f"roberta.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    for name, shape in (("embeddingHead.weight", (24, 32)), ("embeddingHead.bias", (24,)), ("norm.bias", (24,))):
        state[name] = torch.randn(shape, generator=generator)
    state["norm.weight"] = 1 + torch.randn(24, generator=generator) / 4
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class Base(HashEncoder):
    """The encoder of an index, as far as a published checkpoint needs it."""

    name, fingerprint, dimensions = "ance", "ance-1", 24

    def __init__(self):
        super().__init__(24)


def test_without_passages_it_reads_what_the_encoder_reads(encoder):
    prf = PrfEncoder.from_encoder(encoder)
    vector, used = prf.encode(QUERY, [])
    np.testing.assert_array_equal(vector, encoder.encode_query(QUERY))
    assert used == 0


def test_without_passages_roberta_too(roberta):
    encoder = Encoder.load(roberta, device="cpu")
    vector, _ = PrfEncoder.from_encoder(encoder).encode(QUERY, [])
    np.testing.assert_array_equal(vector, encoder.encode_query(QUERY))


def test_the_input_is_one_string_with_single_separators(encoder, roberta):
    """Against the published way: join the strings, tokenise without special tokens."""
    for folder_encoder, cls, sep in ((encoder, "[CLS]", "[SEP]"), (Encoder.load(roberta, device="cpu"), "<s>", "</s>")):
        prf = PrfEncoder.from_encoder(folder_encoder, k=2)
        parts = [QUERY, "soft mats", "sparse vectors"]
        joined = cls + sep.join(parts) + sep
        expected = folder_encoder.tokenizer(joined, add_special_tokens=False)["input_ids"]
        ids, used = prf._ids(parts[0], parts[1:], "")
        assert ids == expected
        assert prf.separator == sep
        assert used == sum(len(folder_encoder.token_spans(part)) for part in parts[1:])
        assert ids.count(expected[-1]) == 3


def test_the_vector_is_that_of_transformers(encoder):
    import torch

    prf = PrfEncoder.from_encoder(encoder, k=2)
    parts = [QUERY, "soft mats", "sparse vectors"]
    ids = encoder.tokenizer("[CLS]" + "[SEP]".join(parts) + "[SEP]", add_special_tokens=False, return_tensors="pt")
    with torch.inference_mode():
        states = encoder.model(**{**ids, "token_type_ids": torch.zeros_like(ids["input_ids"])}).last_hidden_state
    np.testing.assert_allclose(prf.encode(parts[0], parts[1:]).vector, states[0].mean(0).numpy(), atol=1e-6)


def test_what_does_not_fit_is_cut_and_counted(encoder):
    """Spec: window 32, query 6 tokens, passages of 20: passage 1 whole, and 2 tokens of passage 2 as [SEP] stays."""
    prf = PrfEncoder.from_encoder(encoder, k=3, window=32)
    assert len(encoder.token_spans(QUERY)) == 6
    assert len(encoder.token_spans(PASSAGE)) == 20
    ids, used = prf._ids(QUERY, [PASSAGE] * 3, "")
    assert (len(ids), used) == (32, 22)
    assert prf.encode(QUERY, [PASSAGE] * 3).n_feedback_tokens_used == 22
    separator = encoder.tokenizer.sep_token_id
    assert [place for place, one in enumerate(ids) if one == separator] == [7, 28, 31]
    # A separator with nothing behind it is not read.
    ids, used = PrfEncoder.from_encoder(encoder, k=3, window=30)._ids(QUERY, [PASSAGE] * 3, "")
    assert (len(ids), used, ids.count(separator)) == (29, 20, 2)


def test_a_batch_is_what_its_queries_are_alone(encoder):
    prf = PrfEncoder.from_encoder(encoder, k=3)
    queries = [QUERY, "warm", "documents and vectors"]
    passages = [["soft"] * 3, [PASSAGE, "mats", "cats"], ["index"]]
    vectors, used = prf.encode_batch(queries, passages)
    for number, (query, of_query) in enumerate(zip(queries, passages, strict=True)):
        vector, count = prf.encode(query, of_query)
        np.testing.assert_allclose(vectors[number], vector, atol=1e-6)
        assert used[number] == count
    assert prf.encode_batch([], [])[0].shape == (0, 32)


def test_an_uncased_model_reads_cases_alike(encoder):
    prf = PrfEncoder.from_encoder(encoder)
    np.testing.assert_array_equal(prf.encode("WHAT is", ["A Mat"]).vector, prf.encode("what is", ["a mat"]).vector)


def test_a_cased_model_reads_cases_alike_only_when_lowercase_is_set(roberta):
    encoder = Encoder.load(roberta, device="cpu")
    lower, cased = (PrfEncoder.from_encoder(encoder, lowercase=value) for value in (True, False))
    assert lower.as_read("WHAT is") == "what is"
    assert cased.as_read("WHAT is") == "WHAT is"
    upper, plain = ("WHAT is", ["A Mat"]), ("what is", ["a mat"])
    np.testing.assert_array_equal(lower.encode(*upper).vector, lower.encode(*plain).vector)
    np.testing.assert_array_equal(lower.encode(*upper).vector, cased.encode(*plain).vector)
    assert np.abs(cased.encode(*upper).vector - cased.encode(*plain).vector).max() > 1e-3


def test_it_saves_and_loads_the_same(encoder, tmp_path):
    prf = PrfEncoder.from_encoder(encoder, k=2, window=40, lowercase=True)
    prf.save_pretrained(tmp_path / "prf")
    again = PrfEncoder.load(tmp_path / "prf", device="cpu")
    assert (again.k, again.window, again.lowercase, again.separator) == (2, 40, True, "[SEP]")
    assert again.base == {"name": encoder.name, "fingerprint": encoder.fingerprint, "dimensions": 32}
    np.testing.assert_array_equal(again.encode(QUERY, ["Mats"]).vector, prf.encode(QUERY, ["Mats"]).vector)
    again.save_pretrained(tmp_path / "again")
    files = [file.relative_to(tmp_path / "prf") for file in sorted((tmp_path / "prf").rglob("*")) if file.is_file()]
    assert files
    for file in files:
        assert (tmp_path / "prf" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file
    # It replaces its own kind, and the encoder inside loads by itself.
    prf.save_pretrained(tmp_path / "again")
    assert Encoder.load(tmp_path / "again" / "encoder").dimensions == 32


def test_damage_is_refused_by_name(encoder, tmp_path):
    prf = PrfEncoder.from_encoder(encoder)
    path = tmp_path / "prf"
    prf.save_pretrained(path)
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps({**card, "k": 4}))
    with pytest.raises(ArtifactError, match="was edited"):
        PrfEncoder.load(path)
    (path / "card.json").write_text(json.dumps({**card, "kind": "atoms"}))
    with pytest.raises(ArtifactError, match="not a feedback-encoder"):
        PrfEncoder.load(path)
    (path / "card.json").write_text(json.dumps({**card, "format_version": 99}))
    with pytest.raises(ArtifactError, match="version 99"):
        PrfEncoder.load(path)
    (path / "card.json").write_text(json.dumps(card))
    weights = path / "encoder" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"encoder: is damaged"):
        PrfEncoder.load(path)
    with pytest.raises(ArtifactError, match="no card"):
        PrfEncoder.load(tmp_path / "nothing")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="no card"):
        prf.save_pretrained(tmp_path / "notes")
    assert (tmp_path / "notes" / "a.txt").read_text() == "mine"


def test_it_refuses_what_does_not_fit(encoder):
    prf = PrfEncoder.from_encoder(encoder, k=2, window=20)
    with pytest.raises(InputError, match="reads 2 passages, not 3"):
        prf.encode(QUERY, ["a"] * 3)
    with pytest.raises(InputError, match=r"query has 24 tokens, which leaves no room .* window of 20"):
        prf.encode(" ".join([QUERY] * 4), ["a"])
    with pytest.raises(InputError, match="2 queries and passages for 1"):
        prf.encode_batch([QUERY, QUERY], [["a"]])
    with pytest.raises(InputError, match=r"k must be at least 1.*from 1 to 48 tokens.*not 49"):
        PrfEncoder.from_encoder(encoder, k=0, window=49)
    with pytest.raises(InputError, match="has no transformer"):
        PrfEncoder.from_encoder(HashEncoder())
    with pytest.raises(ModelError, match=r"belongs to .* the index was built with another encoder"):
        prf.check_base("another")
    prf.check_base(encoder.fingerprint)


def test_a_query_that_just_fits_is_read(encoder):
    prf = PrfEncoder.from_encoder(encoder, k=2, window=10)
    assert prf.encode(QUERY, ["mat mat"]).n_feedback_tokens_used == 1
    with pytest.raises(InputError, match="leaves no room"):
        PrfEncoder.from_encoder(encoder, k=2, window=9).encode(QUERY, ["mat mat"])


def test_a_query_prompt_goes_in_front_of_the_query(tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.models import Pooling, Transformer

    base = bert_folder(tmp_path / "bert")
    for include in (True, False):
        model = sentence_transformers.SentenceTransformer(
            modules=[Transformer(str(base), max_seq_length=40), Pooling(32, "mean", include_prompt=include)],
            device="cpu",
            prompts={"query": "retrieval of "},
        )
        folder = tmp_path / f"prompted-{include}"
        model.save_pretrained(str(folder), create_model_card=False)
        encoder = Encoder.load(folder, device="cpu")
        vector, _ = PrfEncoder.from_encoder(encoder).encode(QUERY, [])
        np.testing.assert_allclose(vector, encoder.encode_query(QUERY), atol=1e-6)


def test_a_tokenizer_without_a_separator_uses_its_end_of_text(tmp_path):
    model = causal_model("gpt2")
    model.transformer.save_pretrained(tmp_path / "gpt2")
    byte_pairs().save_pretrained(tmp_path / "gpt2")
    encoder = Encoder.load(tmp_path / "gpt2", device="cpu")
    prf = PrfEncoder.from_encoder(encoder)
    assert prf.separator == "<|end|>"
    np.testing.assert_array_equal(prf.encode(QUERY, []).vector, encoder.encode_query(QUERY))
    ids, _ = prf._ids("cats", ["mats"], "")
    end = encoder.tokenizer.eos_token_id
    assert ids == [*encoder.tokenizer("cats")["input_ids"], end, *encoder.tokenizer("mats")["input_ids"]]


def test_a_tokenizer_with_neither_is_refused(encoder, tmp_path):
    tokenizer = word_pieces()
    tokenizer.sep_token = None
    bare = bert_folder(tmp_path / "bare")
    tokenizer.save_pretrained(bare)
    with pytest.raises(ModelError, match="neither a separator nor"):
        PrfEncoder.from_encoder(Encoder.load(bare, device="cpu"))


def test_a_published_checkpoint_gives_what_its_formula_says(published):
    """norm(embeddingHead(first token)) of the lower-cased, joined string, cut to the window."""
    import torch
    from safetensors.torch import load_file

    prf = PrfEncoder.from_published(published, Base(), k=2, device="cpu")
    assert (prf.k, prf.lowercase, prf.window, prf.separator) == (2, True, 64, "</s>")
    assert prf.base == {"name": "ance", "fingerprint": "ance-1", "dimensions": 24}
    state = load_file(published / "model.safetensors")
    model = transformers.RobertaModel.from_pretrained(published, add_pooling_layer=False).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(published)
    text = "<s>" + "</s>".join(["the cat", "soft mats", "a happy cat"]) + "</s>"
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        first = model(ids).last_hidden_state[:, 0]
        projected = first @ state["embeddingHead.weight"].T + state["embeddingHead.bias"]
        expected = torch.nn.functional.layer_norm(projected, (24,), state["norm.weight"], state["norm.bias"])
    vector, used = prf.encode("The CAT", ["Soft mats", "a happy CAT"])
    np.testing.assert_allclose(vector, expected[0].numpy(), atol=1e-5)
    assert used == len(tokenizer("soft mats")["input_ids"]) + len(tokenizer("a happy cat")["input_ids"]) - 4


def test_a_published_checkpoint_survives_saving(published, tmp_path):
    prf = PrfEncoder.from_published(published, Base(), k=2, device="cpu")
    prf.save_pretrained(tmp_path / "prf")
    again = PrfEncoder.load(tmp_path / "prf", device="cpu")
    assert (again.k, again.lowercase, again.window, again.base) == (2, True, 64, prf.base)
    np.testing.assert_allclose(again.encode("A", ["b c"]).vector, prf.encode("A", ["b c"]).vector, atol=1e-6)


def test_other_checkpoints_are_not_taken_for_published_ones(published, roberta, tmp_path):
    with pytest.raises(ModelError, match=r"no ANCE-style encoder: it lacks embeddingHead\.weight"):
        PrfEncoder.from_published(roberta, Base())
    with pytest.raises(ModelError, match="24 dimensions, hash-encoder of 16"):
        PrfEncoder.from_published(published, HashEncoder())
    with pytest.raises(ModelError, match=r"no such|has no model"):
        PrfEncoder.from_published(tmp_path / "nothing", Base())
