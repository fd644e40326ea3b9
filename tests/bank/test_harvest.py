"""Harvesting a tiny random Llama: the right vectors, the way back to the text, and resuming to the same bytes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from faults import ERRORS, contents, count_points, fault, killed_at
from sememe.bank import Bank, harvest, harvest_sites
from sememe.corpus import Corpus, Document
from sememe.errors import ArtifactError, InputError

if importlib.util.find_spec("transformers") is None:
    pytest.skip("needs the models extra", allow_module_level=True)

SITE = "layers.1.residual"
WORDS = "the cat sat on a warm mat and looked at the small index of sparse vectors in memory".split()  # noqa: SIM905


def make_documents(n: int = 11) -> list[Document]:
    lengths = [1 + 3 * (i % 5) for i in range(11)]
    texts = [" ".join(WORDS[j % len(WORDS)] for j in range(i, i + length)) for i, length in enumerate(lengths)]
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts)]
    documents[4] = Document("empty", "")
    documents[7] = Document("titled", "a body", title="A title")
    return documents[:n]


def corpus_of(documents) -> Corpus:
    return Corpus.from_documents(documents, name="tiny")


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from sememe.models import LanguageModel

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)], trainer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    fast.save_pretrained(folder)
    return LanguageModel.load(folder)


def hidden_states(lm, text: str, layer: int = 1) -> np.ndarray:
    """What transformers itself says leaves block `layer`, for one unpadded text."""
    import torch

    ids = lm.tokenizer(text, add_special_tokens=True)["input_ids"]
    if not ids:
        return np.zeros((0, lm.width), np.float32)
    with torch.inference_mode():
        return lm.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0].numpy()


def test_every_token_of_every_document(lm, tmp_path):
    documents = make_documents()
    bank = harvest(lm, corpus_of(documents), SITE, tmp_path / "b", commit_every=3)
    expected = [hidden_states(lm, document.content) for document in documents]
    np.testing.assert_allclose(bank[:], np.concatenate(expected), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(bank.documents, np.repeat(np.arange(11), [len(x) for x in expected]))
    np.testing.assert_array_equal(bank.positions, np.concatenate([np.arange(len(x)) for x in expected]))
    assert bank.document_ids == [document.id for document in documents]
    row = int(np.flatnonzero(bank.documents == 7)[2])
    assert bank.source(row) == ("titled", 2)
    assert bank.provenance["site"] == SITE
    assert bank.provenance["corpus"] == "tiny"
    assert bank.provenance["model"] == lm.name
    assert bank.provenance["model_fingerprint"] == lm.fingerprint
    Bank.open(tmp_path / "b", writable=True).close()  # harvest does not keep the lock


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("tokens", ["last", "mean"])
def test_one_row_a_document(lm, tmp_path, tokens, skip):
    documents = make_documents()
    bank = harvest(lm, corpus_of(documents), SITE, tmp_path / "b", tokens=tokens, skip_first_token=skip)
    states = [hidden_states(lm, document.content)[int(skip) :] for document in documents]
    with_tokens = [number for number, x in enumerate(states) if len(x)]
    expected = [states[n].mean(axis=0) if tokens == "mean" else states[n][-1] for n in with_tokens]
    np.testing.assert_allclose(bank[:], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(bank.documents, with_tokens)
    last = [len(states[n]) - 1 + int(skip) for n in with_tokens]
    np.testing.assert_array_equal(bank.positions, 0 if tokens == "mean" else last)


def test_a_list_of_documents_will_do(lm, tmp_path):
    documents = make_documents()
    with (
        harvest(lm, documents, SITE, tmp_path / "list") as listed,
        harvest(lm, corpus_of(documents), SITE, tmp_path / "corpus") as read,
    ):
        np.testing.assert_array_equal(listed[:], read[:])
    with pytest.raises(InputError, match="a Document"):
        harvest(lm, ["a text"], SITE, tmp_path / "texts")


def test_skipping_the_first_token_and_cutting(lm, tmp_path):
    documents = make_documents()
    bank = harvest(lm, corpus_of(documents), SITE, tmp_path / "b", skip_first_token=True, max_tokens=4)
    expected = [hidden_states(lm, document.content)[1:4] for document in documents]
    np.testing.assert_allclose(bank[:], np.concatenate(expected), rtol=1e-4, atol=1e-4)
    assert bank.positions.min() == 1
    assert bank.positions.max() == 3


def test_a_run_killed_at_every_point_resumes_to_the_same_bytes(lm, tmp_path):
    documents = make_documents(7)

    def work(path):
        harvest(lm, corpus_of(documents), SITE, path, commit_every=2, dtype="float16").close()

    total = count_points(lambda: work(tmp_path / "whole"))
    assert total > 40
    for point in range(1, total + 1, 4):
        path = tmp_path / f"{point}"
        assert killed_at(point, lambda path=path: work(path), "kill halfway")
        if point % 3 == 0:  # and once more on the way
            killed_at(8, lambda path=path: work(path))
        work(path)
        assert contents(path) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", ERRORS)
def test_a_run_on_a_full_disk_resumes_to_the_same_bytes(lm, tmp_path, kind):
    documents = make_documents(5)

    def work(path):
        harvest(lm, corpus_of(documents), SITE, path, commit_every=2).close()

    total = count_points(lambda: work(tmp_path / "whole"))
    for point in range(1, total + 1, 9):
        path = tmp_path / f"{point}"
        with fault(kind, point), pytest.raises(ArtifactError, match="injected"):
            work(path)
        work(path)
        assert contents(path) == contents(tmp_path / "whole")


def test_a_finished_run_is_not_done_again(lm, tmp_path, monkeypatch):
    documents = make_documents()
    first = harvest(lm, corpus_of(documents), SITE, tmp_path / "b")
    before = contents(tmp_path / "b")
    monkeypatch.setattr(type(lm), "activations", lambda *_, **__: pytest.fail("computed again"))
    again = harvest(lm, corpus_of(documents), SITE, tmp_path / "b")
    assert contents(tmp_path / "b") == before
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"site": "layers.0.residual"}, "site was 'layers.1.residual', now 'layers.0.residual'"),
        ({"tokens": "mean"}, "tokens was 'all', now 'mean'"),
        ({"max_tokens": 5}, "max_tokens was None, now 5"),
        ({"dtype": "int8"}, "dtype was 'float32', now 'int8'"),
        ({"batch_size": 3, "skip_first_token": True}, "skip_first_token was False, now True; batch_size was 32, now 3"),
    ],
)
def test_other_options_are_refused_by_name(lm, tmp_path, options, message):
    harvest(lm, corpus_of(make_documents(3)), SITE, tmp_path / "b").close()
    before = contents(tmp_path / "b")
    with pytest.raises(ArtifactError, match="harvested with other options") as caught:
        harvest(lm, corpus_of(make_documents(3)), **{"site": SITE, "path": tmp_path / "b", **options})
    assert message in str(caught.value)
    assert contents(tmp_path / "b") == before


def test_another_corpus_is_refused(lm, tmp_path):
    documents = make_documents()
    harvest(lm, corpus_of(documents), SITE, tmp_path / "b").close()
    other = [documents[0], Document("new", "x"), *documents[2:]]
    with pytest.raises(ArtifactError, match="document 1 was 'd1', now it is 'new'"):
        harvest(lm, corpus_of(other), SITE, tmp_path / "b")
    with pytest.raises(ArtifactError, match="document 9 was 'd9', now there is none"):
        harvest(lm, corpus_of(documents[:9]), SITE, tmp_path / "b")
    with pytest.raises(ArtifactError, match=r"has grown .* 'more'"):
        harvest(lm, corpus_of([*documents, Document("more", "x")]), SITE, tmp_path / "b")
    other = [*documents[:-1], Document(documents[-1].id, "another text")]
    with pytest.raises(ArtifactError, match="a text among the first 11 is another"):
        harvest(lm, corpus_of(other), SITE, tmp_path / "b")


def test_without_resume_an_existing_bank_is_refused(lm, tmp_path):
    harvest(lm, corpus_of(make_documents(3)), SITE, tmp_path / "b").close()
    with pytest.raises(ArtifactError, match="already exists"):
        harvest(lm, corpus_of(make_documents(3)), SITE, tmp_path / "b", resume=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"site": "layers.9.residual"}, "no site"),
        ({"tokens": "first"}, "all, last, mean"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"batch_size": 0}, "batch_size"),
        ({"commit_every": 0}, "commit_every"),
        ({"dtype": "bfloat16"}, "bfloat16"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(lm, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        harvest(lm, corpus_of(make_documents(3)), **{"site": SITE, "path": tmp_path / "b", **options})
    assert not (tmp_path / "b").exists()


def test_a_number_that_does_not_fit_names_document_and_site(lm, tmp_path):
    with (
        lm.patch(SITE, lambda x: x * 1e6),
        pytest.raises(InputError, match=r"document 'd0' at layers\.1\.residual, .*too large for float16"),
    ):
        harvest(lm, corpus_of(make_documents(3)), SITE, tmp_path / "b", dtype="float16")
    assert len(Bank.open(tmp_path / "b")) == 0


def test_an_empty_corpus_gives_an_empty_bank(lm, tmp_path):
    bank = harvest(lm, corpus_of([]), SITE, tmp_path / "b")
    assert len(bank) == 0
    assert bank.document_ids == []


SITES = ("layers.0.residual", "layers.1.mlp", "layers.2.attention.heads")


def paths_in(folder):
    return {site: folder / site for site in SITES}


def test_several_sites_in_one_pass_give_the_banks_of_single_passes(lm, tmp_path, monkeypatch):
    documents, passes = make_documents(), []
    read = type(lm).activations

    def counted(self, texts, sites, **options):
        passes.append(list(sites) if not isinstance(sites, str) else [sites])
        return read(self, texts, sites, **options)

    monkeypatch.setattr(type(lm), "activations", counted)
    found = harvest_sites(lm, corpus_of(documents), paths_in(tmp_path / "together"), commit_every=4)
    assert len(passes) == 3  # 11 documents, 4 at once
    assert list(found) == list(SITES)
    for site in SITES:
        harvest(lm, corpus_of(documents), site, tmp_path / "alone" / site, commit_every=4)
        assert contents(tmp_path / "together" / site) == contents(tmp_path / "alone" / site)
    passes.clear()
    harvest_sites(lm, corpus_of(documents), paths_in(tmp_path / "together"), commit_every=4)
    assert passes == []


def test_only_the_sites_that_lack_documents_are_read(lm, tmp_path, monkeypatch):
    documents, wanted = make_documents(), []
    read = type(lm).activations
    harvest(lm, corpus_of(documents), SITES[0], tmp_path / SITES[0], commit_every=4)
    monkeypatch.setattr(
        type(lm),
        "activations",
        lambda self, texts, sites, **options: wanted.append(list(sites)) or read(self, texts, sites, **options),
    )
    harvest_sites(lm, corpus_of(documents), paths_in(tmp_path), commit_every=4)
    assert wanted == [list(SITES[1:])] * 3


def test_several_sites_killed_anywhere_resume_to_the_same_bytes(lm, tmp_path):
    documents = make_documents(7)

    def work(path):
        for bank in harvest_sites(lm, corpus_of(documents), paths_in(path), commit_every=2).values():
            bank.close()

    total = count_points(lambda: work(tmp_path / "whole"))
    for point in range(3, total + 1, 17):
        path = tmp_path / f"{point}"
        assert killed_at(point, lambda path=path: work(path), "kill halfway")
        work(path)
        assert contents(path) == contents(tmp_path / "whole")


def test_one_changed_bank_among_several_is_named(lm, tmp_path):
    documents = make_documents()
    harvest(lm, corpus_of(documents[:5]), SITES[1], tmp_path / SITES[1])
    with pytest.raises(ArtifactError, match="has grown") as caught:
        harvest_sites(lm, corpus_of(documents), paths_in(tmp_path))
    assert SITES[1] in caught.value.where
