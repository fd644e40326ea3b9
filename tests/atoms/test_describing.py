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

from tiny_models import byte_pairs, causal_model

from sememe.atoms.contexts import BEFORE, N_TOP, Contexts, collect_contexts
from sememe.atoms.describing import describe
from sememe.atoms.logit_effects import logit_effects
from sememe.atoms.reading import Reading
from sememe.bank import Bank, harvest
from sememe.corpus import Corpus, Document
from sememe.models import LanguageModel

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
    found = collect_contexts(codes.tocsc(), reading, lm.tokenizer.decode)
    dense = codes.toarray()
    for atom in range(24):
        column = dense[:, atom]
        by_document = {d: column[reading.documents == d].max() for d in np.unique(reading.documents)}
        expected = sorted((value for value in by_document.values() if value > 0), reverse=True)
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


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox"])
def test_effects_on_the_output_are_those_of_a_small_push(family):
    """Against the model itself: logits of norm(s + push) for a state s of unit mean square, centred."""
    import torch

    lm = LanguageModel(causal_model(family), byte_pairs(), name=family)
    rng = np.random.default_rng(0)
    decoder = rng.standard_normal((5, lm.width)).astype(np.float32)
    decoder -= decoder.mean(axis=1, keepdims=True)  # layer norms take the mean off
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    zeros = np.zeros
    atoms = Atoms(
        Weights(decoder, decoder, zeros(5, np.float32), zeros(lm.width, np.float32), zeros(5, np.float32)),
        np.ones(5),
        {"source": {"site": "layers.2.residual"}},
    )
    found = logit_effects(lm, atoms, n=4)
    state = torch.from_numpy(rng.standard_normal(lm.width).astype(np.float32))
    state = state - state.mean()
    state = state / state.square().mean().sqrt()
    for atom in range(5):
        direction = torch.from_numpy(decoder[atom])
        # What lies along the state changes its length and is divided out again by the norm.
        direction = direction - (direction @ state) / (state @ state) * state
        with torch.inference_mode():
            output = lm.model.get_output_embeddings()
            push = output(lm.final_norm((state + 1e-3 * direction)[None])) - output(lm.final_norm(state[None]))
        full = push[0] / 1e-3
        expected = (full - full.mean()).numpy()
        across = direction.numpy() - decoder[atom]
        slack = np.abs(across).sum() * 3 + 0.05 * np.abs(expected).max()
        np.testing.assert_allclose(expected[found.promoted[atom]], found.gains[atom], atol=slack)
        assert (np.diff(found.gains[atom]) <= 0).all()
        assert (found.losses[atom] <= 0).all()


def test_sites_outside_the_residual_stream_have_no_effects(lm):
    eye = np.eye(lm.width, dtype=np.float32)
    zeros = np.zeros(lm.width, np.float32)
    atoms = Atoms(Weights(eye, eye, zeros, zeros, zeros), zeros, {"source": {"site": "layers.0.mlp.key"}})
    with pytest.raises(InputError, match="not directions of the residual stream"):
        logit_effects(lm, atoms)


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
