"""Labelled pairs: what counts as a negative, and files of pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_training import assert_same_bits, config, documents, small_encoder, weights_of

torch = pytest.importorskip("torch")

from sememe.corpus import Document  # noqa: E402
from sememe.errors import InputError  # noqa: E402
from sememe.objectives.pairs import Pairs, PairsConfig, read_pairs  # noqa: E402
from sememe.training.encoders import train_encoder  # noqa: E402


def pair(number: int, query: str, positive: str, **more) -> Document:
    return Document(f"p{number}", positive, metadata={"query": query, **more})


def many() -> list[Document]:
    return [pair(number, each.text.split()[0], each.text) for number, each in enumerate(documents())]


def data_of(pairs, tmp_path, batch_size: int, **options):
    objective, encoder = Pairs(**options), small_encoder(dropout=0.0)
    objective.prepare(encoder, batch_size, 0)
    return objective, objective.data(pairs, encoder, batch_size, 0, tmp_path), encoder


def vectors_of(encoder, batch) -> dict:
    return {view: encoder.vectors(rows) for view, rows in batch.views.items() if rows}


def test_answers_of_the_same_query_and_equal_texts_are_no_negatives(tmp_path):
    pairs = [
        pair(0, "taa tab", "ca cb cc"),
        pair(1, "taa  tab", "cd ce"),  # the query of pair 0
        pair(2, "tba", "ca cb  cc"),  # the text of pair 0
        pair(3, "tca", "cf", negatives=["cd", "cg"]),
    ]
    objective, data, encoder = data_of(pairs, tmp_path, 4, negatives=2)
    batch = data.batch(0)
    order = [int(document[1]) for document in batch.documents]
    found = vectors_of(encoder, batch)
    assert len(found["negative"]) == 2
    texts = torch.cat([found["positive"], found["negative"]])
    logits = found["query"] @ texts.T / 0.05
    for a, b in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 2)):
        # 1 is left out of 2's row only if 1's text answers 2's query, which it does not.
        logits[order.index(a), order.index(b)] = -torch.inf
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(4))
    torch.testing.assert_close(objective.loss(found, batch).value, expected)


def test_the_symmetric_loss_finds_queries_too(tmp_path):
    objective, data, encoder = data_of(many(), tmp_path, 8, symmetric=True)
    batch = data.batch(0)
    found = vectors_of(encoder, batch)
    answers = torch.from_numpy(batch.arrays["answers"]) & ~torch.eye(8, dtype=torch.bool)
    scores = (found["query"] @ found["positive"].T / 0.05).masked_fill(answers, -torch.inf)
    labels = torch.arange(8)
    expected = torch.nn.functional.cross_entropy(scores, labels) + torch.nn.functional.cross_entropy(scores.T, labels)
    torch.testing.assert_close(objective.loss(found, batch).value, expected / 2)


def test_hard_negatives_are_those_of_the_query_and_change_from_epoch_to_epoch(tmp_path):
    pairs = [
        pair(n, f"t{chr(97 + n)}a", "ca " * (n + 1), negatives=["cb " * (n + 1), "cc " * (n + 1)]) for n in range(6)
    ]
    _, data, _ = data_of(pairs, tmp_path, 3, negatives=1)
    drawn = set()
    for number in range(20):
        batch = data.batch(number)
        for row, negative in zip(batch.views["positive"], batch.views["negative"], strict=True):
            assert len(row) == len(negative)  # of the same pair
            drawn.add(tuple(negative))
    assert len(drawn) == 12
    _, none, _ = data_of(pairs, tmp_path, 3, negatives=0)
    assert none.batch(0).views["negative"] == []


@pytest.mark.parametrize("chunk", [0, 3])
def test_pairs_with_and_without_negatives_train(tmp_path, chunk):
    pairs = [*many()[:40], *(pair(100 + n, f"tb{chr(97 + n)}", "ca cb", negative="cc") for n in range(5))]
    (tmp_path / "pairs.jsonl").write_text(
        "".join(json.dumps({"id": p.id, "positive": p.text, **p.metadata}) + "\n" for p in pairs)
    )
    encoder = small_encoder()
    before = weights_of(encoder)
    corpus = read_pairs(tmp_path / "pairs.jsonl")
    done = train_encoder(encoder, corpus, Pairs(), tmp_path / "out", config(chunk=chunk))
    assert done.card["objective"]["name"] == "pairs"
    assert done.card["data"]["trained_on"] == 45
    assert any(not np.array_equal(before[name], array) for name, array in weights_of(encoder).items())
    again = small_encoder()
    train_encoder(again, corpus, Pairs(), tmp_path / "again", config(chunk=chunk))
    assert_same_bits(weights_of(encoder), weights_of(again))


def test_held_out_questions_are_the_users_queries():
    pairs = [pair(n, f"query {n}", f"text number {n}") for n in range(150)]
    question = Pairs().question(pairs[3])
    assert (question.query, question.text) == ("query 3", "text number 3")


def test_what_is_no_pair_is_refused_by_name(tmp_path):
    for bad in (Document("x", "text"), pair(1, " ", "text"), pair(1, "query", "")):
        with pytest.raises(InputError, match=f"pair '{bad.id}': has no query, or no text"):
            data_of([*many(), bad], tmp_path, 4)
    with pytest.raises(InputError, match="negatives that are no texts"):
        data_of([*many(), pair(1, "query", "text", negatives=[1])], tmp_path, 4)
    with pytest.raises(InputError, match="a batch has 64 pairs, and there are 60"):
        data_of(many(), tmp_path, 64)
    with pytest.raises(InputError, match=r"temperature.*; negatives"):
        PairsConfig(temperature=0.0, negatives=-1)
    (tmp_path / "bad.jsonl").write_text('{"query": "a", "text": "b"}\n')
    with pytest.raises(InputError, match="no field 'positive'"):
        list(read_pairs(tmp_path / "bad.jsonl"))
