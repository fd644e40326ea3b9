"""The command line on an index of several vectors a text: build, search, evaluate, change; what does not apply."""

from __future__ import annotations

import json
import math

import pytest

from hash_encoder import HashEncoder, HashTokens
from sememe import Encoder, MultiVectorEncoder, MultiVectorIndex
from sememe.cli import main

pytest.importorskip("torch")
DOCUMENTS = [
    {"_id": "a", "title": "Cats", "text": "the cat sleeps in the small house", "year": 2001},
    {"_id": "b", "title": "Dogs", "text": "the dog runs under a tree", "year": 2002},
    {"_id": "c", "title": "Birds", "text": "a bird flies over the big house", "year": 2003},
]


@pytest.fixture(autouse=True)
def hash_encoders_everywhere(monkeypatch):
    monkeypatch.setattr(Encoder, "load", staticmethod(lambda *_, **__: HashEncoder()))

    def load(_, query_length=None, document_length=None):
        encoder = HashTokens()
        encoder.query_length, encoder.document_length = query_length or 32, document_length or 512
        return encoder

    monkeypatch.setattr(MultiVectorEncoder, "load", staticmethod(load))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    queries = {"q1": "small cat", "q2": "dog tree", "q3": "big bird"}
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in queries.items())
    )
    lines = ["query-id\tcorpus-id\tscore", "q1\ta\t1", "q2\tb\t1", "q3\tc\t1"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def index(tmp_path, beir, capsys):
    path = tmp_path / "tokens.index"
    assert main(["index", str(beir), "--path", str(path), "--multi-vector", "--pruning", "C2x3"]) == 0
    capsys.readouterr()
    return path


def run_json(capsys, *words):
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_index_reports_what_it_made(tmp_path, beir, capsys):
    words = ["index", beir, "--path", tmp_path / "x", "--multi-vector", "--pruning", "C2x3", "--dtype", "float32"]
    code, report = run_json(capsys, *words, "--document-length", "64")
    assert code == 0
    assert report.pop("seconds") > 0
    assert report == {"documents": 3, "vectors": 9, "dimensions": 16, "skipped": 0}
    code, info = run_json(capsys, "index", "--path", tmp_path / "x")
    assert code == 0
    assert info["config"] == {"pruning": "C2x3", "renormalize": False, "dtype": "float32", "coarse": "auto"}
    assert info["encoder"]["document_length"] == 64
    assert info["tokens"] > info["vectors"] == 9
    assert main(["index", "--path", str(tmp_path / "x")]) == 0
    out = capsys.readouterr().out
    assert f"9 of 16 dimensions (float32), C2x3 of {info['tokens']} tokens" in out
    assert "64 of a document" in out
    assert main(["index", str(beir), "--path", str(tmp_path / "x"), "--multi-vector", "--resume"]) == 2
    assert "pruning was 'C2x3' and is now 'mv'" in capsys.readouterr().err


def test_search_prints_which_words_found_which(tmp_path, beir, capsys):
    path = str(tmp_path / "all.index")
    assert main(["index", str(beir), "--path", path, "--multi-vector"]) == 0
    assert main(["search", path, "small cat", "-k", "1", "--stages"]) == 0
    out = capsys.readouterr().out
    assert "Cats" in out
    assert "cat > cat" in out
    assert "Dogs" not in out
    assert "maxsim" in out


def test_search_json_has_the_shape_of_every_index_and_shares_add_up(index, capsys):
    code, answer = run_json(capsys, "search", index, "small cat house", "-k", "3", "--where", "year>=2002")
    assert code == 0
    assert {hit["id"] for hit in answer["hits"]} == {"b", "c"}
    for hit in answer["hits"]:
        assert set(hit) == {"id", "title", "score", "parts", "explanation"}
        assert math.fsum(match["share"] for match in hit["explanation"]["matches"]) == hit["score"]
        assert hit["parts"] == {"maxsim": hit["score"]}
    assert [stage["stage"] for stage in answer["stages"]] == ["encode", "maxsim", "fine", "read", "explain"]
    code, listed = run_json(capsys, "search", index, "small cat house", "-k", "3", "--coarse", "lists")
    assert code == 0
    assert [stage["stage"] for stage in listed["stages"]][1] == "lists"
    assert {hit["id"]: hit["score"] for hit in answer["hits"]}.items() <= {
        hit["id"]: hit["score"] for hit in listed["hits"]
    }.items()


def test_add_replace_delete_compact(index, tmp_path, capsys):
    source = tmp_path / "more.jsonl"
    source.write_text(json.dumps({"id": "d", "text": "a red fish swims"}) + "\n")
    assert main(["index", str(source), "--path", str(index), "--add"]) == 0
    assert main(["index", str(source), "--path", str(index), "--add"]) == 2
    assert "'d' is already there" in capsys.readouterr().err
    assert main(["index", str(source), "--path", str(index), "--replace"]) == 0
    assert main(["index", "--path", str(index), "--delete", "a", "nothing", "--compact"]) == 0
    assert "1 of 2 documents deleted" in capsys.readouterr().out
    code, info = run_json(capsys, "index", "--path", index)
    assert code == 0
    assert (info["documents"], info["deleted"], info["vectors"]) == (3, 0, 9)
    code, answer = run_json(capsys, "search", index, "red fish", "-k", "1")
    assert answer["hits"][0]["id"] == "d"
    assert main(["doctor", "--index", str(index)]) == 0
    assert "every checksum agrees; 3 documents, 9 vectors" in capsys.readouterr().out


def test_evaluation_alone_and_against_another_index(index, beir, tmp_path, capsys):
    code, alone = run_json(capsys, "search", index, "--eval", beir)
    assert code == 0
    assert list(alone["pipelines"]) == ["maxsim"]
    plain = tmp_path / "plain.index"
    assert main(["index", str(beir), "--path", str(plain)]) == 0
    capsys.readouterr()
    names = ["lexical", f"maxsim@{index}", f"maxsim:lists@{index}"]
    code, compared = run_json(
        capsys, "search", plain, "--eval", beir, "--compare", ",".join(names), "--runs", tmp_path / "runs"
    )
    assert code == 0
    assert list(compared["pipelines"]) == names
    assert list(compared["comparisons"]) == names[1:]
    assert len(list((tmp_path / "runs").iterdir())) == 3
    for metric in ("ndcg@10", "recall@100", "mrr@10", "map"):
        assert compared["pipelines"][names[1]][metric] == alone["pipelines"]["maxsim"][metric]
    assert compared["pipelines"][names[2]]["coarse_mib"] > compared["pipelines"][names[1]]["coarse_mib"] == 0
    queries = {"q1": "small cat", "q2": "dog tree", "q3": "big bird"}
    with MultiVectorIndex.open(index) as opened:
        ranks = [1 + opened.ids().index(i) for i in ("a", "b", "c")]
        found = [[hit.document.id for hit in opened.search(text)] for text in queries.values()]
    assert ranks == [1, 2, 3]
    expected = sum(1 / (1 + ids.index(i)) for ids, i in zip(found, "abc", strict=True)) / 3
    assert alone["pipelines"]["maxsim"]["mrr@10"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search", "INDEX", "x", "--mode", "lexical"], "--mode"),
        (["search", "INDEX", "x", "--steer", "1:1", "--feedback", "rocchio"], "--steer, --feedback"),
        (["search", "INDEX", "x", "--like", "a", "--rerank", "late:minilm"], "--like, --rerank"),
        (["search", "INDEX", "x", "--coarse", "pq:48"], "exact, lists"),
        (["search", "INDEX", " "], "is empty"),
        (["search", "INDEX", "x", "-k", "0"], "k: is 0"),
        (["search", "INDEX", "--eval", "BEIR", "--compare", "dense"], "maxsim"),
        (["search", "INDEX", "--eval", "BEIR", "--compare", "maxsim:pq"], "no pipeline"),
        (["search", "INDEX", "--eval", "BEIR", "--compare", "maxsim@"], "behind the @"),
        (["index", "--path", "INDEX", "--pruning", "mv", "--compact"], "fixed when an index is made"),
        (["index", "BEIR", "--path", "NEW", "--multi-vector", "--language", "none"], "--language"),
        (["index", "BEIR", "--path", "NEW", "--pruning", "C8x32"], "Add --multi-vector"),
        (["index", "BEIR", "--path", "NEW", "--multi-vector", "--pruning", "C8"], "C25%"),
        (["index", "tune", "--path", "INDEX"], "is a multi-vector index"),
        (["serve", "INDEX"], "is a multi-vector index"),
    ],
)
def test_what_does_not_apply_is_refused_in_one_line(index, beir, tmp_path, capsys, words, message):
    places = {"INDEX": str(index), "BEIR": str(beir), "NEW": str(tmp_path / "new")}
    assert main([places.get(word, word) for word in words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_maxsim_needs_a_multi_vector_index(beir, tmp_path, capsys):
    plain = tmp_path / "plain.index"
    assert main(["index", str(beir), "--path", str(plain)]) == 0
    assert main(["search", str(plain), "--eval", str(beir), "--compare", "dense,maxsim"]) == 2
    assert "maxsim@INDEX" in capsys.readouterr().err
