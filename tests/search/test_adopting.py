"""Putting learned codes into force: refused when they measure worse, kept through every change, safe from kills."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from test_optimizing import QUICK, Planted, start

from faults import ERRORS, KILLS, contents, count_points, fault, killed_at, leftovers
from sememe import Document, Encoder, Index
from sememe.cli import main
from sememe.errors import ArtifactError, InputError
from sememe.evaluation.metrics import Comparison
from sememe.search.learned_stage import load_learned
from sememe.search.optimizing import Optimized, optimize_coarse

pytest.importorskip("torch")


def documents(first: int, last: int) -> list[Document]:
    return [Document(f"d{i}", f"vector {i}", title=f"question {i}") for i in range(first, last)]


def build(path, n: int = 400, **settings) -> Index:
    return Index.build(documents(0, n), Planted(), path, **settings)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """An index that searches with learned codes, and what was learned for it."""
    path = tmp_path_factory.mktemp("learned") / "i"
    with build(path) as index:
        found = index.optimize(before=start(), candidates=200, config=QUICK)
        assert found.objection is None
        index.adopt(found)
    return path, found


@pytest.fixture
def copied(learned, tmp_path):
    shutil.copytree(learned[0], tmp_path / "copy")
    return tmp_path / "copy"


def decoded_scores(index: Index, found) -> np.ndarray:
    """What the first stage must go by: the scores of decoded codes, by brute force; -inf for rows that are gone."""
    queries = index.encoder.encode_query([f"question {i}" for i in range(10)])
    z = found.after.decode(found.after.encode(index.bank[:]))  # there is no rotation
    live = np.isin(np.arange(len(index.bank)), index.live_rows())
    return np.where(live, found.after.mapped(queries) @ z.T, -np.inf)


def proposed(index: Index, n: int = 50) -> list[list[int]]:
    stage, rows = index._parts.shortlist().stage, np.zeros(len(index.bank), bool)
    rows[index.live_rows()] = True
    queries = index.encoder.encode_query([f"question {i}" for i in range(10)])
    return [stage.candidates(query, n, rows).tolist() for query in queries]


def check_proposed(index: Index, found, n: int = 50) -> None:
    """The rows with the highest scores, in their order; those that rounding cannot tell apart may change places."""
    for rows, scores in zip(proposed(index, n), decoded_scores(index, found), strict=True):
        assert len(set(rows)) == n
        best = np.sort(scores)[::-1][:n]
        np.testing.assert_allclose(scores[rows], best, rtol=0, atol=1e-5 * np.abs(best).max())


def test_it_is_the_first_stage_and_says_how_it_measured(learned):
    path, found = learned
    with Index.open(path, encoder=Planted()) as index:
        assert index.config.coarse == index.first_stage == "learned"
        hits = index.search("question 3", 5)
        assert hits.stages[1].stage == "learned"
        check_proposed(index, found)
        coarse = index.info()["coarse"]
        assert coarse["learned"] == json.loads(json.dumps(found.as_dict()))
        assert coarse["recall@10"] is not None
        assert coarse["learned"]["table"]["after"]["coarse recall@100"] > 0
        assert json.loads((path / "card.json").read_text())["coarse"]["learned"]["in_force"]["stage"] == "exact"
        index.verify()


def test_scores_stay_exact(learned):
    with Index.open(learned[0], encoder=Planted()) as index:
        exact = index.using("exact")
        for query in ("question 5", "question 77"):
            scores = {hit.document.id: hit.score for hit in exact.search(query, 400)}
            assert all(scores[hit.document.id] == hit.score for hit in index.search(query, 10))


def test_it_is_kept_under_every_change(copied, learned):
    found = learned[1]
    before = load_learned(copied).fingerprint
    with Index.open(copied, writable=True, encoder=Planted()) as index:
        index.delete([f"d{i}" for i in range(0, 50)])
        index.add(documents(400, 430))
        index.replace([Document("d60", "vector 999")])
        check_proposed(index, found)
        index.compact()
        check_proposed(index, found)
        assert index.first_stage == "learned"
    with Index.open(copied, encoder=Planted()) as index:
        check_proposed(index, found)
        index.verify()
    assert load_learned(copied).fingerprint == before
    assert len(list((copied / "g000002").glob("coarse-*"))) == 1


def test_other_stages_can_be_had_beside_it_and_back(copied):
    with Index.open(copied, writable=True, encoder=Planted()) as index:
        assert index.using("pq:4").search("question 1").stages[1].stage == "pq:4"
        index.set_coarse("exact")
        assert index.using("learned").search("question 1").stages[1].stage == "learned"
        index.set_coarse("learned", candidates=30)
        assert index.info()["coarse"]["per_hit"] == 30


def test_learning_again_replaces_the_codes(copied):
    with Index.open(copied, writable=True, encoder=Planted()) as index:
        again = index.optimize(before=start(), learn=("codebook", "query_map"), candidates=200, config=QUICK)
        assert again.in_force == "learned"
        index.adopt(again, force=True)
        assert again.after.query_map is not None
        check_proposed(index, again)
    with Index.open(copied, encoder=Planted()) as index:
        check_proposed(index, again)
        assert len(list((copied / "g000001").glob("coarse-*"))) == 1


def worse(index: Index, good: Optimized) -> Optimized:
    """Learned with a rate at which nothing is learned but noise, from codes that were good."""
    config = replace(QUICK, steps=20, patience=0, learning_rate=3.0)
    return optimize_coarse(index, before=good.after, config=config)


def test_what_measures_worse_is_refused_unless_forced(tmp_path, learned):
    with build(tmp_path / "i") as index:
        files = contents(tmp_path / "i")
        found = worse(index, learned[1])
        assert found.recall_gain.difference < 0
        with pytest.raises(InputError, match=r"is not adopted: .*recall@100 is 0\.\d+, without learning 0\.\d+"):
            index.adopt(found)
        assert contents(tmp_path / "i") == files
        index.adopt(found, force=True)
        assert index.info()["coarse"]["learned"]["objection"] == found.objection
        assert index.first_stage == "learned"


def test_surely_less_than_what_is_in_force_is_an_objection_too(learned):
    less = replace(learned[1], found_gain=Comparison(-0.05, -0.08, -0.02, 0.001, 80))
    assert "0.0500 below that of the stage in force (exact)" in less.objection
    assert replace(less, found_gain=Comparison(-0.01, -0.03, 0.01, 0.4, 80)).objection is None


def test_what_cannot_be_is_refused(tmp_path, learned):
    with pytest.raises(InputError, match=r"Index\.optimize"):
        build(tmp_path / "new", coarse="learned")
    assert not (tmp_path / "new").exists()
    with build(tmp_path / "i", 50) as index, pytest.raises(ArtifactError, match="has no learned codes"):
        index.using("learned").search("question 1")
    with Index.open(learned[0], encoder=Planted()) as reader, pytest.raises(ArtifactError, match="writable=True"):
        reader.adopt(learned[1])


@pytest.mark.parametrize("from_learned", [False, True])
def test_a_fault_at_every_write_leaves_the_old_stage_or_the_new_one(tmp_path, learned, from_learned):
    with build(tmp_path / "reference", 30) as index:
        first = index.optimize(before=start(), candidates=30, config=QUICK)
        second = index.optimize(before=start(), learn=("codebook", "query_map"), candidates=30, config=QUICK)
        if from_learned:
            index.adopt(first, force=True)

    def fresh(name):
        shutil.copytree(tmp_path / "reference", tmp_path / name)
        return tmp_path / name

    def act(path):
        with Index.open(path, writable=True, encoder=Planted()) as index:
            index.adopt(second, force=True)

    def state(path):
        with Index.open(path, encoder=Planted()) as index:
            index.verify()
            found = [[(hit.document.id, hit.score) for hit in index.search(f"question {i}", 30)] for i in range(5)]
            return index.first_stage, found, proposed(index, 10) if index.first_stage == "learned" else None

    counted = fresh("counted")
    before = state(counted)
    points = count_points(lambda: act(counted))
    after = state(counted)
    assert before != after
    for point in range(1, points + 1):
        for kind in (*KILLS, *ERRORS):
            path = fresh(f"{point}-{kind}")
            if kind in KILLS:
                assert killed_at(point, lambda path=path: act(path), kind)
            else:
                with fault(kind, point), pytest.raises((ArtifactError, OSError)):
                    act(path)
            assert state(path) in (before, after), (point, kind)
            shutil.rmtree(path)
        path = fresh(f"{point}")
        assert killed_at(point, lambda path=path: act(path))
        act(path)
        assert state(path) == after
        assert not leftovers(path)
        shutil.rmtree(path)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def at_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Encoder, "load", staticmethod(lambda *_, **__: Planted()))
    build(tmp_path / "i").close()
    return str(tmp_path / "i")


def test_the_command_learns_from_judgements_and_writes(at_the_command_line, tmp_path, capsys):
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text("".join(json.dumps({"_id": f"q{i}", "text": f"question {i}"}) + "\n" for i in range(300)))
    lines = [f"q{i}\td{i}\t1" for i in range(300)] + ["q0\td5\t0", "q1\tgone\t2"]
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines) + "\n")
    words = ["index", "optimize", "--path", at_the_command_line, "--bytes", "4", "--queries", str(queries)]
    words += ["--qrels", str(qrels), "--steps", "40", "--candidates", "100"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pairs_learned"] + told["pairs_measured"] == 300
    assert told["pairs_left_out"] == 1
    assert told["bytes"] == 4
    assert set(told["table"]) == {"before", "after", "exact"}
    assert told["in_force"]["stage"] == "exact"
    assert told["written"] is False
    assert told["coarse"] == {"kind": "exact"}
    code = main([*words, "--write"])
    out = capsys.readouterr().out
    assert "learned pq:4" in out
    assert "1 left out" in out
    assert (code, "Written: the index now searches" in out) in ((0, True), (1, False))
    assert main([*words, "--write", "--force"]) == 0
    assert "Written" in capsys.readouterr().out
    assert main(["index", "--path", at_the_command_line]) == 0
    assert "learned, 4 bytes a vector from 240 pairs" in capsys.readouterr().out
    assert main(["search", at_the_command_line, "question 3", "--stages"]) == 0
    assert "learned" in capsys.readouterr().out


def test_the_command_refuses_what_is_worse_with_exit_code_1(at_the_command_line, learned, capsys, monkeypatch):
    monkeypatch.setattr(Index, "optimize", lambda index, *_, **__: worse(index, learned[1]))
    assert main(["index", "optimize", "--path", at_the_command_line, "--bytes", "4", "--write"]) == 1
    out = capsys.readouterr().out
    assert "Not worth having: on" in out
    assert "Nothing was changed" in out
    with Index.open(at_the_command_line, encoder=Planted()) as index:
        assert index.first_stage == "exact"


def test_the_command_needs_both_files(at_the_command_line, capsys):
    assert main(["index", "optimize", "--path", at_the_command_line, "--queries", "q.jsonl"]) == 2
    assert "belong together" in capsys.readouterr().err
