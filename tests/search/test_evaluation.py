"""Pipelines by name, their evaluation on a test collection, and the choice of a first stage."""

from __future__ import annotations

import json
import random

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, R, nDCG

from sememe import Document, Index
from sememe.cli import main
from sememe.errors import ArtifactError, InputError
from sememe.evaluation.metrics import Comparison
from sememe.evaluation.runs import read_run
from sememe.search.evaluation import _holm, evaluate
from sememe.search.expansion import RM3
from sememe.search.feedback import Feedback
from sememe.search.pipeline import parse_pipeline

WORDS = [f"word{number}" for number in range(40)]


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A BEIR folder: documents of random words; those that share two words with a query are relevant."""
    folder, rng = tmp_path_factory.mktemp("beir"), random.Random(0)
    texts = {f"d{i}": rng.choices(WORDS, k=12) for i in range(150)}
    queries = {f"q{i}": rng.sample(WORDS, 3) for i in range(25)}
    with open(folder / "corpus.jsonl", "w") as stream:
        stream.writelines(json.dumps({"_id": i, "text": " ".join(words)}) + "\n" for i, words in texts.items())
    with open(folder / "queries.jsonl", "w") as stream:
        stream.writelines(json.dumps({"_id": i, "text": " ".join(words)}) + "\n" for i, words in queries.items())
    (folder / "qrels").mkdir()
    with open(folder / "qrels" / "test.tsv", "w") as stream:
        stream.write("query-id\tcorpus-id\tscore\n")
        for query, asked in queries.items():
            for document, words in texts.items():
                if len(set(asked) & set(words)) >= 2:
                    stream.write(f"{query}\t{document}\t{len(set(asked) & set(words)) - 1}\n")
    return folder, [Document(i, " ".join(words)) for i, words in texts.items()]


@pytest.fixture
def index(collection, tmp_path, hash_encoder):
    with Index.build(collection[1], hash_encoder, tmp_path / "i") as built:
        yield built


@pytest.mark.parametrize(
    ("name", "mode", "coarse", "feedback"),
    [
        ("dense", "dense", None, None),
        ("hybrid+rocchio", "hybrid", None, Feedback("rocchio")),
        ("lexical+rm3", "lexical", None, RM3()),
        ("pq:48", "dense", "pq:48", None),
        ("exact+average", "dense", "exact", Feedback("average")),
    ],
)
def test_pipelines_have_names(name, mode, coarse, feedback):
    pipeline = parse_pipeline(name)
    assert (pipeline.mode, pipeline.coarse, pipeline.feedback) == (mode, coarse, feedback)


@pytest.mark.parametrize("name", ["", "magic", "dense+", "dense+magic", "pq:x", "+average"])
def test_unknown_pipelines_are_refused_with_a_hint(name):
    with pytest.raises(InputError) as caught:
        parse_pipeline(name)
    assert "Choose from" in str(caught.value)


def test_figures_agree_with_ir_measures(collection, index, tmp_path):
    folder, _ = collection
    found = evaluate(index, folder, ["dense", "lexical+rm3", "dense+average", "binary"], runs=tmp_path / "runs")
    qrels = list(ir_measures.read_trec_qrels("\n".join(_trec_lines(folder))))
    wanted = {"ndcg@10": nDCG @ 10, "recall@100": R @ 100, "mrr@10": RR @ 10, "map": AP}
    for name in ("dense", "lexical+rm3", "dense+average", "binary"):
        run = read_run(tmp_path / "runs" / f"{name}.trec")
        theirs = ir_measures.calc_aggregate(list(wanted.values()), qrels, run)
        for metric, measure in wanted.items():
            assert found.pipelines[name][metric] == pytest.approx(theirs[measure], abs=1e-6), (name, metric)


def _trec_lines(folder):
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        yield f"{query} 0 {document} {grade}"


def test_pipelines_are_compared_with_the_first(collection, index):
    found = evaluate(index, collection[0], ["exact", "sign", "lexical"])
    assert list(found.comparisons) == ["sign", "lexical"]
    for name in ("sign", "lexical"):
        for metric, comparison in found.comparisons[name].items():
            difference = found.pipelines[name][metric] - found.pipelines["exact"][metric]
            assert comparison.difference == pytest.approx(difference, abs=1e-12)
            assert comparison.n_queries == 25
            assert comparison.p <= found.adjusted[name][metric] <= min(1.0, 2 * comparison.p)
    assert found.pipelines["sign"]["coarse_mib"] > 0 == found.pipelines["exact"]["coarse_mib"]


def test_holm_by_hand():
    def of(p):
        return {metric: Comparison(0.0, 0.0, 0.0, p, 9) for metric in ("ndcg@10", "recall@100", "mrr@10", "map")}

    adjusted = _holm({"a": of(0.01), "b": of(0.04), "c": of(0.03)})
    assert {name: values["map"] for name, values in adjusted.items()} == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )


def test_another_first_stage_leaves_the_index_as_it_is(index, hash_encoder):
    before = {file: file.read_bytes() for file in index.path.rglob("*") if file.is_file()}
    view = index.using("itq:16", candidates=1000)
    hits, exact = view.search("word1 word2", 5), index.search("word1 word2", 5)
    assert [hit.document.id for hit in hits] == [hit.document.id for hit in exact]
    assert [report.stage for report in hits.stages][1] == "itq:16"
    assert before == {file: file.read_bytes() for file in index.path.rglob("*") if file.is_file()}
    assert index.config.coarse == "auto"


def test_a_first_stage_is_changed_for_good(index, hash_encoder):
    index.set_coarse("pq:4", candidates=20)
    index.close()
    with Index.open(index.path, encoder=hash_encoder) as reader:
        assert reader.config.coarse == "pq:4"
        assert reader.info()["coarse"]["per_hit"] == 20
        assert reader.search("word1", 3).stages[1].stage == "pq:4"
        with pytest.raises(ArtifactError, match="writable=True"):
            reader.set_coarse("exact")


def test_codes_of_another_stage_are_never_taken_for_this_one(collection, tmp_path, hash_encoder):
    with Index.build(collection[1], hash_encoder, tmp_path / "i", coarse="binary") as index:
        assert index.using("sign").search("word1", 3).stages[1].stage == "sign"
        index.set_coarse("sign")
        assert index.search("word1", 3).stages[1].stage == "sign"
        sign = index.info()["coarse"]
        assert (sign["kind"], sign["per_hit"]) == ("sign", 10)
        index.set_coarse("sign", candidates=20)
        assert index.info()["coarse"] == {**sign, "per_hit": 20, "recall@10": index.info()["coarse"]["recall@10"]}
        index.set_coarse("sign")
        assert index.info()["coarse"] == sign
        index.add([Document("new", "word1 word2")])
    with Index.open(tmp_path / "i", encoder=hash_encoder) as reader:
        assert reader.search("word1", 3).stages[1].stage == "sign"
        assert len(list((tmp_path / "i" / "g000001").glob("coarse-*"))) == 1


def test_a_tuned_number_of_candidates_wins_over_the_floor(collection, tmp_path, hash_encoder):
    with Index.build(collection[1], hash_encoder, tmp_path / "i", coarse="sign") as index:
        assert index.search("word1", 3).stages[1].candidates == 100
        index.set_coarse("sign", candidates=4)
        for k, expected in ((1, 4), (3, 12), (10, 40)):
            assert index.search("word1", k).stages[1].candidates == expected
        assert index.info()["coarse"]["per_hit"] == 4
        for candidates, least in ((0, 100), (2, 6)):
            view = index.using("lexical", candidates=candidates)
            found = view.search(" ".join(WORDS), 3).stages[1]
            assert (found.stage, found.candidates) == ("lexical", least)


def test_tuning_chooses_what_reaches_the_recall(index):
    tuned = index.tune(["binary", "sign", "pq:96"], recall=0.9)  # 96 bytes do not fit 16 dimensions
    assert {point.stage for point in tuned.curve} == {"binary", "sign"}
    assert tuned.choice is not None
    assert tuned.choice.sure >= 0.9
    assert tuned.confirmed > 0.85
    with pytest.raises(InputError, match="96"):
        index.tune(["pq:96"])


def test_the_command_tunes_writes_and_shows_stages(index, monkeypatch, capsys, hash_encoder):
    from sememe import Encoder

    monkeypatch.setattr(Encoder, "load", staticmethod(lambda *_, **__: hash_encoder))
    path = str(index.path)
    index.close()
    assert main(["index", "tune", "--path", path, "--stages", "sign,binary", "--recall", "0.8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["choice"]["stage"] in ("sign", "binary")
    assert not told["written"]
    assert main(["index", "tune", "--path", path, "--stages", "sign,binary", "--recall", "0.8", "--write"]) == 0
    assert "Written." in capsys.readouterr().out
    assert main(["search", path, "word3", "-k", "2", "--stages"]) == 0
    assert "fine" in capsys.readouterr().out
    assert main(["search", path, "word3", "-k", "2", "--feedback", "rocchio", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["feedback"]["passages"]) == 3
    assert [stage["stage"] for stage in told["stages"]][1] == "feedback"
    assert main(["search", path, "word3", "--like", told["hits"][1]["id"], "--unlike", told["hits"][0]["id"]]) == 0
    assert "fed back" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feedback": RM3()}, "mode lexical"),
        ({"feedback": Feedback("average"), "mode": "lexical"}, "rm3"),
        ({"feedback": Feedback.chosen(["no such"])}, "no such"),
    ],
)
def test_feedback_that_does_not_fit_is_refused(index, arguments, message):
    with pytest.raises(InputError, match=message):
        index.search("word1", **arguments)


def test_a_reranker_orders_the_best_and_leaves_the_rest_below(index):
    class ByLength:
        name, depth = "length", 4

        def score(self, query, texts):
            return np.array([len(text) for text in texts], np.float64)

    plain = index.search("word1 word5", 10)
    hits = index.search("word1 word5", 8, rerank=ByLength())
    longest = sorted(plain[:4], key=lambda hit: -len(hit.document.text))
    assert [len(hit.document.text) for hit in hits[:4]] == [len(hit.document.text) for hit in longest]
    assert {hit.document.id for hit in hits[:4]} == {hit.document.id for hit in plain[:4]}
    assert [hit.document.id for hit in hits[4:]] == [hit.document.id for hit in plain[4:8]]
    assert [hit.rank for hit in hits] == list(range(1, 9))
    assert hits[0].parts["length"] == hits[0].score
    assert [report.stage for report in hits.stages][-1] == "rerank"


def test_late_interaction_is_the_mean_of_best_products(index):
    from sememe import LateInteraction
    from sememe.models.multi_vector import TokenVectors

    class Tokens:
        """A vector for each word."""

        def encode(self, texts, kind="document", **_):
            made = []
            for text in texts:
                rows = [np.eye(40, dtype=np.float32)[int(word.removeprefix("word"))] for word in text.split()]
                made.append(TokenVectors(np.stack(rows), np.zeros((len(rows), 2), np.int32)))
            return made

    hits = index.search("word1 word5 word9", 10, rerank=LateInteraction(Tokens(), depth=100))
    for hit in hits:
        shared = {"word1", "word5", "word9"} & set(hit.document.text.split())
        assert hit.score == pytest.approx(len(shared) / 3)
    assert hits[0].score >= 2 / 3
