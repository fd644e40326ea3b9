"""Batches side by side: the same results as one after the other, errors come through, nothing stays changed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tiny_models import TEXTS, bert_folder, byte_pairs, causal_model

from sememe.models import Encoder, LanguageModel
from sememe.models.parallel import each

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_order_threads_and_setting(two_threads) -> None:
    ran_in = set()
    barrier = threading.Barrier(2, timeout=60)

    def work(item: int) -> tuple[int, int]:
        ran_in.add(threading.get_ident())
        if item < 2:
            barrier.wait()  # passes only when two items are worked on at once
        return item, torch.get_num_threads()

    assert list(each(work, range(8), CPU)) == [(item, 1) for item in range(8)]
    assert len(ran_in) == 2
    assert torch.get_num_threads() == 2


def test_few_items_use_all_threads_for_each(two_threads) -> None:
    assert (
        list(each(lambda _: (torch.get_num_threads(), threading.get_ident()), range(3), CPU))
        == [(2, threading.get_ident())] * 3
    )


def test_errors_come_through(two_threads) -> None:
    def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    with pytest.raises(ValueError, match="five"):
        list(each(work, range(20), CPU))
    assert torch.get_num_threads() == 2
    stopped = each(work, range(20), CPU)
    assert next(stopped) == 0
    stopped.close()
    assert torch.get_num_threads() == 2


def test_threads_change_no_vector(tmp_path, two_threads) -> None:
    encoder = Encoder.load(bert_folder(tmp_path / "bert"))
    parallel = encoder.encode(TEXTS * 20, batch_size=1)
    torch.set_num_threads(1)
    assert np.abs(encoder.encode(TEXTS * 20, batch_size=1) - parallel).max() < 1e-6


def test_threads_that_share_a_language_model_do_not_see_each_other() -> None:
    lm = LanguageModel(causal_model("llama"), byte_pairs(), name="llama")
    expected = [next(lm.activations(text, "layers.1.mlp"))["layers.1.mlp"] for text in TEXTS]
    wrong: list[str] = []

    def work(place: int) -> None:
        for _ in range(10):
            found = next(lm.activations(TEXTS[place], "layers.1.mlp"))["layers.1.mlp"]
            if found.shape != expected[place].shape or not np.allclose(found, expected[place], atol=1e-4):
                wrong.append(TEXTS[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    with lm.patch("layers.1.mlp", lambda states: states * 0):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
