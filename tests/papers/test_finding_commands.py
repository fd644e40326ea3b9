"""`sememe papers search`, `similar`, `feed` and `interest` as people and programs see them."""

from __future__ import annotations

import json

import pytest

from sememe import Encoder
from sememe.cli import main
from sememe.search import Index

ROBOTS = [f"arxiv:2601.{number:05d}" for number in (2, 6, 10, 14, 18)]
OTHERS = [f"arxiv:2601.{number:05d}" for number in (0, 1, 3)]


@pytest.fixture(autouse=True)
def hash_encoder_everywhere(monkeypatch, encoder, folder):
    monkeypatch.setattr(Encoder, "load", staticmethod(lambda *_, **__: encoder))
    monkeypatch.setenv("SEMEME_PAPERS", str(folder))


def run_json(capsys, *words):
    code = main(["papers", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def marked():
    words = [word for id in ROBOTS for word in ("--like", id)] + [word for id in OTHERS for word in ("--unlike", id)]
    assert main(["papers", "interest", *words]) == 0


def test_search_indexes_first_and_prints_what_it_found(capsys):
    assert main(["papers", "search", "robot gripper", "-k", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("arxiv:2601.") == 2
    assert "robot" in out
    assert "words only" in out
    code, found = run_json(capsys, "search", "robot gripper", "-k", 3, "--mode", "lexical", "--until", "2026-01-20")
    assert code == 0
    assert found["query"] == "robot gripper"
    assert [set(hit) for hit in found["hits"]] == [{"id", "title", "date", "score", "reasons", "explanation"}] * 3
    assert all(hit["date"] <= "2026-01-20" for hit in found["hits"])
    assert {reason["kind"] for hit in found["hits"] for reason in hit["reasons"]} == {"term"}


def test_nothing_found_says_so(capsys):
    assert main(["papers", "search", "robot", "--mark", "saved"]) == 0
    assert "Nothing found in 80 papers." in capsys.readouterr().out


def test_similar_takes_one_paper_or_more_and_less(capsys):
    code, found = run_json(capsys, "similar", ROBOTS[0], "-k", 4, "--order", "date")
    assert code == 0
    assert [hit["date"] for hit in found["hits"]] == sorted((hit["date"] for hit in found["hits"]), reverse=True)
    code, found = run_json(capsys, "similar", ROBOTS[0], "arxiv:2601.00003", "--unlike", "arxiv:2601.00007", "-k", 4)
    assert code == 0
    assert found["like"] == [ROBOTS[0], "arxiv:2601.00003"]
    assert found["unlike"] == ["arxiv:2601.00007"]
    assert len(found["hits"]) == 4


def test_feed_shows_its_formula(capsys):
    assert main(["papers", "feed", "--period", "week", "--day", "2026-01-07", "--limit", "3"]) == 0
    out = capsys.readouterr().out
    assert "2026-01-05 to 2026-01-11: 14 papers; newest first" in out
    code, found = run_json(capsys, "feed", "--order", "trending", "--period", "month")
    assert code == 0
    assert "0.5^" in found["formula"]
    assert found["since"] == "2026-02-01"
    marked()
    capsys.readouterr()
    code, found = run_json(capsys, "feed", "--order", "for-me", "--period", "all", "--limit", 5)
    assert found["note"].startswith("learned from 5 + and 3 −")
    assert [len(entry["reasons"]) > 0 for entry in found["entries"]] == [True] * 5


def test_interest_shows_what_was_learned_and_takes_changes(capsys):
    code, found = run_json(capsys, "interest")
    assert (code, found["ready"]) == (0, False)
    assert found["marks"].startswith("0 + and 0 −")
    marked()
    assert "learned from 5 + and 3 −" in capsys.readouterr().out
    code, found = run_json(capsys, "interest", "--pin", "Li", "--weight", "3:-0.5")
    assert code == 2
    assert "no atoms" in found["error"]["message"]
    assert run_json(capsys, "interest")[1]["authors"] == []  # what is refused changes nothing
    assert run_json(capsys, "interest", "--pin", "Müller", "--forbid", "music")[1]["forbid"] == ["music"]
    code, found = run_json(capsys, "interest", "--drop", "music")
    assert (code, found["authors"], found["forbid"], found["ready"]) == (0, ["Müller"], [], True)
    assert found["liked"] == ROBOTS
    code, found = run_json(capsys, "interest", "--remove")
    assert found["liked"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["interest", "--weight", "3"], "ATOM:WEIGHT"),
        (["interest", "--weight", "nan:1"], "ATOM:WEIGHT"),
        (["interest", "--drop", "nothing"], "does not have"),
        (["interest", "--like", "arxiv:2699.1"], "no such paper"),
        (["similar", "arxiv:2699.1"], "no such paper"),
        (["search", " "], "empty"),
        (["feed", "--limit", "0"], "cannot show"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(capsys, words, message):
    assert main(["papers", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_day_that_is_none_is_refused(capsys):
    assert main(["papers", "feed", "--day", "2026-13-01"]) == 2


def test_what_another_process_indexes_is_searched_as_it_is(capsys, folder, encoder, collection):
    from sememe.papers import Paper

    collection.store.add([Paper("arxiv:2602.00001", "One more", abstract="voice")])
    with Index.open(folder / "index", writable=True, encoder=encoder):
        assert main(["papers", "search", "robot", "-k", "1"]) == 0
    captured = capsys.readouterr()
    assert "being written by pid" in captured.err
    assert "arxiv:2601." in captured.out
