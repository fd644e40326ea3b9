"""Naming atoms: what the namer is shown, what is taken from its answer, and that a failure is seen."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from sememe.errors import InputError

if importlib.util.find_spec("transformers") is None:
    pytest.skip("needs the models extra", allow_module_level=True)

from tiny_models import byte_pairs, causal_model

from sememe.atoms.contexts import AFTER, BEFORE, LENGTH, N_LOWER, N_TOP, Contexts
from sememe.atoms.naming import LONGEST, N_CONTEXTS, clean_name, name_atoms, prompt_for
from sememe.models import LanguageModel

PIECES = {0: "The", 1: " cat", 2: " sat", 3: "\n", 4: " on", 5: "   ", 6: " {mat}"}


def contexts(peaks, n_each=2):
    """One atom for each peak token, in the text "The cat sat PEAK on The"; None for an atom that never fires."""
    shape = (len(peaks), N_TOP + N_LOWER)
    tokens, activations = np.full((*shape, LENGTH), -1, np.int32), np.zeros((*shape, LENGTH), np.float16)
    documents = np.full(shape, -1, np.int32)
    for atom, peak in enumerate(peaks):
        for place in range(n_each if peak is not None else 0):
            tokens[atom, place, BEFORE - 3 : BEFORE + 3] = [0, 1, 2, peak, 4, 0]
            activations[atom, place, BEFORE] = 2.0 - place / N_TOP
            documents[atom, place] = place
    nothing = np.zeros((len(peaks), 24), np.int32)
    return Contexts(tokens, activations, documents, documents * 0, nothing, nothing[:, 0].astype(np.float32), PIECES)


def test_the_prompt_shows_the_peaks_marked():
    prompt = prompt_for(contexts([1]).of(0))
    assert prompt.count("- The cat sat <<cat>> onThe") == 2
    assert prompt.endswith("\nPhrase:")
    assert prompt_for(contexts([1], n_each=12).of(0)).count("sat <<cat>>") == N_CONTEXTS


@pytest.mark.parametrize(("peak", "shown"), [(3, "sat<<\\n>> on"), (5, "sat<< >> on"), (6, "sat <<{mat}>> on")])
def test_a_peak_of_white_space_or_braces_stays_readable(peak, shown):
    assert shown in prompt_for(contexts([peak]).of(0))


def test_a_long_context_is_cut_around_its_peak():
    made = contexts([1], n_each=1)
    made.tokens[0, 0] = 2
    made.tokens[0, 0, BEFORE] = 1
    excerpt = prompt_for(made.of(0)).splitlines()[-2]
    assert excerpt.count("sat") == 16 + 6 < BEFORE + AFTER


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (" animals that sit\n\nExcerpts:\n- more", "animals that sit"),
        ('Phrase: "cats".', "cats"),
        ("**Label:** cats", "cats"),
        ("“the  word   cat”", "the word cat"),
        ('the word "cat"', 'the word "cat"'),
        ('"a" and "b"', '"a" and "b"'),
        ("- cats", "cats"),
        ("naïve 猫", "naïve 猫"),
    ],
)
def test_an_answer_is_cleaned(answer, name):
    assert clean_name(answer) == (name, "")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "empty"),
        ("**Label:**", "no words"),
        (" \n\t\n", "empty"),
        ('"..."', "no words"),
        ("x" * (LONGEST + 1), "too long"),
        ("a " * 9, "long"),
    ],
)
def test_an_answer_that_is_no_name_is_refused_with_the_reason(answer, problem):
    name, reason = clean_name(answer)
    assert name == ""
    assert problem in reason


def test_the_examples_are_those_of_the_prompt():
    prompt = prompt_for(contexts([1]).of(0))
    for line in prompt.splitlines():
        if line.startswith("Phrase: "):
            assert "example" in clean_name(line)[1]


def test_failures_are_recorded_and_labels_stay():
    answers = iter(["cats", "", "w " * 50])
    found = name_atoms(contexts([1, 1, None, 1]), lambda prompt: next(answers))
    assert found.names == {0: "cats"}
    assert set(found.failed) == {1, 2, 3}
    assert "empty" in found.failed[1]
    assert "not active" in found.failed[2]
    assert "too long" in found.failed[3]
    assert found.over(["a", "b", "c", "d"]) == ["cats", "b", "c", "d"]


def test_only_the_chosen_atoms_are_asked_about():
    asked = []
    found = name_atoms(contexts([1, 2, 4]), lambda prompt: asked.append(prompt) or "words", [2])
    assert list(found.names) == [2]
    assert len(asked) == 1
    assert "<<on>>" in asked[0]


def test_wrong_atoms_and_wrong_answers_are_refused():
    with pytest.raises(InputError, match="no atom 7"):
        name_atoms(contexts([1]), lambda prompt: "x", [7])
    with pytest.raises(InputError, match="gave int"):
        name_atoms(contexts([1]), lambda prompt: 3)

    def broken(prompt):
        raise ValueError("the namer is broken")

    with pytest.raises(ValueError, match="is broken"):
        name_atoms(contexts([1]), broken)


def test_a_language_model_continues_the_prompt():
    tokenizer = byte_pairs(2048)
    model = causal_model("gpt_neox")
    model.config.max_position_embeddings = 2048
    lm = LanguageModel(model, tokenizer, name="tiny")
    made = contexts([1])
    found = name_atoms(made, lm)
    expected = clean_name(lm.generate(prompt_for(made.of(0)), 24))
    assert (found.names.get(0, ""), found.failed.get(0, "")) == expected
