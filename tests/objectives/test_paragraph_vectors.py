"""Binary paragraph vectors: gradients, softmax, vocabulary, learning, inference, saving."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sememe.corpus import Corpus, Document
from sememe.errors import ArtifactError, InputError
from sememe.objectives import paragraph_training
from sememe.objectives.paragraph_config import ParagraphConfig
from sememe.objectives.paragraph_training import straight_through
from sememe.objectives.paragraph_vectors import BinaryParagraphVector, code_of
from sememe.objectives.row_adam import RowAdam
from sememe.objectives.sampled_softmax import Candidates, Sampler, score
from sememe.objectives.vocabulary import Vocabulary, Words

VARIANTS = ("dbow", "dm", "real-binary", "real")
N_TOPICS, N_TEXTS = 6, 240
# A window of one word, so that in dm the words around do not give the topic away.
TINY = {"n_bits": 16, "real_dim": 20, "epochs": 15, "batch_size": 256, "drawn": 32, "learning_rate": 0.05, "window": 1}


def name(number):
    return "".join(chr(97 + int(digit)) for digit in f"{number:03d}")


def planted_texts(n=N_TEXTS, seed=0):
    """Texts of six topics: three words of four are the topic's, from 30; the others are common to all."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(N_TOPICS, size=n)
    texts = []
    for topic in topics:
        own = rng.random(40) < 0.75
        numbers = np.where(own, 30 * topic + rng.integers(30, size=40), 30 * N_TOPICS + rng.integers(60, size=40))
        texts.append(" ".join(f"w{name(number)}" for number in numbers))
    return texts, topics


@pytest.fixture(scope="module")
def planted():
    return planted_texts()


@pytest.fixture(scope="module")
def fitted(planted):
    return {variant: BinaryParagraphVector.fit(planted[0], variant=variant, **TINY) for variant in VARIANTS}


def bits(codes, n_bits=16):
    return np.unpackbits(codes, axis=1, count=n_bits).astype(int)


def distances(a, b):
    return np.abs(bits(a)[:, None] - bits(b)[None]).sum(axis=2)


# --- the parts


def test_rounding_passes_the_gradient_of_the_sigmoid():
    bits, derivative = straight_through(torch.tensor([-1.2, 0.0, 0.3, 2.0]))
    assert bits.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(torch.tensor([1.0, 2.0, 3.0, 4.0]) * derivative, [0.1779, 0.5, 0.7334, 0.42], atol=6e-5)


def softmax_case():
    rng = np.random.default_rng(0)
    counts, n = np.array([50, 20, 10, 5, 1]), 4
    inputs, output = rng.standard_normal((6, 3)), rng.standard_normal((5, 3))
    words, drawn = np.array([0, 1, 2, 3, 4, 0]), np.array([0, 1, 3])
    log_chance = Sampler(counts, n).log_chance.double()
    return inputs, output, words, drawn, log_chance, np.log(1 - (1 - counts / counts.sum()) ** n)


def autograd_loss(x, true, drawn, candidates):
    """The same sum of losses from plain operations, which autograd can take apart."""
    own = (x * true).sum(1) - candidates.log_chance[candidates.true]
    others = x @ drawn.T - candidates.log_chance[candidates.drawn]
    others = others.masked_fill(candidates.true[:, None] == candidates.drawn, -torch.inf)
    return (torch.logsumexp(torch.cat([own[:, None], others], 1), 1) - own).sum()


def test_sampled_softmax_is_the_formula_and_a_word_is_a_candidate_once():
    inputs, output, words, drawn, log_chance, expected_chance = softmax_case()
    np.testing.assert_allclose(log_chance, expected_chance, rtol=1e-6)
    x, W = torch.from_numpy(inputs), torch.from_numpy(output)
    found = score(x, W[words], W[drawn], Candidates(torch.from_numpy(words), torch.from_numpy(drawn), log_chance))
    for row, word, loss in zip(inputs, words, found.losses, strict=True):
        candidates = [word, *[other for other in drawn if other != word]]
        logits = output[candidates] @ row - expected_chance[candidates]
        assert float(loss) == pytest.approx(np.log(np.exp(logits).sum()) - logits[0], rel=1e-6)


def test_the_written_gradients_are_those_of_autograd():
    inputs, output, words, drawn, log_chance, _ = softmax_case()
    x, W = (torch.from_numpy(a).requires_grad_() for a in (inputs, output))
    candidates = Candidates(torch.from_numpy(words), torch.from_numpy(drawn), log_chance)
    autograd_loss(x, W[words], W[drawn], candidates).backward()
    written = score(x.detach(), W.detach()[words], W.detach()[drawn], candidates)
    by_word = np.zeros_like(output)
    np.add.at(by_word, words, written.true)
    np.add.at(by_word, drawn, written.drawn)
    np.testing.assert_allclose(written.inputs, x.grad, atol=1e-12)
    np.testing.assert_allclose(by_word, W.grad, atol=1e-12)


def test_large_logits_and_a_single_word_give_finite_losses():
    big = torch.tensor([[1000.0, 1.0]])
    candidates = Candidates(torch.tensor([0]), torch.tensor([1]), Sampler(np.array([1, 1]), 4).log_chance)
    found = score(big, torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), candidates)
    assert float(found.losses[0]) == pytest.approx(2000)
    alone = Candidates(torch.tensor([0]), torch.tensor([0]), Sampler(np.array([3]), 4).log_chance)
    assert float(score(big, big, big, alone).losses[0]) == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_of_all_parameters_are_those_of_autograd(variant):
    """The whole way from documents, projection and context to the loss, with the rounding's derivative put in."""
    config = ParagraphConfig(variant=variant, n_bits=5, real_dim=4, window=2)
    rng = torch.Generator().manual_seed(0)
    counts = np.array([4, 3, 2, 2])
    words = Words(np.array([0, 1, 2, 0, 3, 1, 0]), np.array([0, 0, 0, 1, 1, 1, 2]), 3)
    values = {k: v.double() for k, v in paragraph_training._start(3, 4, config, rng).items()}
    leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
    batch, true = torch.arange(7), torch.from_numpy(words.ids)
    candidates = Candidates(true, torch.tensor([0, 2]), Sampler(counts, 3).log_chance.double())
    of_document = torch.from_numpy(words.texts)

    forward = paragraph_training._Inputs(words, config).of(values["documents"][of_document], values, batch)
    scored = score(forward.values, values["output"][true], values["output"][candidates.drawn], candidates)
    ours = {name: torch.zeros_like(value) for name, value in values.items()}
    found = forward.gradients(scored.inputs)
    rows = {**forward.rows, "documents": of_document}
    for name, gradient in found.items():
        ours[name].index_add_(0, rows[name], gradient)

    d = leaves["documents"][of_document]
    if variant == "real-binary":
        d = d @ leaves["projection"].T
    if variant != "real":
        d = (d > 0).double() + (d.sigmoid() - d.sigmoid().detach())
    if variant == "dm":
        around = [[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4], []]
        means = [leaves["context"][true[places]].sum(0) / max(1, len(places)) for places in around]
        d = torch.cat([d, torch.stack(means)], 1)
    x = torch.cat([d, torch.ones(7, 1)], 1)
    np.testing.assert_allclose(forward.values, x.detach(), atol=1e-6)
    output = leaves["output"]
    autograd_loss(x, output[true], output[candidates.drawn], candidates).backward()
    for name in found:
        np.testing.assert_allclose(ours[name], leaves[name].grad, atol=1e-6, err_msg=name)


def test_words_are_drawn_as_often_as_they_occur():
    counts = np.array([1000, 100, 10, 0, 1])
    sampler, sets = Sampler(counts, 3), 20_000
    drawn = np.zeros(5)
    for words in sampler.draw(sets, torch.Generator().manual_seed(0)):
        assert (np.diff(words) > 0).all()
        drawn[words] += 1
    np.testing.assert_allclose(drawn / sets, np.exp(sampler.log_chance), atol=5e-3)
    assert drawn[3] == 0


def test_row_adam_is_adam_and_leaves_other_rows_alone():
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = RowAdam(start.clone(), 0.05), start.clone().requires_grad_()
    reference = torch.optim.Adam([theirs], lr=0.05)
    rows = torch.tensor([4, 1, 4])
    for target in (1.0, -2.0, 0.5, 3.0):
        ours.step(rows, 2 * (ours.value[rows] - target))
        reference.zero_grad()
        (theirs[rows] - target).square().sum().backward()
        reference.step()
    np.testing.assert_allclose(ours.value, theirs.detach(), atol=1e-6)
    np.testing.assert_array_equal(ours.value[[0, 2, 3]], start[[0, 2, 3]])


def test_the_vocabulary_filters_and_orders_words():
    texts = ["The cat's toy: cat, CAT and café!", "café dog dog 2024 dog_house", "", "cat café dog"]
    vocabulary, words = Vocabulary.learn(texts, min_count=3)
    assert vocabulary.words == ["cat", "dog", "café"]
    assert vocabulary.counts.tolist() == [4, 4, 3]
    assert words.ids.tolist() == [0, 0, 0, 2, 2, 1, 1, 1, 0, 2, 1]
    assert words.lengths.tolist() == [4, 4, 0, 3]
    again = vocabulary.encode(texts)
    np.testing.assert_array_equal(again.ids, words.ids)
    np.testing.assert_array_equal(again.texts, words.texts)
    kept, _ = Vocabulary.learn(["the the", "a the"], min_count=2, stop_words="none")
    assert kept.words == ["the"]
    with pytest.raises(InputError, match=r"no word is left of the 1 different words.*at least 9 times"):
        Vocabulary.learn(["cat the 7"], min_count=9)


def test_bigrams_are_pairs_within_one_text():
    texts = ["new york times", "new york", "york new", "new york"]
    vocabulary, words = Vocabulary.learn(texts, min_count=2, bigrams=True)
    assert vocabulary.words == ["new", "york", "new york"]
    assert vocabulary.counts.tolist() == [4, 4, 3]
    found = vocabulary.with_bigrams(words)
    spelled = [[vocabulary.words[i] for i in found.ids[found.texts == text]] for text in range(4)]
    assert spelled == [["new", "york", "new york"], ["new", "york", "new york"], ["york", "new"], spelled[0]]
    unchanged = Vocabulary(vocabulary.words[:2], vocabulary.counts[:2]).with_bigrams(words)
    np.testing.assert_array_equal(unchanged.ids, words.ids)


def test_options_are_checked_together():
    with pytest.raises(InputError, match=r"n_bits.*0.*learning_rate.*variant must be one of dbow.*'pv'"):
        ParagraphConfig(n_bits=0, learning_rate=-1, variant="pv")
    with pytest.raises(InputError, match="bigrams"):
        ParagraphConfig(variant="dm", bigrams=True)
    with pytest.raises(InputError, match="there is no option bits"):
        BinaryParagraphVector.fit(["a"], bits=8)
    with pytest.raises(InputError, match="list of texts"):
        BinaryParagraphVector.fit("a text")


# --- learning


def full_loss(model, codes, words):
    """Cross-entropy with the whole vocabulary, in nats a word."""
    x = bits(codes).astype(float)[words.texts]
    output = model.weights["output"]
    logits = x @ output[:, :-1].T + output[:, -1]
    logits -= logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(x)), words.ids]).mean())


def test_bits_carry_the_model(planted, fitted):
    model = fitted["dbow"]
    words = model.vocabulary.encode(planted[0])
    p = model.vocabulary.counts / model.vocabulary.counts.sum()
    entropy = float(-(p * np.log(p)).sum())
    assert full_loss(model, model.codes, words) < entropy - 0.5
    # With one code for all, the best there is is the entropy of single words; shuffled codes are worse than none.
    shuffled = model.codes[np.random.default_rng(0).permutation(len(model.codes))]
    assert full_loss(model, shuffled, words) > entropy


def test_without_codes_the_loss_is_the_entropy_of_words(planted, monkeypatch):
    """What is learned when the forward pass sees a constant instead of the code."""
    monkeypatch.setattr(paragraph_training, "straight_through", lambda d: (torch.ones_like(d), torch.zeros_like(d)))
    model = BinaryParagraphVector.fit(planted[0], **{**TINY, "learning_rate": 0.001, "epochs": 30})
    words = model.vocabulary.encode(planted[0])
    p = model.vocabulary.counts / model.vocabulary.counts.sum()
    entropy = float(-(p * np.log(p)).sum())
    constant = np.full_like(model.codes, 255)
    assert full_loss(model, constant, words) == pytest.approx(entropy, abs=0.02)


@pytest.mark.parametrize("variant", VARIANTS)
def test_neighbours_share_a_topic(variant, planted, fitted):
    model, topics = fitted[variant], planted[1]
    if variant == "real":
        unit = model.vectors / np.linalg.norm(model.vectors, axis=1, keepdims=True)
        apart = 1 - unit @ unit.T
        with pytest.raises(InputError, match="no codes"):
            _ = model.codes
    else:
        assert model.codes.shape == (N_TEXTS, 2)
        apart = distances(model.codes, model.codes).astype(float)
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :5]
    least = {"real": 0.75, "dm": 0.5}.get(variant, 0.9)  # chance is 1/6
    assert (topics[nearest] == topics[:, None]).mean() > least
    assert np.diff(model.card["losses"])[:5].max() < 0


def test_real_binary_vectors_rank_and_their_signs_are_the_codes(planted, fitted):
    model = fitted["real-binary"]
    assert model.vectors.shape == (N_TEXTS, 20)
    np.testing.assert_array_equal(code_of(model.vectors, model.weights["projection"]), model.codes)
    with pytest.raises(InputError, match="no real vectors"):
        _ = fitted["dbow"].vectors


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_seed_gives_the_same_and_another_does_not(variant, planted):
    options = {**TINY, "variant": variant, "epochs": 2}
    one, two, other = (BinaryParagraphVector.fit(planted[0], random_state=seed, **options) for seed in (0, 0, 1))
    for key, value in one.weights.items():
        np.testing.assert_array_equal(value, two.weights[key])
        assert not np.array_equal(value, other.weights[key])


def test_documents_and_texts_are_the_same(planted):
    options = {**TINY, "epochs": 2}
    texts = planted[0][:60]
    corpus = Corpus.from_documents([Document(str(i), text) for i, text in enumerate(texts)])
    np.testing.assert_array_equal(
        BinaryParagraphVector.fit(corpus, **options).codes, BinaryParagraphVector.fit(iter(texts), **options).codes
    )


def test_a_document_without_known_words_has_code_zero(planted):
    model = BinaryParagraphVector.fit([*planted[0][:60], "unseen 123", ""], **{**TINY, "epochs": 1})
    assert model.documents.n_words[-2:].tolist() == [0, 0]
    assert model.codes[-2:].tolist() == [[0, 0], [0, 0]]


def test_more_bits_than_bytes_are_filled_with_zeros(planted):
    model = BinaryParagraphVector.fit(planted[0][:60], **{**TINY, "epochs": 1, "n_bits": 12})
    assert model.codes.shape == (60, 2)
    assert not (model.codes[:, 1] & 0x0F).any()


# --- inference


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_trained_document_is_inferred_close_to_its_code(variant, planted, fitted):
    model = fitted[variant]
    before = {key: value.copy() for key, value in model.weights.items()}
    found = model.infer(planted[0], seed=5)
    for key, value in before.items():
        np.testing.assert_array_equal(value, model.weights[key])
    if variant == "real":
        cosine = (found.vectors * model.vectors).sum(axis=1)
        cosine /= np.linalg.norm(found.vectors, axis=1) * np.linalg.norm(model.vectors, axis=1)
        assert np.median(cosine) > 0.9
        return
    apart = np.abs(bits(found.codes) - bits(model.codes)).sum(axis=1)
    # In dm the words around explain a part, which leaves the bits less certain.
    assert np.median(apart) < (16 / 6 if variant == "dm" else 16 / 8)
    random = np.random.default_rng(0).permutation(len(apart))
    assert np.median(apart) < np.median(np.abs(bits(found.codes[random]) - bits(model.codes)).sum(axis=1)) / 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_text_is_inferred_alike_in_any_company(variant, fitted):
    model, texts = fitted[variant], planted_texts(20, seed=9)[0]
    together = model.infer(texts, seed=1)
    backwards = model.infer(texts[::-1], seed=1)
    alone = model.infer(texts[3:4], seed=1)
    if variant == "real":
        np.testing.assert_allclose(together.vectors, backwards.vectors[::-1], atol=1e-4)
        np.testing.assert_allclose(together.vectors[3], alone.vectors[0], atol=1e-4)
    else:
        np.testing.assert_array_equal(together.codes, backwards.codes[::-1])
        np.testing.assert_array_equal(together.codes[3], alone.codes[0])


def test_large_inputs_are_inferred_in_blocks(fitted, monkeypatch):
    texts = planted_texts(20, seed=9)[0]
    whole = fitted["dbow"].infer(texts).codes
    monkeypatch.setattr(paragraph_training, "PAIRS_AT_ONCE", 100)
    np.testing.assert_array_equal(fitted["dbow"].infer(texts).codes, whole)


def test_texts_without_known_words_are_refused_by_id_or_flagged(planted, fitted):
    texts = [planted[0][0], "nothing known here", ""]
    with pytest.raises(InputError, match=r"text 1: 2 of 3 texts"):
        fitted["dbow"].infer(texts)
    with pytest.raises(InputError, match=r"^d7: 1 of 1 texts"):
        fitted["dbow"].infer([Document("d7", "unknown")])
    for variant in VARIANTS:
        found = fitted[variant].infer(texts, unknown="zero")
        assert found.n_words.tolist() == [40, 0, 0]
        held = [value for value in found[:2] if value is not None]
        assert all(value[0].any() and not value[1:].any() for value in held)
    with pytest.raises(InputError, match="error or zero"):
        fitted["dbow"].infer(texts, unknown="skip")
    assert fitted["dbow"].infer([]).codes.shape == (0, 2)


# --- files


@pytest.mark.parametrize("variant", VARIANTS)
def test_saving_what_was_loaded_gives_the_same_bytes(variant, fitted, tmp_path):
    model, texts = fitted[variant], planted_texts(5, seed=3)[0]
    model.save(tmp_path / "one")
    loaded = BinaryParagraphVector.load(tmp_path / "one")
    loaded.save(tmp_path / "two")
    for file in ("model.safetensors", "card.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert loaded.config == model.config
    for ours, theirs in zip(model.infer(texts), loaded.infer(texts), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_bigrams_are_saved_and_inferred(planted, tmp_path):
    model = BinaryParagraphVector.fit(planted[0][:100], bigrams=True, **{**TINY, "epochs": 1, "min_count": 2})
    assert any(" " in word for word in model.vocabulary.words)
    model.save(tmp_path / "m")
    loaded = BinaryParagraphVector.load(tmp_path / "m")
    assert loaded.vocabulary.words == model.vocabulary.words
    np.testing.assert_array_equal(loaded.infer(planted[0][:5]).codes, model.infer(planted[0][:5]).codes)


def test_an_artifact_that_does_not_fit_together_is_refused(fitted, tmp_path):
    from sememe import artifact

    fitted["dbow"].save(tmp_path / "m")
    arrays, card = artifact.load(tmp_path / "m", "paragraph-vectors")
    for number, wrong in enumerate(
        [{"output": arrays["output"][:-1]}, {"counts": arrays["counts"][:-1]}, {"projection": arrays["output"]}]
    ):
        artifact.save(tmp_path / str(number), "paragraph-vectors", {**arrays, **wrong}, card)
        with pytest.raises(ArtifactError, match="Make it again"):
            BinaryParagraphVector.load(tmp_path / str(number))
    broken = {**card, "config": {**card["config"], "variant": "pv"}}
    artifact.save(tmp_path / "c", "paragraph-vectors", arrays, broken)
    with pytest.raises(ArtifactError, match="does not hold paragraph vectors"):
        BinaryParagraphVector.load(tmp_path / "c")
