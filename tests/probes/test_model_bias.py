"""Features of a user's own texts: how tables are read, what is measured on planted representations."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hash_encoder import HashEncoder
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.probes.labelled import LENGTH, as_feature, read_labelled
from sememe.probes.model_bias import halves, model_bias
from sememe.probes.model_reports import bias_report, linear_report
from sememe.probes.plots import bar_plot, line_plot
from sememe.probes.reading import Representation, encoder_of, represent
from sememe.probes.report import ProbeReport, reports_in
from sememe.probes.sources import read_pairs, read_texts

WORDS = ["sparse", "dense", "search", "index", "atoms", "vector"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "labels.csv"
    rng = np.random.default_rng(0)
    lines = ["id,text,loud,topic,score,serial"]
    for row in range(240):
        loud, topic, score = rng.integers(0, 2), rng.choice(["a", "b", "c"]), rng.normal()
        text = " ".join(rng.choice(WORDS, rng.integers(2, 8)))
        lines.append(f"d{row},{text} {row},{['no', 'yes'][loud]},{topic},{score:.4f},s{row}")
    path.write_text("\n".join(lines) + "\n")
    return read_labelled(path)


def planted(table, seed=0):
    rng = np.random.default_rng(seed)
    features = {feature.name: feature for feature in table.features}
    X = 0.5 * rng.standard_normal((len(table), 8))
    X[:, 0] += 4 * features["loud"].matrix[:, 0]
    X[:, 1:3] += features["topic"].matrix
    X[:, 3] += features["score"].matrix[:, 0]
    return X


def test_columns_become_features_and_others_are_named(table):
    kinds = {feature.name: feature.kind for feature in table.features}
    assert kinds == {"loud": "binary", "topic": "categorical", "score": "numeric", LENGTH: "numeric"}
    assert "240 different values" in table.left_out["serial"]
    assert {feature.name: feature.matrix.shape[1] for feature in table.features}["topic"] == 2
    assert table.ids[0] == "d0"


def test_values_are_understood():
    assert as_feature("f", ["true", "False", "TRUE"]).matrix[:, 0].tolist() == [1, 0, 1]
    assert as_feature("f", [0, 1, 1]).kind == "binary"
    assert as_feature("f", ["x", "y"]).kind == "binary"
    numeric = as_feature("f", [1, 2, 3.5, 10])
    assert numeric.labels.tolist() == [0, 0, 1, 1]
    assert numeric.matrix.mean() == pytest.approx(0)
    for values, told in (([1, 1], "always the same"), ([[1], [2]], "lists"), (list("abcdefghijklmnopqrstuv"), "22")):
        with pytest.raises(InputError, match=told):
            as_feature("f", values)


def test_planted_shares_are_found(table):
    bias = model_bias(planted(table), table)
    found = {figures.name: figures for figures in bias.features}
    assert found["loud"].share > 0.4 > found["topic"].share > found[LENGTH].share
    assert found["loud"].interval[0] < found["loud"].share < found["loud"].interval[1]
    assert found["loud"].component == 1
    assert found["loud"].component_r > 0.9
    assert found["loud"].probe.accuracy > 0.98
    assert found["topic"].probe.accuracy > 0.5
    assert found[LENGTH].share <= 0.01
    assert found["loud"].unique == pytest.approx(found["loud"].share, abs=0.03)
    assert bias.joint == pytest.approx(sum(figures.share for figures in bias.features), abs=0.05)
    assert any(f"{LENGTH!r} explains no more than a permutation" in said for said in bias.warnings)
    assert model_bias(planted(table), table) == bias


def test_correlated_features_are_told(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "t.jsonl"
    with path.open("w") as stream:
        for row in range(120):
            a = int(rng.integers(0, 2))
            b = a if rng.random() < 0.8 else 1 - a
            stream.write(json.dumps({"text": f"w{row} x y", "a": a, "b": b, "c": int(rng.integers(0, 2))}) + "\n")
    table = read_labelled(path)
    X = np.column_stack([feature.matrix[:, 0] for feature in table.features[:2]]) + 0.1 * rng.standard_normal((120, 2))
    said = [text for text in model_bias(X, table).warnings if "correlated" in text]
    assert len(said) == 1
    assert "'a' and 'b'" in said[0]


def test_equal_texts_are_in_one_half():
    texts = ["a", "b", "a", "c", "d", "b"] * 10
    fit, test = halves(texts, 0)
    assert not {texts[row] for row in fit} & {texts[row] for row in test}
    assert sorted([*fit, *test]) == list(range(60))


def test_a_bank_gives_the_mean_of_each_documents_rows(tmp_path):
    with Bank.create(tmp_path / "b", 3, provenance={"model": "m", "site": "layers.1.mlp"}) as bank:
        bank.append(np.arange(12, dtype=np.float32).reshape(4, 3), documents=[0, 0, 1, 2])
        bank.append_document_ids(["x", "y", "z"])
        bank.commit()
    found = represent(str(tmp_path / "b"), ["z", "x"], ["", ""])[0]
    np.testing.assert_allclose(found.X, [[9, 10, 11], [1.5, 2.5, 3.5]])
    assert (found.model, found.site) == ("m", "layers.1.mlp")
    with pytest.raises(InputError, match="1 of 2 texts are not in the bank: q"):
        represent(str(tmp_path / "b"), ["x", "q"], ["", ""])
    with pytest.raises(InputError, match="cannot encode"):
        encoder_of(str(tmp_path / "b"))
    Bank.create(tmp_path / "c", 3, provenance={}).close()
    with pytest.raises(InputError, match="no ids of documents"):
        represent(str(tmp_path / "c"), ["x"], [""])


def test_a_language_model_without_a_site_is_told_to_name_one():
    with pytest.raises(InputError, match=r"--site"):
        represent("smollm2-135m", ["a"], ["b"])


def test_the_first_token_of_a_language_model_is_left_out_of_means(tmp_path):
    pytest.importorskip("transformers")
    from tiny_models import byte_pairs, causal_model

    from sememe.models import LanguageModel

    causal_model("llama").save_pretrained(tmp_path / "lm")
    byte_pairs().save_pretrained(tmp_path / "lm")
    lm = LanguageModel.load(str(tmp_path / "lm"))
    texts = ["the cat sat on the mat", "h"]
    found = represent(str(tmp_path / "lm"), ["a", "b"], texts, "layers.*.residual,embedding")
    assert [each.site for each in found] == ["embedding", *(f"layers.{n}.residual" for n in range(3))]
    states = [record["layers.1.residual"] for record in lm.activations(texts, "layers.1.residual")]
    np.testing.assert_allclose(found[2].X[0], states[0][1:].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[2].X[1], states[1][0], rtol=1e-5)
    last = represent(str(tmp_path / "lm"), ["a", "b"], texts, "layers.1.residual", tokens="last")[0]
    np.testing.assert_allclose(last.X[0], states[0][-1], rtol=1e-5)
    assert encoder_of(str(tmp_path / "lm"), "layers.1.residual")(texts).shape == (2, 32)
    with pytest.raises(InputError, match="3 sites"):
        encoder_of(str(tmp_path / "lm"), "layers.*.residual")(texts)


def test_reports_are_kept_and_read_again(table, tmp_path):
    X = HashEncoder().encode(table.texts)
    both = [Representation("m", "layers.0.mlp", X), Representation("m", "layers.1.mlp", planted(table))]
    report = bias_report(both, table)
    assert len(report.tables) == 4
    assert set(report.plots) == {"variance.svg", "sites.svg"}
    report.save(tmp_path / "probes" / "labels")
    linear_report(both, table).save(tmp_path / "probes" / "linear")
    again = reports_in(tmp_path / "probes")
    assert [name for name, _ in again] == ["labels", "linear"]
    assert again[0][1].tables == [*report.tables] or again[0][1].tables[0].rows == [
        list(row) for row in report.tables[0].rows
    ]
    assert again[0][1].figures["sites"].keys() == report.figures["sites"].keys()
    assert (tmp_path / "probes" / "labels" / "variance.svg").read_text().startswith("<svg")
    first = (tmp_path / "probes" / "labels" / "card.json").read_bytes()
    bias_report(both, table).save(tmp_path / "again")
    assert (tmp_path / "again" / "card.json").read_bytes() == first
    assert reports_in(tmp_path / "nowhere") == []
    (tmp_path / "probes" / "labels" / "card.json").write_text("{}")
    with pytest.raises(ArtifactError):
        ProbeReport.load(tmp_path / "probes" / "labels")


def test_plots_escape_what_they_show_and_are_xml():
    from xml.etree import ElementTree

    for svg in (
        bar_plot("<b>&", [("a<b", 0.5, 0.4, 0.6), ("c", -0.1, -0.2, 0.1)], marks=[0.5, None]),
        line_plot("t&t", [0, 1, 2], {"a<b": [0.0, -0.5, 1.0], "c": [1.0, 1.0, 1.0]}, "x"),
    ):
        ElementTree.fromstring(svg)


def test_bad_tables_are_refused(table, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,f\na b,1\nc d,\n")
    with pytest.raises(InputError, match=r"t\.csv, record .* has no value for 'f'"):
        read_labelled(path)
    path.write_text("text\na b\nc d\n")
    with pytest.raises(InputError, match="no features"):
        read_labelled(path)
    path.write_text("text,f\na b,1\nc d,1\n")
    with pytest.raises(InputError, match="f: is always the same"):
        read_labelled(path)
    with pytest.raises(InputError, match="always the same"):
        read_labelled(path, ["f"])
    with pytest.raises(InputError, match=r"5 vectors for 240 labelled texts"):
        model_bias(np.zeros((5, 2)), table)


def test_texts_and_pairs_are_read(tmp_path):
    (tmp_path / "t.txt").write_text("one text\n\nanother\nthird\n")
    assert read_texts(str(tmp_path / "t.txt"), 2)[1] == ["one text", "another"]
    (tmp_path / "p.jsonl").write_text('{"query": "q", "text": "t"}\n{"text": "u"}\n')
    assert read_pairs(str(tmp_path / "p.jsonl"), 1) == [("q", "t")]
    with pytest.raises(InputError, match="has no 'query'"):
        read_pairs(str(tmp_path / "p.jsonl"), 2)
    (tmp_path / "t.txt").write_text("\n")
    with pytest.raises(InputError, match="no texts"):
        read_texts(str(tmp_path / "t.txt"), 2)
