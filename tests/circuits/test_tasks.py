"""Tasks: pairs of equal length, corruptions that take the answer's ground away, and files that are checked whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_circuits import tiny_model

from sememe.circuits.tasks import TASKS, Pair, Task, make_task, read_task
from sememe.errors import ArtifactError, InputError

LINE = {"positive": "the book and the key", "negative": "the book and the map", "answer": " Mary", "wrong": " John"}


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_and_corruption_has_pairs_of_equal_length(name):
    lm = tiny_model()
    for corruption in TASKS[name].corruptions:
        task = make_task(name, lm, 24, 3, corruption)
        assert len(task) == 24
        for pair, positive, negative in zip(task.pairs, task.positive, task.negative, strict=True):
            assert len(positive) == len(negative)
            assert positive != negative
            assert pair.positive.split()[-1] == pair.negative.split()[-1]
        assert make_task(name, lm, 24, 3, corruption).pairs == task.pairs
        assert make_task(name, lm, 24, 4, corruption).pairs != task.pairs


def test_the_answer_of_ioi_is_the_one_who_is_named_once():
    for pair in make_task("ioi", tiny_model(), 40, 0, "third-name").pairs:
        io, subject = pair.answer[0].strip(), pair.wrong[0].strip()
        counts = [_words(text).count for text in (pair.positive, pair.negative)]
        assert (counts[0](io), counts[0](subject)) == (1, 2)
        assert (counts[1](io), counts[1](subject)) == (1, 1)
    for pair in make_task("ioi", tiny_model(), 40, 0).pairs:
        assert not {pair.answer[0].strip(), pair.wrong[0].strip()} & set(_words(pair.negative))
    for pair in make_task("ioi", tiny_model(), 40, 0, "swap").pairs:
        words = _words(pair.negative)
        assert (words.count(pair.answer[0].strip()), words.count(pair.wrong[0].strip())) == (2, 1)


def _words(text):
    return text.replace(",", " ").replace(".", " ").split()


def test_greater_than_knows_later_from_earlier():
    for pair in make_task("greater-than", tiny_model(), 40, 0).pairs:
        year = next(word for word in pair.positive.replace(",", " ").split() if len(word) == 4 and word.isdigit())
        decade = int(year[2])
        assert [int(digit) for digit in pair.answer] == list(range(decade + 1, 10))
        assert [int(digit) for digit in pair.wrong] == list(range(decade))
        assert f"{year[:2]}01" in pair.negative


def test_induction_repeats_what_the_negative_never_had():
    for pair in make_task("induction", tiny_model(), 20, 0).pairs:
        last, answer = pair.positive.split()[-1], pair.answer[0].strip()
        words = pair.positive.replace(",", " ").replace(".", " ").split()
        assert words[words.index(last) + 1] == answer
        assert pair.negative.replace(",", " ").replace(".", " ").split().count(last) == 1
    for pair in make_task("induction", tiny_model(), 20, 0, "shuffled").pairs:
        words = pair.negative.replace(",", " ").replace(".", " ").split()
        assert words[words.index(pair.positive.split()[-1]) + 1] != pair.answer[0].strip()


def test_docstring_asks_for_the_third_matching_argument():
    for pair in make_task("docstring", tiny_model(), 20, 0).pairs:
        arguments = pair.positive.split("(self, ")[1].split(")")[0].split(", ")
        assert pair.answer == (f" {arguments[4]}",)
        documented = [line.split()[1].rstrip(":") for line in pair.positive.split("\n") if ":param " in line]
        assert documented == arguments[2:4]
        assert not set(arguments[2:5]) & set(pair.negative.replace(",", " ").replace(":", " ").split())


def test_the_logit_difference_is_of_log_sum_exps():
    task = make_task("greater-than", tiny_model(), 4, 0)
    logits = torch.randn(4, 600, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = task.logit_differences(logits, range(4)).numpy()
    for row in range(4):
        values = logits[row].numpy()
        expected = np.log(np.exp(values[task.answer[row]]).sum()) - np.log(np.exp(values[task.wrong[row]]).sum())
        assert found[row] == pytest.approx(expected)


def test_a_file_of_the_users_own(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(LINE) + "\n\n" + json.dumps({**LINE, "answer": [" Mary", " Anna"]}) + "\n")
    task = make_task(str(path), tiny_model(), 10)
    assert (task.name, len(task), [len(ids) for ids in task.answer]) == ("mine", 2, [1, 2])


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text(
        '{"positive": "a"}\nnot json\n[1]\n'
        + json.dumps({**LINE, "answer": []})
        + "\n"
        + json.dumps({**LINE, "negative": 3})
    )
    with pytest.raises(InputError) as caught:
        make_task(str(path), tiny_model(), 10)
    for part in ("line 1: lacks negative, answer, wrong", "line 2: not valid JSON", "line 3: not a JSON object",
                 "line 4: 'answer' is neither", "line 5: 'negative' is no text"):  # fmt: skip
        assert part in caught.value.message
    path.write_text("\n".join([
        json.dumps({**LINE, "negative": "the book"}), json.dumps({**LINE, "negative": LINE["positive"]}),
        json.dumps({**LINE, "wrong": " Mary"}), json.dumps(LINE),
    ]))  # fmt: skip
    with pytest.raises(InputError) as caught:
        make_task(str(path), tiny_model(), 10)
    for part in ("line 1: the positive prompt has 5 tokens, the negative one 2", "line 2: both prompts are the same",
                 "line 3: an answer begins with the same token as a wrong one"):  # fmt: skip
        assert part in caught.value.message
    assert "line 4" not in caught.value.message
    path.write_bytes(b'{"positive": "\xff"}')
    with pytest.raises(InputError, match="not UTF-8"):
        make_task(str(path), tiny_model(), 10)
    path.write_text(json.dumps({**LINE, "answer": "s and more"}))
    with pytest.raises(InputError, match="'s and more' is no token after the prompt"):
        make_task(str(path), tiny_model(), 10)
    path.write_text("")
    with pytest.raises(InputError, match="no lines"):
        make_task(str(path), tiny_model(), 10)
    with pytest.raises(ArtifactError):
        read_task(tmp_path / "none.jsonl", tiny_model())


def test_what_is_no_task_is_refused():
    lm = tiny_model()
    with pytest.raises(InputError, match="no task 'ioy'"):
        make_task("ioy", lm)
    with pytest.raises(InputError, match="no corruption 'x'"):
        make_task("ioi", lm, corruption="x")
    with pytest.raises(InputError, match="too few"):
        make_task("ioi", lm, 1)
    with pytest.raises(InputError, match="no pairs"):
        Task.of("empty", [], lm)
    with pytest.raises(InputError, match="'answer' is empty"):
        Task.of("none", [Pair("the book", "the map", (), (" John",))], lm)


def test_pairs_of_one_length_are_together_and_groups_share_a_template():
    task = make_task("ioi", tiny_model(), 30, 0)
    rows = task.by_length()
    assert sorted(np.concatenate(rows).tolist()) == list(range(30))
    for members in rows:
        assert len({len(task.positive[row]) for row in members}) == 1
    groups = task.groups()
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        assert len({(task.pairs[row].group, len(task.positive[row])) for row in members}) == 1
    part = task.part([4, 2])
    assert part.pairs == (task.pairs[4], task.pairs[2])
