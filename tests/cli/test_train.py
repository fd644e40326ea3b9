"""`sememe train`: what it prints, what it refuses, and that unknown options are never passed over."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_training import documents, small_encoder

pytest.importorskip("torch")

from sememe import Encoder
from sememe.cli import main
from sememe.models.multi_vector import MultiVectorEncoder

SIZES = {"layers": 1, "hidden": 16, "heads": 2, "vocabulary": 200, "positions": 40, "steps": 6, "batch-size": 8}
TINY = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"id": d.id, "text": d.text}) + "\n" for d in documents(150, words=48)))
    return path


def train(*words) -> int:
    return main(["train", "encoder", *map(str, words)])


def test_a_corpus_becomes_an_encoder(tmp_path, corpus, capsys):
    assert train(corpus, "--from", "scratch", *TINY, "--out", tmp_path / "out", "--held-out", 24) == 0
    out = capsys.readouterr().out
    for words in (
        "48 examples",
        "to train",
        "memory",
        "150, 24 held out",
        "BM25",
        "start",
        "trained",
        "on 12 held-out questions",
    ):
        assert words in out
    assert Encoder.load(tmp_path / "out").encode(["taa tab"]).shape == (1, 16)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl", "out"]


def test_prompts_that_are_given_stand_in_the_folder_and_in_the_index(tmp_path, corpus, capsys):
    small_encoder().save(tmp_path / "small")
    prompts = ["--query-prompt", "taa ", "--document-prompt", "tab "]
    start = ["--from", tmp_path / "small", "--steps", 2, "--batch-size", 8]
    assert train(corpus, *start, *prompts, "--out", tmp_path / "out") == 0
    assert Encoder.load(tmp_path / "out").prompts == {"query": "taa ", "document": "tab "}
    index = tmp_path / "my.index"
    words = ["index", corpus, "--path", index, "--encoder", tmp_path / "small"]
    assert main([*map(str, words), *prompts]) == 0
    assert main(["index", "--path", str(index)]) == 0
    assert "'tab ' before a document, 'taa ' before a query" in capsys.readouterr().out
    assert main([*map(str, words), "--add", *prompts]) == 2
    assert "--query-prompt: cannot be used here: settings are fixed" in capsys.readouterr().err


def test_json_is_one_object(tmp_path, corpus, capsys):
    options = ["--queue", 16, "--momentum", 0.9, "--nest", "4,8", "--chunk", 3, "--augment", "mask"]
    assert train(corpus, "--from", "scratch", *TINY, *options, "--out", tmp_path / "out", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["objective"]["queue"] == 16
    assert card["objective"]["nested"]["dims"] == [4, 8, 16]
    assert card["training"]["chunk"] == 3
    assert card["seconds"] > 0
    assert card["path"] == str(tmp_path / "out")


def test_a_dry_run_only_says_what_it_would_cost(tmp_path, corpus, capsys):
    assert train(corpus, "--from", "scratch", *TINY, "--out", tmp_path / "out", "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["steps"], plan["examples"]) == (6, 48)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl"]


def test_pairs_are_trained_on(tmp_path, capsys):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "".join(json.dumps({"query": d.text[:11], "positive": d.text[12:]}) + "\n" for d in documents(150, words=48))
    )
    assert train("--pairs", pairs, "--from", "scratch", *TINY, "--symmetric", "yes", "--out", tmp_path / "out") == 0
    assert "150, 30 held out" in capsys.readouterr().out


def test_late_interaction_is_trained_on_pairs(tmp_path, capsys):
    small_encoder().save(tmp_path / "small")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "".join(json.dumps({"query": d.text[:11], "positive": d.text[12:]}) + "\n" for d in documents(150, words=48))
    )
    how = ["--objective", "crisp", "--pruning", "C25%", "--dense", 8, "--steps", 4, "--batch-size", 8]
    assert train("--pairs", pairs, "--from", tmp_path / "small", *how, "--out", tmp_path / "out") == 0
    assert "150, 30 held out" in capsys.readouterr().out
    encoder = MultiVectorEncoder.load(tmp_path / "out")
    assert (encoder.pruning, encoder.dimensions) == ("C25%", 8)
    assert "MultiVectorEncoder" in (tmp_path / "out" / "README.md").read_text()


def test_a_test_collection_is_measured_before_and_after(tmp_path, corpus, capsys):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    texts = documents(40, seed=8)
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": d.id, "text": d.text}) + "\n" for d in texts))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": d.text[:20]}) + "\n" for n, d in enumerate(texts[:10]))
    )
    lines = "".join(f"q{n}\t{d.id}\t1\n" for n, d in enumerate(texts[:10]))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    assert train(corpus, "--from", "scratch", *TINY, "--eval", folder, "--out", tmp_path / "out") == 0
    assert "10 queries of beir" in capsys.readouterr().out
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    found = card["collections"]["beir"]
    encoder = Encoder.load(tmp_path / "out")
    queries, vectors = encoder.encode([d.text[:20] for d in texts[:10]]), encoder.encode([d.text for d in texts])
    ranks = [int((row > row[n]).sum()) + 1 for n, row in enumerate(queries @ vectors.T)]
    expected = np.mean([1 / np.log2(rank + 1) if rank <= 10 else 0.0 for rank in ranks])
    assert found["table"]["trained"]["ndcg@10"] == pytest.approx(expected, abs=0.02)
    assert "queries of beir" in (tmp_path / "out" / "README.md").read_text()


def test_installed_code_is_a_test_collection(tmp_path, corpus, capsys):
    assert train(corpus, "--from", "scratch", *TINY, "--eval", "python:email,http", "--out", tmp_path / "out") == 0
    assert "queries of python:email,http  ndcg@10" in capsys.readouterr().out
    assert list(json.loads((tmp_path / "out" / "card.json").read_text())["collections"]) == ["python:email,http"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--moco_queue", "16"], "unrecognized arguments: --moco_queue 16"),
        (["--symmetric", "yes"], "--symmetric is an option of --objective pairs"),
        (["--objective", "pairs"], "--objective pairs and --pairs FILE belong together"),
        (["--objective", "crisp"], "--objective crisp and --pairs FILE belong together"),
        (["--from", "wordllama", "--layers", "2"], "--layers is an option of --from scratch"),
        (["--from", "scratch", "--normalize", "no"], "saturate the softmax"),
        (["--from", "scratch", *TINY, "--nest", "4,x"], "'4,x' is no list of sizes"),
        (["--from", "scratch", *TINY, "--queue", "20"], "no multiple of the batch size 8. Give 16"),
        (["--from", "scratch", *TINY, "--window", "64"], "more than the 38 that the model reads"),
        (["--from", "scratch", *TINY, "--learning-rate", "1e30"], "step 2: the encoder's vectors are not finite"),
        (["--from", "no/such-model"], "no/such-model"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, corpus, capsys, words, message):
    assert train(corpus, *words, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_one_of_corpus_and_pairs_is_needed(tmp_path, corpus, capsys):
    assert train("--out", tmp_path / "out") == 2
    assert "give a CORPUS to learn from, or --pairs FILE" in capsys.readouterr().err
    assert train(corpus, "--pairs", corpus, "--out", tmp_path / "out") == 2


def test_help_shows_every_option_once(capsys):
    assert train("--help") == 0
    out = capsys.readouterr().out
    for flag in (
        "--queue",
        "--temperature",
        "--chunk",
        "--layers",
        "--pairs",
        "--eval",
        "--nest",
        "--lora",
        "--resume",
    ):
        assert f"  {flag} " in out
