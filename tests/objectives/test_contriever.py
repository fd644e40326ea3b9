"""Contriever: its batches, its loss in both modes, nesting around it, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_training import documents, small_encoder

torch = pytest.importorskip("torch")

from sememe.corpus import Document  # noqa: E402
from sememe.errors import InputError  # noqa: E402
from sememe.models.trainable import EncoderChanges, as_trainable  # noqa: E402
from sememe.objectives.contriever import Contriever, ContrieverConfig  # noqa: E402
from sememe.objectives.matryoshka import matryoshka_pair_loss  # noqa: E402
from sememe.objectives.nested import Nested  # noqa: E402
from sememe.training.objective import Batch, Seen  # noqa: E402


def prepared(tmp_path, objective=None, encoder=None, *, batch_size: int = 8, texts=None, seed: int = 0):
    encoder, objective = encoder or small_encoder(), objective or Contriever()
    objective.prepare(encoder, batch_size, seed)
    return objective, objective.data(texts or documents(), encoder, batch_size, seed, tmp_path), encoder


def test_batch_n_is_the_same_whenever_it_is_asked_for(tmp_path):
    _, data, _ = prepared(tmp_path)
    (tmp_path / "again").mkdir()
    _, again, _ = prepared(tmp_path / "again")
    straight = [data.batch(number) for number in range(20)]
    for number in (19, 3, 11, 0):
        other = again.batch(number)
        assert other.views == straight[number].views
        assert other.documents == straight[number].documents
    assert data.fingerprint == again.fingerprint
    _, changed, _ = prepared(tmp_path, seed=1)
    assert changed.batch(0).views != straight[0].views


def test_an_epoch_has_every_window_once(tmp_path):
    texts = documents(20) + documents(4, words=150, seed=5)
    texts = [Document(f"n{number}", each.text) for number, each in enumerate(texts)]
    _, data, encoder = prepared(tmp_path, texts=texts, batch_size=4)
    n_windows = data.about["windows"]
    lengths = [len(row) for row in encoder.tokenize([each.content for each in texts])]
    assert n_windows == sum(-(-length // encoder.max_tokens) for length in lengths)
    drawn = [owner for number in range(3 * n_windows) for owner in data.batch(number).arrays["owners"].tolist()]
    per_epoch = np.array(drawn).reshape(-1, n_windows)
    for epoch in per_epoch:
        assert np.bincount(epoch).tolist() == [-(-length // encoder.max_tokens) for length in lengths]
    assert not np.array_equal(per_epoch[0], per_epoch[1])


def test_views_are_framed_parts_of_their_document(tmp_path):
    objective, data, encoder = prepared(tmp_path, Contriever(augment="none"))
    texts = {each.id: encoder.tokenize([each.content])[0] for each in documents()}
    opening, closing = encoder.framed([])
    for number in range(5):
        batch = data.batch(number)
        for rows in batch.views.values():
            for row, document in zip(rows, batch.documents, strict=True):
                assert (row[0], row[-1]) == (opening, closing)
                whole, part = texts[document], list(row[1:-1])
                assert any(whole[at : at + len(part)] == part for at in range(len(whole)))
                assert 1 <= len(part) <= encoder.max_tokens // 2
    assert objective.views == {"query": "pooled", "key": "pooled"}


def test_windows_may_reach_across_documents(tmp_path):
    texts = [Document(f"d{number}", " ".join(["caca"] * 5)) for number in range(30)]
    options = {"augment": "none", "rmin": 0.9, "rmax": 0.95}
    _, inside, _ = prepared(tmp_path, Contriever(**options), texts=texts, batch_size=2)
    longest = max(len(row) for number in range(9) for row in inside.batch(number).views["key"])
    _, across, encoder = prepared(tmp_path, Contriever(respect_documents=False, **options), texts=texts, batch_size=2)
    wide = max(len(row) for number in range(9) for row in across.batch(number).views["key"])
    assert longest < 0.9 * encoder.max_tokens <= wide


def loss_of(objective, q, k, owners):
    batch = Batch({}, (), {"owners": np.asarray(owners)})
    return objective.loss({"query": q, "key": k}, batch)


def unit(n: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(n, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_in_a_batch_it_is_cross_entropy_over_all_pairs_without_those_of_one_document():
    objective = Contriever()
    objective.prepare(small_encoder(), 4, 0)
    q, k = unit(4, 0), unit(4, 1)
    found = loss_of(objective, q, k, [5, 6, 7, 8])
    torch.testing.assert_close(found.value, torch.nn.functional.cross_entropy(q @ k.T / 0.05, torch.arange(4)))
    found = loss_of(objective, q, k, [5, 6, 5, 8])
    logits = q @ k.T / 0.05
    logits[0, 2] = logits[2, 0] = -torch.inf
    torch.testing.assert_close(found.value, torch.nn.functional.cross_entropy(logits, torch.arange(4)))
    unmasked = Contriever(mask_same_document=False)
    unmasked.prepare(small_encoder(), 4, 0)
    found = loss_of(unmasked, q, k, [5, 6, 5, 8])
    torch.testing.assert_close(found.value, torch.nn.functional.cross_entropy(q @ k.T / 0.05, torch.arange(4)))


def test_with_a_queue_only_earlier_keys_are_negatives_and_those_of_the_own_document_are_none():
    objective = Contriever(queue=8)
    objective.prepare(small_encoder(), 4, 0)
    random_keys = objective.queue.keys.clone()
    q, k = unit(4, 0), unit(4, 1)
    expected = torch.cat([(q * k).sum(1, keepdim=True), q @ random_keys.T], 1) / 0.05
    first = torch.zeros(4, dtype=int)
    found = loss_of(objective, q, k, [0, 1, 2, 3])
    torch.testing.assert_close(found.value, torch.nn.functional.cross_entropy(expected, first))
    seen = Seen({"query": q, "key": k}, Batch({}, (), {"owners": np.arange(4)}))
    objective.after_step(1, [seen])
    torch.testing.assert_close(objective.queue.keys[:4], k)  # the keys of this step's loss
    q2, k2 = unit(4, 2), unit(4, 3)
    expected = torch.cat([(q2 * k2).sum(1, keepdim=True), q2 @ torch.cat([k, random_keys[4:]]).T], 1) / 0.05
    expected[1, 1 + 3] = -torch.inf  # row 1 is of document 3, whose key is the queue's fourth
    found = loss_of(objective, q2, k2, [7, 3, 8, 9])
    torch.testing.assert_close(found.value, torch.nn.functional.cross_entropy(expected, first))


def test_a_nested_loss_is_the_sum_over_prefixes_of_unit_length():
    nested = Nested(Contriever(), [4, 8], [1.0, 0.5])
    nested.prepare(small_encoder(), 4, 0)
    assert nested.dims == (4, 8, 16)  # the full width is trained too
    q, k = unit(4, 0), unit(4, 1)
    found = loss_of(nested, q, k, [0, 1, 2, 3])
    expected = matryoshka_pair_loss(q, k, [4, 8, 16], [1.0, 0.5, 1.0], scale=20.0)
    torch.testing.assert_close(found.value, expected)
    assert set(found.figures) >= {"loss@4", "loss@8", "loss@16", "accuracy"}


def test_a_nested_queue_compares_prefixes_with_prefixes():
    nested = Nested(Contriever(queue=8), [4])
    nested.prepare(small_encoder(), 4, 0)
    normalize = torch.nn.functional.normalize
    q, k, keys = unit(4, 0), unit(4, 1), nested.inner.queue.keys
    total = 0.0
    for m in (4, 16):
        a, b, c = (normalize(x[:, :m], dim=1) for x in (q, k, keys))
        logits = torch.cat([(a * b).sum(1, keepdim=True), a @ c.T], 1) / 0.05
        total = total + torch.nn.functional.cross_entropy(logits, torch.zeros(4, dtype=int))
    torch.testing.assert_close(loss_of(nested, q, k, [0, 1, 2, 3]).value, total)


def test_nesting_refuses_what_cannot_be_nested():
    class Tokens(Contriever):
        @property
        def views(self):
            return {"query": "tokens", "key": "pooled"}

    with pytest.raises(InputError, match=r"compares tokens \(query\)"):
        Nested(Tokens(), [4])
    with pytest.raises(InputError, match="largest size 32 is above the 16"):
        Nested(Contriever(), [4, 32]).prepare(small_encoder(), 4, 0)
    with pytest.raises(InputError, match="weights"):
        Nested(Contriever(), [4, 8], [1.0])


def test_vectors_of_their_own_length_are_compared_by_dot_product(tmp_path):
    encoder = as_trainable(small_encoder().encoder, EncoderChanges(normalize=False))
    objective, _, _ = prepared(tmp_path, encoder=encoder, batch_size=4)
    q, k = 3 * unit(4, 0), 0.5 * unit(4, 1)
    torch.testing.assert_close(
        loss_of(objective, q, k, [0, 1, 2, 3]).value,
        torch.nn.functional.cross_entropy(q @ k.T / 0.05, torch.arange(4)),
    )


def test_what_cannot_be_trained_on_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"0 documents have 2 tokens or more \(3 have fewer\)"):
        prepared(tmp_path, texts=[Document(f"d{n}", "") for n in range(3)])
    with pytest.raises(InputError, match="batch of 8 needs as many windows of text, and the corpus has 6"):
        prepared(tmp_path, texts=documents(3))
    with pytest.raises(InputError, match="window of 64 tokens is more than the 38 that the model reads"):
        prepared(tmp_path, Contriever(window=64))
    with pytest.raises(InputError, match="no multiple of the batch size 8"):
        prepared(tmp_path, Contriever(queue=20))
    with pytest.raises(InputError) as caught:
        ContrieverConfig(pairing="pieces", rmin=0.6, temperature=0.0, queue=-1)
    for name in ("pairing", "rmin", "temperature", "queue"):
        assert name in str(caught.value)


def test_sources_are_drawn_alike_or_by_size(tmp_path):
    texts = [
        Document(each.id, each.text, metadata={"of": "small" if number < 6 else "large"})
        for number, each in enumerate(documents())
    ]
    small = {each.id for each in texts[:6]}
    shares = {}
    for exponent in (0.0, 1.0):
        _, data, _ = prepared(tmp_path, Contriever(source_field="of", source_exponent=exponent), texts=texts)
        drawn = [document for number in range(200) for document in data.batch(number).documents]
        shares[exponent] = np.mean([document in small for document in drawn])
        assert set(drawn) == {each.id for each in texts}
        assert data.batch(7).views == data.batch(7).views
    assert shares[0.0] == pytest.approx(0.5, abs=0.05)
    assert shares[1.0] == pytest.approx(0.1, abs=0.03)
