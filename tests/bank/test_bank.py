"""What goes into a bank comes out: values, order, dtypes, versions, and refusals that name the place."""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from faults import contents
from sememe.bank import Bank
from sememe.bank.encoding import decode, encode
from sememe.errors import ArtifactError, InputError, LockedError

D = 6
DTYPES = ("float32", "float16", "int8")
FINITE = st.floats(-1e4, 1e4, width=32)


def vectors(n: int, seed: int = 0, dimensions: int = D) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimensions)).astype(np.float32)


def make(path: Path, x: np.ndarray, dtype: str = "float32", pieces: int = 3, **options) -> Bank:
    bank = Bank.create(path, x.shape[1], dtype=dtype, provenance={"model": "m", "site": "s"})
    for piece in np.array_split(x, pieces):
        bank.append(piece, **options)
        bank.commit()
    return bank


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_come_back_within_the_stated_error(tmp_path, dtype):
    x = vectors(500) * np.logspace(-6, 4, 500)[:, None].astype(np.float32)
    with make(tmp_path / "b", x, dtype) as bank:
        read = bank[:]
    assert read.dtype == np.float32
    assert read.flags.c_contiguous
    assert read.flags.writeable
    error = np.abs(read - x)
    if dtype == "float32":
        assert not error.any()
    elif dtype == "float16":
        assert (error <= np.maximum(2.0**-11 * np.abs(x), 2.0**-25)).all()
        assert error.max() > 0
    else:
        assert (error <= np.abs(x).max(axis=1, keepdims=True) / 253).all()


@given(arrays(np.float32, (4, 5), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
@settings(max_examples=300, deadline=None)
def test_storing_what_was_read_changes_nothing(x):
    for dtype in DTYPES:
        if dtype == "float16":
            x = np.clip(x, -65504, 65504)
        once = encode(x, dtype)
        again = encode(decode(once), dtype)
        assert once.values.tobytes() == again.values.tobytes()
        assert (once.scales is None) == (dtype != "int8")
        if once.scales is not None:
            assert once.scales.tobytes() == again.scales.tobytes()
            bound = np.abs(x).max(axis=1, keepdims=True).astype(np.float64) / 253
            assert (np.abs(decode(once).astype(np.float64) - x) <= np.maximum(bound, 2.0**-127)).all()


@given(
    arrays(np.float32, st.tuples(st.integers(0, 12), st.just(3)), elements=FINITE),
    st.lists(st.integers(0, 3), max_size=5),
    st.data(),
)
@settings(max_examples=50, deadline=None)
def test_get_equals_numpy(x, cuts, data):
    with tempfile.TemporaryDirectory() as folder, Bank.create(Path(folder) / "b", 3, provenance={}) as bank:
        start = 0
        for size in [*cuts, len(x)]:
            bank.append(x[start : start + size])
            start = min(start + size, len(x))
            if size % 2:
                bank.commit()
        bank.commit()
        assert len(bank) == len(x)
        np.testing.assert_array_equal(bank[:], x)
        part = data.draw(st.slices(len(x)))
        np.testing.assert_array_equal(bank[part], x[part])
        rows = data.draw(st.lists(st.integers(-len(x), len(x) - 1), max_size=20) if len(x) else st.just([]))
        np.testing.assert_array_equal(bank[rows], x[np.array(rows, int)])
        np.testing.assert_array_equal(bank.documents, np.arange(len(x)))


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_rows_may_be_unsorted_negative_and_repeated(tmp_path, kind):
    x = vectors(20)
    rows = np.array([7, 3, 3, 19, 0, 7], kind)
    with make(tmp_path / "b", x) as bank:
        np.testing.assert_array_equal(bank[rows], x[rows])
        np.testing.assert_array_equal(bank[[-1, 0, -20]], x[[-1, 0, -20]])
        assert bank[np.zeros(0, int)].shape == (0, D)
        assert bank[[]].shape == (0, D)


@pytest.mark.parametrize("dtype", DTYPES)
def test_announcing_rows_to_a_cold_disk_changes_nothing(tmp_path, monkeypatch, dtype):
    x = vectors(3000, dimensions=7)
    with make(tmp_path / "b", x, dtype) as bank:
        rows = np.random.default_rng(0).integers(0, 3000, 500)
        expected = bank[rows]
        monkeypatch.setattr("sememe.bank.bank.VERIFY_BYTES", 0)
        np.testing.assert_array_equal(bank[rows], expected)
        np.testing.assert_array_equal(bank[[2999, 0]], bank[:][[2999, 0]])
    with Bank.create(tmp_path / "empty", 7, dtype=dtype, provenance={}) as bank:
        assert bank[[]].shape == (0, 7)


@pytest.mark.parametrize("rows", [[20], [-21], [0, 99]])
def test_a_row_out_of_range_is_named(tmp_path, rows):
    with make(tmp_path / "b", vectors(20)) as bank, pytest.raises(InputError, match=rf"no row {rows[-1]}; .* 20 rows"):
        bank[rows]


@pytest.mark.parametrize("rows", [np.ones(20, bool), [[0, 1]], [0.5], ["a"], np.int64(3), 3])
def test_other_indices_are_refused(tmp_path, rows):
    with make(tmp_path / "b", vectors(20)) as bank, pytest.raises(InputError, match="rows cannot be chosen by"):
        bank[rows]


@pytest.mark.parametrize(
    "form",
    [
        np.asfortranarray,
        lambda x: x[::-1][::-1],
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_memory_layout_gives_the_same_bytes_and_input_is_not_changed(tmp_path, form, dtype):
    x = vectors(10)
    given_array = form(x)
    before = given_array.copy()
    given_array.flags.writeable = False
    make(tmp_path / "a", x, dtype, pieces=1).close()
    make(tmp_path / "b", given_array, dtype, pieces=1).close()
    np.testing.assert_array_equal(given_array, before)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_that_is_not_finite_is_refused_and_its_row_named(tmp_path, value, dtype):
    x = vectors(10)
    bank = make(tmp_path / "b", x, dtype)
    x[4, 2] = value
    with pytest.raises(InputError, match=r"vectors\[4\] \(row 14 of the bank\): number 2 is") as caught:
        bank.append(x)
    assert str(value) in str(caught.value)
    bank.append(x[:2])
    bank.commit()
    assert len(bank) == 12
    bank.close()


def test_a_number_too_large_for_the_dtype_is_refused(tmp_path):
    with (
        Bank.create(tmp_path / "h", 2, dtype="float16", provenance={}) as bank,
        pytest.raises(InputError, match=r"70000\.0, too large for float16"),
    ):
        bank.append(np.array([[1, 70000]], np.float32))
    with (
        Bank.create(tmp_path / "f", 2, provenance={}) as bank,
        pytest.raises(InputError, match="too large for float32"),
    ):
        bank.append(np.array([[1, 1e39]], np.float64))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros(D, np.float32), r"shape \(n, 6\)"),
        (np.zeros((2, 5), np.float32), r"\(2, 5\): the bank holds vectors of shape \(n, 6\)"),
        (np.zeros((2, D, 1), np.float32), "shape"),
        (np.zeros((2, D), np.int64), "int64, not floating-point"),
        (np.zeros((2, D), complex), "complex"),
        (np.array([["a"] * D]), "not floating-point"),
    ],
)
def test_wrong_vectors_are_refused(tmp_path, bad, message):
    with Bank.create(tmp_path / "b", D, provenance={}) as bank, pytest.raises(InputError, match=message):
        bank.append(bad)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"documents": [1]}, "documents: has shape"),
        ({"documents": [0.0, 1.0]}, "float64, not integers"),
        ({"positions": [0, 2**31]}, "above 2147483647"),
        ({"documents": [-1, 0]}, "negative"),
    ],
)
def test_wrong_documents_and_positions_are_refused_and_nothing_is_appended(tmp_path, columns, message):
    with Bank.create(tmp_path / "b", D, provenance={}) as bank:
        with pytest.raises(InputError, match=message):
            bank.append(vectors(2), **columns)
        bank.commit()
        assert len(bank) == 0


def test_appending_nothing_is_fine(tmp_path):
    with make(tmp_path / "b", vectors(3)) as bank:
        bank.append(np.zeros((0, D), np.float32), documents=[], positions=[])
        bank.commit()
        assert len(bank) == 3
    with Bank.create(tmp_path / "empty", D, dtype="int8", provenance={}) as empty:
        assert empty[:].shape == (0, D)
        assert list(empty.batches(3)) == list(empty.shuffled(3)) == []
        empty.verify()
    assert len(Bank.open(tmp_path / "empty")) == 0


def test_documents_positions_and_ids_lead_back_to_the_source(tmp_path):
    with Bank.create(tmp_path / "b", D, provenance={}) as bank:
        bank.append(vectors(3), documents=[0, 0, 1], positions=[0, 1, 0])
        bank.append(vectors(2), documents=[1, 2], positions=[1, 0])
        bank.append_document_ids(["a", "ü\n\u2028", "\ud800"])
        bank.commit()
    bank = Bank.open(tmp_path / "b")
    assert bank.documents.dtype == np.int64
    assert bank.positions.dtype == np.int32
    assert [bank.source(row) for row in range(5)] == [
        ("a", 0),
        ("a", 1),
        ("ü\n\u2028", 0),
        ("ü\n\u2028", 1),
        ("\ud800", 0),
    ]
    assert bank.source(-1) == ("\ud800", 0)
    with pytest.raises(InputError, match="no row 5"):
        bank.source(5)
    with pytest.raises(ValueError, match="read-only"):
        bank.documents[0] = 1


def test_source_without_ids_says_so(tmp_path):
    with make(tmp_path / "b", vectors(3)) as bank, pytest.raises(InputError, match="id of document 2 was not stored"):
        bank.source(2)


def test_rows_by_default_are_their_own_documents_across_appends(tmp_path):
    with Bank.create(tmp_path / "b", D, provenance={}) as bank:
        bank.append(vectors(2))
        bank.append(vectors(3))
        bank.commit()
        bank.append(vectors(1))
        bank.rollback()
        bank.append(vectors(1))
        bank.commit()
        np.testing.assert_array_equal(bank.documents, np.arange(6))
        assert not bank.positions.any()


def test_batches_cover_everything_in_order(tmp_path):
    x = vectors(10)
    with make(tmp_path / "b", x) as bank:
        pieces = list(bank.batches(4))
        assert [start for start, _ in pieces] == [0, 4, 8]
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in pieces]), x)
        for size in (0, -1, 1.5, True):
            with pytest.raises(InputError, match="size"):
                next(bank.batches(size))


def test_a_reader_keeps_its_version_until_it_refreshes(tmp_path):
    x = vectors(10)
    writer = make(tmp_path / "b", x)
    reader = Bank.open(tmp_path / "b")
    assert not reader.refresh()
    writer.append(x)
    assert not reader.refresh()
    writer.commit()
    assert len(reader) == 10
    assert reader.fingerprint != writer.fingerprint
    np.testing.assert_array_equal(reader[:], x)
    assert reader.refresh()
    np.testing.assert_array_equal(reader[:], np.concatenate([x, x]))
    assert reader.fingerprint == writer.fingerprint
    assert not writer.refresh()
    writer.close()


def test_refresh_notices_another_bank_in_the_same_place(tmp_path):
    make(tmp_path / "b", vectors(10)).close()
    reader = Bank.open(tmp_path / "b")
    make(tmp_path / "other", vectors(10, seed=1)).close()
    (tmp_path / "b").rename(tmp_path / "old")
    (tmp_path / "other").rename(tmp_path / "b")
    with pytest.raises(ArtifactError, match="was replaced"):
        reader.refresh()
    np.testing.assert_array_equal(reader[:], vectors(10))


def test_the_fingerprint_is_of_the_content_not_of_the_commits(tmp_path):
    x = vectors(10)
    prints = []
    for pieces in (1, 3, 10):
        with make(tmp_path / str(pieces), x, pieces=pieces) as bank:
            bank.commit({"deleted": [3]})
            prints.append(bank.fingerprint)
    assert len(set(prints)) == 1
    changed = x.copy()
    changed[9, 5] = np.nextafter(changed[9, 5], 1)
    with make(tmp_path / "x", changed) as bank:
        assert bank.fingerprint != prints[0]
    with make(tmp_path / "y", x, documents=None, positions=None, dtype="float16") as bank:
        assert bank.fingerprint != prints[0]
    with Bank.create(tmp_path / "z", D, provenance={"model": "another", "site": "s"}) as bank:
        bank.append(x)
        bank.commit()
        assert bank.fingerprint != prints[0]


def test_provenance_reads_back_as_it_was_shown(tmp_path):
    with Bank.create(tmp_path / "b", 3, provenance={"sites": ("a", "b"), "n": 1}) as bank:
        assert bank.provenance == {"sites": ["a", "b"], "n": 1}
    assert Bank.open(tmp_path / "b").provenance == {"sites": ["a", "b"], "n": 1}
    for bad in ({"x": np.zeros(1)}, {"x": float("nan")}, {"x": {1, 2}}):
        with pytest.raises(InputError, match="JSON"):
            Bank.create(tmp_path / "c", 3, provenance=bad)


@pytest.mark.parametrize("options", [{"dimensions": 0}, {"dimensions": 2.5}, {"dtype": "float64"}, {"dtype": "bits"}])
def test_create_refuses_what_cannot_be_stored(tmp_path, options):
    with pytest.raises(InputError):
        Bank.create(tmp_path / "b", **{"dimensions": 3, "provenance": {}, **options})
    assert not (tmp_path / "b").exists()


def test_create_on_a_bank_is_refused(tmp_path):
    make(tmp_path / "b", vectors(3)).close()
    before = contents(tmp_path / "b")
    with pytest.raises(ArtifactError, match="already exists"):
        Bank.create(tmp_path / "b", D, provenance={})
    assert contents(tmp_path / "b") == before


def test_create_does_not_overwrite_somebody_elses_file(tmp_path):
    (tmp_path / "vectors.bin").write_bytes(b"mine")
    with pytest.raises(ArtifactError, match=r"vectors\.bin: is in the way"):
        Bank.create(tmp_path, D, provenance={})
    assert (tmp_path / "vectors.bin").read_bytes() == b"mine"


def test_open_says_what_is_missing(tmp_path):
    with pytest.raises(ArtifactError, match="nowhere: does not exist"):
        Bank.open(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match=r"is not a bank: it has no journal\.jsonl"):
        Bank.open(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match="is not a folder"):
        Bank.open(tmp_path / "file")
    for file in ("vectors.bin", "scales.bin", "documents.bin", "positions.bin", "document_ids.jsonl"):
        make(tmp_path / file, vectors(3), "int8").close()
        (tmp_path / file / file).unlink()
        for writable in (False, True):
            with pytest.raises(ArtifactError, match=rf"{file}: is missing"):
                Bank.open(tmp_path / file, writable=writable)


def forged(path: Path, header: dict) -> Path:
    """A bank folder whose first commit says what it likes, with a good checksum."""
    path.mkdir()
    ends = dict.fromkeys(("vectors.bin", "documents.bin", "positions.bin", "document_ids.jsonl"), 0)
    for name in ends:
        (path / name).write_bytes(b"")
    body = json.dumps({"files": {name: [end, 0] for name, end in ends.items()}, "payload": header}).encode()
    (path / "journal.jsonl").write_bytes(b"%08x %08x %b\n" % (zlib.crc32(body), len(body), body))
    return path


HEADER = {"format": "bank", "format_version": 1, "dimensions": 3, "dtype": "float32", "provenance": {}}


def test_a_newer_format_is_refused_by_its_version(tmp_path):
    assert len(Bank.open(forged(tmp_path / "now", HEADER))) == 0
    with pytest.raises(ArtifactError, match=r"format version 2; this Sememe .* reads up to 1"):
        Bank.open(forged(tmp_path / "newer", {**HEADER, "format_version": 2}))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "index"},
        {"dimensions": 0},
        {"dimensions": "3"},
        {"dtype": "int8"},
        {"dtype": "object"},
        {"dtype": []},
        {"provenance": None},
        {"format_version": None},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path, change):
    with pytest.raises(ArtifactError):
        Bank.open(forged(tmp_path / "b", {**HEADER, **change}))


def test_a_reader_cannot_write(tmp_path):
    make(tmp_path / "b", vectors(3)).close()
    reader = Bank.open(tmp_path / "b")
    with pytest.raises(ArtifactError, match="opened for reading"):
        reader.append(vectors(1))
    with pytest.raises(ArtifactError, match="opened for reading"):
        reader.commit()


def test_a_closed_bank_does_not_write_behind_the_next_writers_back(tmp_path):
    first = make(tmp_path / "b", vectors(3))
    first.close()
    with Bank.open(tmp_path / "b", writable=True), pytest.raises(ArtifactError, match="is closed"):
        first.append(vectors(1))


def test_a_second_writer_is_refused_with_the_pid(tmp_path):
    with make(tmp_path / "b", vectors(3)):
        with pytest.raises(LockedError, match=f"pid {os.getpid()} on "):
            Bank.open(tmp_path / "b", writable=True)
        with pytest.raises(LockedError, match=f"pid {os.getpid()} on "):
            Bank.create(tmp_path / "b", D, provenance={})
    Bank.open(tmp_path / "b", writable=True).close()


def test_a_commit_with_a_payload_that_is_not_json_is_rolled_back(tmp_path):
    with make(tmp_path / "b", vectors(3)) as bank:
        bank.append(vectors(2))
        with pytest.raises(TypeError):
            bank.commit({"x": object()})
        bank.append(vectors(1))
        bank.commit()
        np.testing.assert_array_equal(bank.documents, np.arange(4))


def test_a_failed_open_does_not_keep_the_lock(tmp_path):
    make(tmp_path / "b", vectors(3)).close()
    good = (tmp_path / "b" / "vectors.bin").read_bytes()
    (tmp_path / "b" / "vectors.bin").write_bytes(b"x" + good[1:])
    with pytest.raises(ArtifactError, match=r"vectors\.bin: is damaged between bytes 0 and 24"):
        Bank.open(tmp_path / "b", writable=True)
    (tmp_path / "b" / "vectors.bin").write_bytes(good)
    Bank.open(tmp_path / "b", writable=True).close()


def test_verify_finds_what_a_fast_open_does_not_look_for(tmp_path):
    make(tmp_path / "b", vectors(3), pieces=1).close()
    path = tmp_path / "b" / "positions.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    bank = Bank.open(tmp_path / "b", verify_bytes=0)
    with pytest.raises(ArtifactError, match=r"positions\.bin: is damaged between bytes 0 and 12"):
        bank.verify()
    with pytest.raises(ArtifactError):
        Bank.open(tmp_path / "b")


def test_large_appends_are_written_in_pieces_to_the_same_bytes(tmp_path, monkeypatch):
    x = vectors(1000)
    make(tmp_path / "whole", x, "int8", pieces=1).close()
    monkeypatch.setattr("sememe.bank.bank._BLOCK_BYTES", 8 * D * 7)
    make(tmp_path / "pieces", x, "int8", pieces=1).close()
    assert contents(tmp_path / "whole") == contents(tmp_path / "pieces")
    x[999, 0] = np.nan
    with make(tmp_path / "refused", vectors(1), pieces=1) as bank:
        with pytest.raises(InputError, match="row 1000 of the bank"):
            bank.append(x)
        assert (tmp_path / "refused" / "vectors.bin").stat().st_size == 4 * D


def test_the_layout_is_plain_row_major_little_endian(tmp_path):
    x = vectors(7)
    make(tmp_path / "b", x, documents=None).close()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "b" / "vectors.bin", "<f4").reshape(7, D), x)
    np.testing.assert_array_equal(np.fromfile(tmp_path / "b" / "documents.bin", "<i8"), np.arange(7))
