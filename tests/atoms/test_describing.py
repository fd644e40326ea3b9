"""Contexts, labels, detection and effects of atoms of a language model, against brute force on a tiny one."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from sememe.atoms import Atoms, Weights
from sememe.atoms.detection import detection_scores
from sememe.atoms.labels import texts_with_words
from sememe.errors import ArtifactError, InputError

if importlib.util.find_spec("transformers") is None:
    pytest.skip("needs the models extra", allow_module_level=True)

from tiny_models import byte_pairs, causal_model, word_pieces

from sememe.atoms.contexts import BEFORE, N_TOP, Contexts, collect_contexts
from sememe.atoms.describing import describe
from sememe.atoms.logit_effects import has_effects, logit_effects
from sememe.atoms.pieces import read_pieces
from sememe.atoms.reading import Reading
from sememe.bank import Bank, harvest
from sememe.corpus import Corpus, Document
from sememe.models import LanguageModel
from sememe.models.sites import find_sites

SITE = "layers.0.residual"
TOPICS = ("the cat sat on a warm mat", "sparse vectors make a small index fast")


def documents(n=80):
    rng = np.random.default_rng(0)
    made = []
    for number in range(n):
        words = TOPICS[number % 2].split()
        made.append(Document(f"d{number}", " ".join(rng.choice(words, 3 + number % 9))))
    return made


CORPUS = Corpus.from_documents(documents(), name="two topics")


@pytest.fixture(scope="module")
def tokenizer():
    return byte_pairs()


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    causal_model("llama").save_pretrained(folder)
    byte_pairs().save_pretrained(folder)
    return LanguageModel.load(folder)


@pytest.fixture(scope="module")
def bank(lm, tmp_path_factory):
    return harvest(lm, CORPUS, SITE, tmp_path_factory.mktemp("bank") / "b", skip_first_token=True)


@pytest.fixture(scope="module")
def reading(bank, lm):
    return Reading.of(bank, lm, CORPUS)


@pytest.fixture(scope="module")
def atoms(bank):
    return Atoms.fit(bank, 24, target_active=3, steps=300, batch_size=64)


def test_every_row_knows_its_token_and_what_stands_around_it(bank, lm, reading):
    assert len(reading.tokens) == len(bank)
    for row in range(0, len(bank), 37):
        document, position = bank.source(row)
        content = documents()[int(document[1:])].content
        tokens = lm.tokenize(content)
        assert reading.ids[reading.tokens[row]] == tokens.ids[position]
        start, end = tokens.spans[position]
        assert reading.around(row, 0, 0) == content[start:end]
        first, last = max(0, position - 2), min(position + 1, len(tokens.ids) - 1)
        assert reading.around(row, 2, 1) == content[tokens.spans[first][0] : tokens.spans[last][1]]


def test_another_corpus_or_bank_is_refused(bank, lm, tmp_path):
    made = documents()
    made[3] = Document("new", "text")
    with pytest.raises(InputError, match="document 3 of the corpus is 'new'"):
        Reading.of(bank, lm, made)
    with pytest.raises(InputError, match="has 5 documents"):
        Reading.of(bank, lm, documents(5))
    means = Bank.create(tmp_path / "m", 4, provenance={"tokens": "mean"})
    with means, pytest.raises(InputError, match="single tokens"):
        Reading.of(means, lm, CORPUS)


def test_contexts_are_the_strongest_firings_one_a_document(atoms, bank, lm, reading, tmp_path):
    codes = atoms.transform(bank[:])
    found = collect_contexts(codes.tocsc(), reading, lm.tokenizer)
    dense = codes.toarray()
    for atom in range(24):
        column = dense[:, atom]
        by_text = {}  # the strongest of each document, then of those with the same tokens around it
        for document in np.unique(reading.documents):
            row = np.flatnonzero(reading.documents == document)[column[reading.documents == document].argmax()]
            by_text.setdefault((reading.around(row, 8, 2), reading.around(row, 0, 2)), []).append(column[row])
        expected = sorted((max(values) for values in by_text.values() if max(values) > 0), reverse=True)
        contexts = found.of(atom)
        top = [context for context in contexts if context.top]
        np.testing.assert_allclose([c.activations[c.peak] for c in top], expected[:N_TOP], rtol=2e-3)
        assert len({context.document for context in contexts}) == len(contexts)
        lower = [c.activations[c.peak] for c in contexts if not c.top]
        assert all(value <= expected[min(N_TOP, len(expected)) - 1] * 1.01 for value in lower)
        assert found.largest[atom] == pytest.approx(column.max(), rel=1e-5)
        assert found.histogram[atom].sum() == (column > 0).sum()
        for context in contexts:
            rows = np.flatnonzero(reading.documents == context.document)
            row = rows[reading.tokens[rows] - reading.starts[context.document] == context.position][0]
            first = max(0, context.position - BEFORE)
            tokens = reading.ids[reading.starts[context.document] + first :][: len(context.pieces)]
            assert [lm.tokenizer.decode([int(token)]) for token in tokens] == context.pieces
            for place, value in enumerate(context.activations):
                at = row + place - context.peak
                inside = rows[0] <= at <= rows[-1]
                assert value == pytest.approx(column[at] if inside else 0.0, rel=2e-3, abs=1e-6)
    found.save(tmp_path / "c")
    again = Contexts.load(tmp_path / "c")
    np.testing.assert_array_equal(again.tokens, found.tokens)
    assert again.pieces == found.pieces
    assert again.effects is None
    again.save(tmp_path / "d")
    for file in ("model.safetensors", "card.json", "pieces.json"):
        assert (tmp_path / "c" / file).read_bytes() == (tmp_path / "d" / file).read_bytes()
    (tmp_path / "c" / "pieces.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"pieces\.json"):
        Contexts.load(tmp_path / "c")


def test_describing_labels_scores_and_keeps(atoms, bank, lm, tmp_path):
    contexts = describe(atoms, bank, lm, CORPUS)
    fired = atoms.fired > 20
    assert all(atoms.labels[atom] for atom in np.flatnonzero(fired))
    assert atoms.detection.mean > atoms.detection.mean_shuffled + 0.1
    assert contexts.effects is not None
    assert len(contexts.promoted(0)) == 8
    atoms.save(tmp_path / "a")
    again = Atoms.load(tmp_path / "a")
    np.testing.assert_array_equal(again.detection.score, atoms.detection.score)
    assert again.labels == atoms.labels
    other = Atoms.fit(bank[:], 24, steps=5, target_active=3)
    with pytest.raises(InputError, match="another bank"):
        describe(other, bank, lm, CORPUS)


def directions(n, width, seed=0):
    found = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def atoms_at(site, decoder):
    n, width = decoder.shape
    zeros = np.zeros(n, np.float32)
    return Atoms(
        Weights(decoder, decoder, zeros, np.zeros(width, np.float32), zeros), zeros, {"source": {"site": site}}
    )


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox"])
def test_effects_on_the_output_are_those_of_the_models_own_modules(family):
    """The last norm scales by the length of what it reads; of a long vector s, norm(s) is linear up to that."""
    import torch

    lm = LanguageModel(causal_model(family), byte_pairs(), name=family)
    decoder = directions(5, lm.width)
    found = logit_effects(lm, atoms_at("layers.2.residual", decoder), n=4)
    is_layer_norm = family in ("gpt2", "gpt_neox")
    with torch.inference_mode():
        d = torch.from_numpy(decoder)
        length = (d - d.mean(1, keepdim=True) if is_layer_norm else d).square().mean(1, keepdim=True).sqrt()
        output = lm.model.get_output_embeddings()
        both = [output(lm.final_norm(sign * 1e4 * d)) * length for sign in (1, -1)]
        full = ((both[0] - both[1]) / 2)[:, : len(lm.tokenizer)].numpy()
    full -= full.mean(axis=1, keepdims=True)
    for atom in range(5):
        best, worst = np.argsort(-full[atom])[:4], np.argsort(full[atom])[:4]
        np.testing.assert_array_equal(found.promoted[atom], best)
        np.testing.assert_array_equal(found.suppressed[atom], worst)
        np.testing.assert_allclose(found.gains[atom], full[atom, best], rtol=1e-3)
        np.testing.assert_allclose(found.losses[atom], full[atom, worst], rtol=1e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("part", ["mlp.key", "attention.heads"])
def test_atoms_before_a_matrix_are_taken_through_it(family, part):
    import torch

    lm = LanguageModel(causal_model(family), byte_pairs(), name=family)
    site = f"layers.1.{part}"
    decoder = directions(3, lm.site_width(site))
    module = find_sites(lm.model)[site].module
    with torch.inference_mode():
        d = torch.from_numpy(decoder)
        written = (module(d) - module(torch.zeros_like(d))).numpy()
    found = logit_effects(lm, atoms_at(site, decoder))
    expected = logit_effects(lm, atoms_at("layers.1.residual", written))
    np.testing.assert_array_equal(found.promoted, expected.promoted)
    np.testing.assert_allclose(found.gains, expected.gains, rtol=1e-4)


def test_sites_without_a_direct_effect_are_refused():
    lm = LanguageModel(causal_model("gemma2"), byte_pairs(), name="gemma2")
    for site in ("layers.0.mlp", "layers.0.mlp.key", "final", "", "layers.9.residual"):
        assert not has_effects(lm, site)
        with pytest.raises(InputError, match="no direct effect"):
            logit_effects(lm, atoms_at(site, directions(2, 32)))
    with pytest.raises(InputError, match="no direct effect"):
        logit_effects(lm, atoms_at("layers.0.residual", directions(2, 31)))


def test_tokens_beyond_the_tokenizers_have_no_effects(lm):
    decoder = directions(3, lm.width)
    whole = logit_effects(lm, atoms_at("layers.2.residual", decoder), n=3)
    with_padding = LanguageModel(lm.model, lm.tokenizer, name="padded")
    size = lm.model.get_input_embeddings().weight.shape[0]
    with_padding.model.resize_token_embeddings(size + 64, mean_resizing=False)
    try:
        padded = logit_effects(with_padding, atoms_at("layers.2.residual", decoder), n=3)
        np.testing.assert_array_equal(padded.promoted, whole.promoted)
        np.testing.assert_allclose(padded.gains, whole.gains, rtol=1e-5)
    finally:
        lm.model.resize_token_embeddings(size)


def tiny_reading(texts, tokenizer):
    """A reading of texts as one document each, every token a row."""
    found = [tokenizer(text, return_offsets_mapping=True) for text in texts]
    starts = np.cumsum([0, *(len(row["input_ids"]) for row in found)])
    ids = np.array([token for row in found for token in row["input_ids"]], np.int32)
    spans = np.array([span for row in found for span in row["offset_mapping"]], np.int32)
    return Reading(
        ids, spans, starts, list(texts), np.arange(len(ids)), np.repeat(np.arange(len(texts)), np.diff(starts))
    )


def test_the_same_text_in_many_documents_counts_once(tokenizer):
    texts = ["the cat sat"] * 20 + ["a warm mat", "a soft cat"]
    reading = tiny_reading(texts, tokenizer)
    last = reading.starts[1:] - 1
    column = np.zeros((len(reading.ids), 1), np.float32)
    column[last, 0] = np.arange(len(texts), 0, -1)
    found = collect_contexts(csc_matrix(column), reading, tokenizer)
    top = [context for context in found.of(0) if context.top]
    assert ["".join(context.pieces) for context in top] == ["the cat sat", "a warm mat", "a soft cat"]
    assert [context.document for context in top] == [0, 20, 21]


@pytest.mark.parametrize("make", [byte_pairs, word_pieces])
def test_pieces_of_a_text_make_up_the_text(make):
    text = "the cats sat on a warm mat"
    tokenizer = make()  # training one again may number the tokens otherwise
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = read_pieces(tokenizer, ids)
    assert "".join(pieces[token] for token in ids).strip() == text


def test_pieces_that_are_no_text_show_their_bytes():
    tokenizer = byte_pairs()
    ids = tokenizer("é")["input_ids"]
    pieces = read_pieces(tokenizer, [*ids, 5000])
    assert [pieces[token] for token in ids] == ["\\xc3", "\\xa9"]
    assert pieces[5000] == "<5000>"


def test_perfect_labels_score_one_and_random_ones_a_half():
    rng = np.random.default_rng(0)
    active = csr_matrix(rng.random((2000, 30)) < 0.05)
    perfect = detection_scores(active, active)
    np.testing.assert_allclose(perfect.score, 1)
    assert perfect.mean_shuffled == pytest.approx(0.5, abs=0.02)
    random = detection_scores(rng.random((2000, 30)) < 0.3, active)
    assert random.mean == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(perfect.n_active, np.asarray(active.sum(axis=0)).ravel())


def test_scores_equal_scikit_learn_and_rare_atoms_have_none():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(0)
    active, fits = rng.random((300, 8)) < 0.1, rng.random((300, 8)) < 0.2
    active[:, 3] = False
    active[:4, 3] = True
    found = detection_scores(csc_matrix(fits), active.astype(np.float32))
    for atom in range(8):
        if atom == 3:
            assert np.isnan(found.score[atom])
            assert np.isnan(found.shuffled[atom])
        else:
            assert found.score[atom] == pytest.approx(balanced_accuracy_score(active[:, atom], fits[:, atom]))
    with pytest.raises(InputError, match="labels are"):
        detection_scores(fits[:, :3], active)
    assert np.isnan(detection_scores(fits[:3], active[:3]).mean)


def test_words_of_a_label_are_found_in_any_spelling():
    fits = texts_with_words(
        ["index, sparse vectors", "", "cats"],
        ["A small INDEX of things", "sparse vectors help", "vectors are sparse", "the cat sat", ""],
    )
    np.testing.assert_array_equal(fits.toarray(), [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
