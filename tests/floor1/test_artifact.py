"""Artifacts: all or nothing, the same bytes again, and every kind of damage or forgery refused cleanly."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save as save_tensors

from faults import ERRORS, KILLS, contents, count_points, fault, killed_at, leftovers
from sememe import artifact, disk
from sememe.errors import ArtifactError


def save(path: Path, version: int = 0, kind: str = "thing") -> None:
    tensors = {"w": np.full((3, 4), version, np.float32), "ids": np.arange(5)}
    artifact.save(path, kind, tensors, {"version": version, "name": "ü"}, {"words.txt": b"a\nb\n" * (version + 1)})


def version_of(path: Path) -> int:
    tensors, card = artifact.load(path, "thing")
    assert (tensors["w"] == card["version"]).all()
    assert (path / "words.txt").read_bytes() == b"a\nb\n" * (card["version"] + 1)
    return card["version"]


@pytest.mark.parametrize("kind", KILLS + ERRORS)
def test_saving_is_all_or_nothing(tmp_path, kind):
    save(tmp_path / "count")
    total = count_points(lambda: save(tmp_path / "count", 1))
    assert total >= 11
    seen = []
    for point in range(1, total + 1):
        path = tmp_path / f"{point}" / "a"
        save(path)
        if kind in KILLS:
            assert killed_at(point, lambda path=path: save(path, 1), kind)
        else:
            with fault(kind, point), pytest.raises(ArtifactError, match="injected"):
                save(path, 1)
            assert leftovers(path.parent) == []
        seen.append(version_of(path))
        save(path, 2)
        assert version_of(path) == 2
        assert leftovers(path.parent) == []
    assert seen == sorted(seen)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from([np.float32, np.float16, np.int64, np.int8, np.bool_]).flatmap(
            lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    ),
    st.dictionaries(
        st.text(max_size=5).filter(
            lambda name: name not in ("kind", "files", "format_version", "sememe_version", "sha256")
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        max_size=4,
    ),
)
@settings(max_examples=25, deadline=None)
def test_save_load_save_gives_the_same_bytes(tmp_path_factory, tensors, card):
    folder = tmp_path_factory.mktemp("again")
    artifact.save(folder / "a", "thing", tensors, card, {"extra.txt": b"x"})
    loaded, read = artifact.load(folder / "a", "thing")
    assert {name: read[name] for name in card} == card
    for name, array in tensors.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)
    artifact.save(folder / "b", "thing", loaded, read, {"extra.txt": b"x"})
    assert contents(folder / "a") == contents(folder / "b")


def test_text_with_half_a_surrogate_pair_can_be_kept(tmp_path):
    artifact.save(tmp_path / "a", "thing", {}, {"labels": ["\ud800", "ü"]})
    assert artifact.load(tmp_path / "a", "thing")[1]["labels"] == ["\ud800", "ü"]


def test_memory_order_does_not_change_the_bytes(tmp_path):
    x = np.arange(12.0).reshape(3, 4)
    artifact.save(tmp_path / "c", "thing", {"x": x}, {})
    artifact.save(tmp_path / "f", "thing", {"x": np.asfortranarray(x)}, {})
    assert contents(tmp_path / "c") == contents(tmp_path / "f")


def test_readers_during_replacement_see_one_whole_version(tmp_path):
    path = tmp_path / "a"
    save(path, 1)
    stop, seen, failures = threading.Event(), set(), []

    def read() -> None:
        while not stop.is_set():
            try:
                tensors, card = artifact.load(path, "thing")
                assert (tensors["w"] == card["version"]).all()
                seen.add(card["version"])
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline, version = time.monotonic() + 2, 1
    while time.monotonic() < deadline:
        save(path, version := version + 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(seen) > 3


def test_what_is_not_ours_is_not_replaced(tmp_path):
    (tmp_path / "homework").mkdir()
    (tmp_path / "homework" / "essay.txt").write_bytes(b"mine")
    with pytest.raises(ArtifactError, match="is not a thing folder, so it is not replaced"):
        save(tmp_path / "homework")
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(ArtifactError, match="is a file"):
        save(tmp_path / "file")
    assert contents(tmp_path) == {"homework/essay.txt": b"mine", "file": b"mine"}
    (tmp_path / "empty").mkdir()
    save(tmp_path / "empty", 3)
    assert version_of(tmp_path / "empty") == 3


def test_kinds_and_versions(tmp_path, monkeypatch):
    save(tmp_path / "a")
    with pytest.raises(ArtifactError, match="is a thing, not an other"):
        artifact.load(tmp_path / "a", "other")
    with pytest.raises(ArtifactError, match=r"is not a thing folder: it has no card\.json"):
        artifact.load(tmp_path / "none", "thing")
    monkeypatch.setattr(artifact, "FORMAT_VERSION", 2)
    save(tmp_path / "newer")
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match=r"has format version 2; this Sememe .* reads up to 1"):
        artifact.load(tmp_path / "newer", "thing")


def test_a_flipped_bit_is_found(tmp_path):
    save(tmp_path / "a")
    original = contents(tmp_path / "a")
    rng = random.Random(0)
    for name in [*original, *rng.choices(list(original), k=300)]:
        data = bytearray(original[name])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "a" / name).write_bytes(data)
        try:
            tensors, card = artifact.load(tmp_path / "a", "thing")
        except ArtifactError as error:
            assert str(tmp_path / "a") in str(error)
        else:  # white space in the card has no meaning
            assert name == "card.json"
            assert artifact.dump_json({**card, "sha256": json.loads(data)["sha256"]}) == original[name]
            np.testing.assert_array_equal(tensors["w"], np.zeros((3, 4)))
        (tmp_path / "a" / name).write_bytes(original[name])


def test_a_truncated_or_missing_file_is_named(tmp_path):
    save(tmp_path / "a")
    for name, data in contents(tmp_path / "a").items():
        for length in range(0, len(data), 7):
            (tmp_path / "a" / name).write_bytes(data[:length])
            with pytest.raises(ArtifactError, match=name):
                artifact.load(tmp_path / "a", "thing")
        (tmp_path / "a" / name).unlink()
        with pytest.raises(ArtifactError, match=name):
            artifact.load(tmp_path / "a", "thing")
        (tmp_path / "a" / name).write_bytes(data)


def forge(path: Path, change: dict, drop: tuple[str, ...] = ()) -> None:
    """Rewrite a card, with a checksum that fits: what somebody does who wants to harm."""
    card = {**artifact.load_json(path / "card.json"), **change}
    card = {name: value for name, value in card.items() if name != "sha256" and name not in drop}
    digest = artifact._checksum(card)
    (path / "card.json").write_bytes(artifact.dump_json({**card, "sha256": digest}))


@pytest.mark.parametrize(
    ("change", "drop", "message"),
    [
        ({}, ("files",), r"does not list model\.safetensors"),
        ({"files": []}, (), r"does not list model\.safetensors"),
        ({"files": {}}, (), r"does not list model\.safetensors"),
        ({"files": {"../secret": "0", "model.safetensors": "0"}}, (), "outside its folder"),
        ({"files": {"/dev/null": "0", "model.safetensors": "0"}}, (), "outside its folder"),
        ({"files": {"model.safetensors": None}}, (), "checksum differs"),
        ({"format_version": "1"}, (), "format version 1"),
        ({"format_version": 1e400}, (), "format version inf|edited"),
        ({"kind": ["thing"]}, (), "not a thing"),
    ],
)
def test_forged_cards_are_refused(tmp_path, change, drop, message):
    save(tmp_path / "a")
    (tmp_path / "secret").write_bytes(b"x")
    if change.get("format_version") == 1e400:
        text = (tmp_path / "a" / "card.json").read_text().replace('"format_version": 1', '"format_version": 1e400')
        (tmp_path / "a" / "card.json").write_text(text)
    else:
        forge(tmp_path / "a", change, drop)
    with pytest.raises(ArtifactError, match=message):
        artifact.load(tmp_path / "a", "thing")


class Canary:
    def __reduce__(self):
        return os.mkdir, ("canary",)


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_a_pickle_under_our_name_is_refused_and_not_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a")
    (tmp_path / "a" / name).write_bytes(pickle.dumps(Canary()))
    with pytest.raises(ArtifactError):
        artifact.load(tmp_path / "a", "thing")
    with pytest.raises(ArtifactError):
        artifact.load_arrays(tmp_path / "a" / name)
    assert not (tmp_path / "canary").exists()


BAD_JSON = {
    "deep array": b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep object": b'{"a": ' * 10_000 + b"1" + b"}" * 10_000,
    "open": b"[" * 1_000_000,
    "huge integer": b'{"a": ' + b"1" * 1_000_000 + b"}",
    "not utf-8": b'{"a": "\xff\xfe"}',
    "nul": b"\0",
    "empty": b"",
    "array": b"[1]",
    "number": b"1",
    "trailing": b"{} {}",
    "comment": b"{} // no",
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_refused_quickly(tmp_path, name):
    (tmp_path / "card.json").write_bytes(BAD_JSON[name])
    started = time.monotonic()
    with pytest.raises(ArtifactError, match=r"card\.json"):
        artifact.load_json(tmp_path / "card.json")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        b'{"kind": "thing", "format_version": 1, "x": NaN, "sha256": "0"}',
        b'{"kind": "thing", "format_version": 1, "x": "\\ud800", "sha256": "0"}',
        b'{"kind": "thing", "kind": "thing", "format_version": 1, "sha256": "0"}',
        b'{"kind": "thing", "format_version": 1, "x": ' + b"[" * 600 + b"]" * 600 + b"}",
        b"{}",
    ],
)
def test_a_card_that_save_never_writes_is_refused(tmp_path, text):
    (tmp_path / "card.json").write_bytes(text)
    with pytest.raises(ArtifactError):
        artifact.load_card(tmp_path, "thing")


def test_a_card_of_200_megabytes_is_refused_without_reading_all_of_it(tmp_path):
    with open(tmp_path / "card.json", "wb") as stream:
        stream.truncate(200 << 20)
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="too large for a card"):
        artifact.load_json(tmp_path / "card.json")
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def tensor_file(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


GOOD = save_tensors({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(4, dtype=np.int64)})
GOOD_HEADER_BYTES = struct.unpack("<Q", GOOD[:8])[0]
GOOD_HEADER = json.loads(GOOD[8 : 8 + GOOD_HEADER_BYTES])
DATA = GOOD[8 + GOOD_HEADER_BYTES :]


def mutated_headers(n: int, rng: random.Random):
    """Damage to the text of the header, and to what it says."""
    numbers = [0, 1, -1, 3, 8, 24, 55, 56, 57, 2**31, 2**63 - 1, 2**64, 1e300, 0.5, None, "8", [], {}, True]
    for number in range(n):
        if number % 2:
            header = bytearray(GOOD[8 : 8 + GOOD_HEADER_BYTES])
            for _ in range(rng.choice((1, 1, 2, 5))):
                place = rng.randrange(len(header))
                action = rng.randrange(3)
                if action == 0:
                    header[place] = rng.randrange(256)
                elif action == 1:
                    del header[place]
                else:
                    header.insert(place, rng.choice(b'{}[]",:0123456789-eE.'))
            yield bytes(header)
        else:
            header = json.loads(json.dumps(GOOD_HEADER))
            entry = header[rng.choice("ab")]
            field = rng.choice(("dtype", "shape", "data_offsets", "shape item", "offset item", "field", "name"))
            if field == "shape item":
                entry["shape"] = [rng.choice(numbers) for _ in range(rng.randrange(4))]
            elif field == "offset item":
                entry["data_offsets"][rng.randrange(2)] = rng.choice(numbers)
            elif field == "field":
                del entry[rng.choice(list(entry))]
            elif field == "name":
                header[rng.choice(("__metadata__", "", "a" * 1000, "\ud800"))] = rng.choice([entry, *numbers])
            else:
                entry[field] = rng.choice([*numbers, "F32", "F64", "BF16", "F8_E4M3", "I4", "BOOL", "F4", "object"])
            yield json.dumps(header).encode()


def test_ten_thousand_mutated_safetensors_headers(tmp_path, monkeypatch):
    """Only our error or success: no crash, no other exception, nothing larger than twice the file allocated."""
    rng = random.Random(0)
    path = tmp_path / "model.safetensors"
    refused = 0
    for header in mutated_headers(10_000, rng):
        length = (
            len(header) if rng.random() < 0.9 else rng.choice((0, 1, 2**20, 2**40, 2**63, 2**64 - 1, len(header) + 1))
        )
        data = struct.pack("<Q", length) + header + DATA
        monkeypatch.setattr(disk, "read_file", lambda _, data=data: data)
        try:
            tensors = artifact.load_arrays(path)
        except ArtifactError as error:
            refused += 1
            assert "model.safetensors" in str(error)
        else:
            assert sum(array.nbytes for array in tensors.values()) <= len(DATA)
    assert 5_000 < refused < 10_000


@pytest.mark.parametrize(
    "entries",
    [
        {"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [4, 12])},
        {"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [12, 20])},
        {"a": ("F32", [2], [8, 16])},
        {"a": ("F32", [2], [0, 12])},
        {"a": ("F32", [2**62, 4], [0, 8])},
        {"a": ("F32", [2], [8, 0])},
        {"a": ("F32", [2], [0, 8])},
    ],
    ids=["overlap", "gap", "gap at the start", "shape", "overflow", "backwards", "bytes behind the end"],
)
def test_offsets_that_do_not_tile_the_file_are_refused(tmp_path, entries):
    header = {name: {"dtype": d, "shape": s, "data_offsets": o} for name, (d, s, o) in entries.items()}
    (tmp_path / "m").write_bytes(tensor_file(json.dumps(header).encode(), b"\0" * 24))
    with pytest.raises(ArtifactError):
        artifact.load_arrays(tmp_path / "m")


def test_a_header_above_100_megabytes_is_refused_before_it_is_parsed(tmp_path):
    with open(tmp_path / "m", "wb") as stream:
        stream.write(struct.pack("<Q", 100_000_001) + b"{")
        stream.truncate(100_000_100)
    with pytest.raises(ArtifactError, match="header does not fit"):
        artifact.load_arrays(tmp_path / "m")
