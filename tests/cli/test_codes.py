"""`sememe train codes` and searching what it made."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("faiss")

from sememe import artifact
from sememe.cli import main
from sememe.errors import ArtifactError, InputError
from sememe.objectives.paragraph_vectors import BinaryParagraphVector
from sememe.search.paragraph_search import search_codes

THEMES = {"sea": "boat wave harbour sailor tide anchor", "kitchen": "bread oven salt butter knife spoon"}
SMALL = ("--epochs", "30", "--n-bits", "12", "--real-dim", "16", "--min-count", "1", "--batch-size", "64")


@pytest.fixture
def corpus(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"id": f"{theme}-{number}", "title": f"{theme} {number}", "text": " ".join(rng.choice(words.split(), 20))}
        for number in range(30)
        for theme, words in THEMES.items()
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(corpus, out, *more) -> int:
    return main(["train", "codes", str(corpus), "--out", str(out), *SMALL, *more])


@pytest.mark.parametrize(
    ("variant", "columns"), [("dbow", "bits apart"), ("real", "cosine"), ("real-binary", "cosine")]
)
def test_a_text_finds_documents_of_its_theme(tmp_path, corpus, capsys, variant, columns):
    assert train(corpus, tmp_path / "c", "--variant", variant) == 0
    out = capsys.readouterr().out
    assert "60, 0 of them without a known word" in out
    assert ("of 12 used" in out) == (variant != "real")
    assert main(["search", str(tmp_path / "c"), "sailor in the harbour, the tide", "-k", "5"]) == 0
    out = capsys.readouterr().out
    assert columns in out
    assert out.count("sea-") == 5
    assert main(["search", str(tmp_path / "c"), "bread and butter", "-k", "3", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert [hit["title"].split()[0] for hit in hits] == ["kitchen"] * 3
    assert all((hit["distance"] is None) == (variant == "real") for hit in hits)


def test_real_vectors_order_what_the_bits_return(tmp_path, corpus):
    assert train(corpus, tmp_path / "c", "--variant", "real-binary") == 0
    model = BinaryParagraphVector.load(tmp_path / "c")
    every = search_codes(model, "boat wave anchor", 60)
    assert [hit.score for hit in every] == sorted((hit.score for hit in every), reverse=True)
    few = search_codes(model, "boat wave anchor", 4, candidates=8)
    nearest = sorted(hit.distance for hit in every)[:8]
    assert all(hit.distance <= nearest[-1] for hit in few)
    assert len(few) == 4
    with pytest.raises(InputError, match="at least 1"):
        search_codes(model, "boat", 0)


def test_what_cannot_be_done_is_said(tmp_path, corpus, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    assert train(corpus, tmp_path / "other") == 2
    assert "so it is not replaced" in capsys.readouterr().err
    assert (tmp_path / "other" / "mine.txt").read_text() == "keep"
    assert train(corpus, tmp_path / "c") == 0
    capsys.readouterr()
    assert main(["search", str(tmp_path / "c"), "zeppelin"]) == 2
    assert "no word that is known" in capsys.readouterr().err
    assert main(["search", str(tmp_path / "c"), "boat", "--mode", "hybrid", "--like", "sea-1"]) == 2
    assert "--mode, --like" in capsys.readouterr().err


def test_names_that_do_not_fit_the_documents_are_refused(tmp_path, corpus):
    assert train(corpus, tmp_path / "c") == 0
    arrays, card = artifact.load(tmp_path / "c", "paragraph-vectors")
    arrays["names"] = np.frombuffer(b'[["a", "b"]]', np.uint8)
    artifact.save(tmp_path / "d", "paragraph-vectors", arrays, card)
    with pytest.raises(ArtifactError, match="names 1 of 60 documents"):
        BinaryParagraphVector.load(tmp_path / "d")
