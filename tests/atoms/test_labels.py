"""Labels: the words that set the texts of an atom apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack

from sememe.atoms.labels import label_atoms
from sememe.atoms.words import terms
from sememe.errors import InputError

TOPICS = {
    0: ["the zebra runs over the savanna", "a zebra and a lion", "zebras drink water on the savanna"],
    1: ["the engine of the car", "cars need engine oil", "an engine roars in the car"],
    2: ["the bread in the oven", "baking bread with yeast", "an oven bakes bread"],
    3: ["the violin plays a sonata", "a violin in the orchestra", "sonatas for violin"],
}


def texts_and_codes() -> tuple[list[str], csr_matrix]:
    texts = [text for topic in TOPICS.values() for text in topic] * 5
    codes = np.zeros((len(texts), 5), np.float32)
    for number in range(len(texts)):
        codes[number, number % 12 // 3] = 1.0
    return texts, csr_matrix(codes)


def with_others(codes: csr_matrix, texts: list[str]) -> tuple[csr_matrix, list[str]]:
    """Add as many texts again that no atom fires on: a term that half of all texts have is no term."""
    nothing = csr_matrix(codes.shape, dtype=np.float32)
    return vstack([codes, nothing], format="csr"), texts + ["something unrelated"] * len(texts)


def test_labels_hold_the_words_that_set_an_atom_apart():
    texts, codes = texts_and_codes()
    labels = label_atoms(codes, texts)
    assert "zebra" in labels[0]
    assert "engine" in labels[1]
    assert labels[4] == ""
    words = [word for label in labels for word in label.split(", ") if word]
    assert not {"the", "a", "an", "of"} & set(words)


def test_labels_do_not_repeat_a_stem():
    texts, codes = texts_and_codes()
    words = label_atoms(codes, texts)[0].split(", ")
    assert len([word for word in words if word.startswith("zebra")]) == 1


def test_labels_are_the_same_every_time():
    texts, codes = texts_and_codes()
    assert label_atoms(codes, texts) == label_atoms(codes, iter(texts))


def test_names_keep_their_case_and_plurals_of_acronyms_are_one_term():
    texts = ["An LLM answers", "The LLMs answer with a Markov chain", "Robots walk", "Walking robots and a robot"] * 6
    codes = csr_matrix(np.tile([[1, 0], [1, 0], [0, 1], [0, 1]], (6, 1)).astype(np.float32))
    codes, texts = with_others(codes, texts)
    first, second = (label.split(", ") for label in label_atoms(codes, texts))
    assert sum(term.split()[0] in {"LLM", "LLMs"} for term in first) == 1
    assert "Markov chain" in first
    assert "robots" in second or "robot" in second


def test_a_pair_of_words_wins_and_is_written_as_in_the_texts():
    texts = ["gradient descent converges", "we use gradient descent", "a cat sleeps", "a dog, a cat"] * 6
    codes = csr_matrix(np.tile([[1, 0], [1, 0], [0, 1], [0, 1]], (6, 1)).astype(np.float32))
    codes, texts = with_others(codes, texts)
    assert label_atoms(codes, texts)[0].startswith("gradient descent")


def test_punctuation_and_numbers_part_words():
    found = terms(["speech recognition (ASR) works", "speech recognition, vision 3 audio"] * 3, maximum_share=1.0)
    assert "speech recognition" in found.names
    assert not {"recognition ASR", "recognition vision", "vision audio"} & set(found.names)


def test_presence_equals_counting_by_hand():
    texts = ["red apples fall", "a red apple", "green tree", "the apple tree falls", ""]
    found = terms(texts, minimum_texts=1, maximum_share=1.0)
    columns = {name: found.presence.toarray()[:, number].tolist() for number, name in enumerate(found.names)}
    assert columns["red"] == [1, 1, 0, 0, 0]
    assert columns["apple"] == [1, 1, 0, 1, 0]
    assert columns["tree"] == [0, 0, 1, 1, 0]
    assert "the" not in columns


def test_stronger_activations_count_for_more():
    texts = ["alpha words", "beta words"] * 10 + ["gamma"] * 20
    codes = csr_matrix(np.r_[np.tile([5.0, 1.0], 10), np.zeros(20)].astype(np.float32)[:, None])
    assert label_atoms(codes, texts, n_words=1)[0].split()[0] == "alpha"


def test_texts_that_do_not_fit_the_codes_are_refused():
    with pytest.raises(InputError, match="3 texts for 4 codes"):
        label_atoms(csr_matrix((4, 2), dtype=np.float32), ["a", "b", "c"])


def test_texts_without_words_give_empty_labels():
    assert label_atoms(csr_matrix(np.ones((3, 2), np.float32)), ["", "...", "1 2"]) == ["", ""]
    assert label_atoms(csr_matrix((0, 2), dtype=np.float32), []) == ["", ""]
