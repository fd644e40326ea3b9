"""The journal: commits that are there or not, and everything else refused with the place.

`tests/bank/test_bank_faults.py` kills and starves a journal at every write point, through a bank.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from faults import ERRORS, fault
from sememe import disk
from sememe.errors import ArtifactError
from sememe.journal import JOURNAL, Journal


def make(path: Path, n: int = 3) -> Path:
    with Journal.create(path, ["x", "y"], {"h": 1}) as journal:
        for number in range(n):
            journal.append("x", b"abc" * (number + 1))
            if number % 2:
                journal.append("y", b"z")
            journal.commit({"n": number})
    return path


def test_commits_say_ends_checksums_and_payload(tmp_path):
    journal = Journal.open(make(tmp_path / "j"))
    assert journal.header == {"h": 1}
    assert [dict(commit.ends) for commit in journal.commits] == [
        {"x": 0, "y": 0},
        {"x": 3, "y": 0},
        {"x": 9, "y": 1},
        {"x": 18, "y": 1},
    ]
    assert journal.commits[-1].checksums == {"x": zlib.crc32(b"abc" * 6), "y": zlib.crc32(b"z")}
    assert [commit.payload for commit in journal.commits[1:]] == [{"n": 0}, {"n": 1}, {"n": 2}]
    journal.verify()


class Model(RuleBasedStateMachine):
    """Any sequence of appends, commits, rollbacks, faults and reopenings, against two strings in memory."""

    files = st.sampled_from(["x", "y"])

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "j"
        self.journal = Journal.create(self.path, ["x", "y"], {})
        self.committed = {"x": b"", "y": b""}
        self.pending = {"x": b"", "y": b""}
        self.n_commits = 1

    @rule(file=files, data=st.binary(max_size=9))
    def append(self, file, data):
        self.journal.append(file, data)
        self.pending[file] += data

    @rule(file=files, data=st.binary(min_size=2, max_size=9), kind=st.sampled_from(ERRORS))
    def failing_append(self, file, data, kind):
        with fault(kind, 1), pytest.raises(ArtifactError):
            self.journal.append(file, data)

    @rule(first=st.binary(max_size=4), second=st.binary(max_size=4))
    def half_of_a_pair(self, first, second):
        with suppress(KeyboardInterrupt), self.journal.all_or_nothing():
            self.journal.append("x", first)
            self.journal.append("y", second)
            raise KeyboardInterrupt

    @rule()
    def commit(self):
        self.journal.commit({"n": self.n_commits})
        self.n_commits += 1
        self._settle(keep=True)

    @rule(kind=st.sampled_from(ERRORS), at=st.integers(1, 2))
    def failing_commit(self, kind, at):
        with fault(kind, at), pytest.raises(ArtifactError):
            self.journal.commit({"failed": True})
        self._settle(keep=False)

    @rule()
    def rollback(self):
        self.journal.rollback()
        self._settle(keep=False)

    @rule()
    def reopen(self):
        self.journal.close()
        self.journal = Journal.open(self.path, writable=True)
        self._settle(keep=False)

    @precondition(lambda self: self.n_commits > 1)
    @rule(cut=st.integers(1, 3))
    def cut_the_tail(self, cut):
        """A line that a kill cut short, and bytes that it never acknowledged."""
        self.journal.close()
        with open(self.path / JOURNAL, "ab") as stream:
            stream.write(b'01234567 00000099 {"fil'[: cut * 7])
        with open(self.path / "x", "ab") as stream:
            stream.write(b"?" * cut)
        self.journal = Journal.open(self.path, writable=True)
        self._settle(keep=False)

    def _settle(self, keep: bool) -> None:
        for file, data in self.pending.items():
            self.committed[file] += data if keep else b""
        self.pending = {"x": b"", "y": b""}

    def teardown(self) -> None:
        self.journal.close()
        reader = Journal.open(self.path)
        reader.verify()
        assert len(reader.commits) == self.n_commits
        for file, data in self.committed.items():
            assert self.path.joinpath(file).read_bytes()[: reader.length(file)] == data
        self.folder.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def line(files: dict, payload: object) -> bytes:
    body = json.dumps({"files": files, "payload": payload}).encode()
    return b"%08x %08x %b\n" % (zlib.crc32(body), len(body), body)


@pytest.mark.parametrize("name", ["../victim", "{tmp}/victim", "a/b", "..", "", JOURNAL])
def test_a_forged_journal_cannot_reach_outside_its_folder(tmp_path, name):
    """Opening for writing cuts files to their committed length: it must not be led to other people's files."""
    (tmp_path / "victim").write_bytes(b"precious")
    folder = tmp_path / "j"
    folder.mkdir()
    (folder / JOURNAL).write_bytes(line({name.format(tmp=tmp_path): [0, 0]}, {}))
    for writable in (False, True):
        with pytest.raises(ArtifactError, match=r"line 1 .* is damaged"):
            Journal.open(folder, writable=writable)
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_link_is_read_but_not_written_to(tmp_path):
    make(tmp_path / "j")
    (tmp_path / "j" / "x").rename(tmp_path / "elsewhere")
    (tmp_path / "j" / "x").symlink_to(tmp_path / "elsewhere")
    with open(tmp_path / "elsewhere", "ab") as stream:
        stream.write(b"precious")
    Journal.open(tmp_path / "j").verify()
    with pytest.raises(ArtifactError, match="is a link, so it is not written to"):
        Journal.open(tmp_path / "j", writable=True)
    assert (tmp_path / "elsewhere").read_bytes().endswith(b"precious")


@pytest.mark.parametrize(
    "second",
    [
        line({"x": [0, 0]}, {}),
        line({"x": [0, 0], "y": [0, 0], "z": [0, 0]}, {}),
        line({"x": [-1, 0], "y": [0, 0]}, {}),
        line({"x": ["many", 0], "y": [0, 0]}, {}),
        line({"x": 0, "y": 0}, {}),
        line({"x": [0, 0], "y": [0, 0]}, 7),
        line([], {}),
        b"no line of ours\n",
        b"\n",
        b"00000000 00000000 \n",
    ],
)
def test_lines_that_make_no_sense_are_refused(tmp_path, second):
    Journal.create(tmp_path / "j", ["x", "y"], {}).close()
    good = (tmp_path / "j" / JOURNAL).read_bytes()
    (tmp_path / "j" / JOURNAL).write_bytes(good + second)
    with pytest.raises(ArtifactError, match=rf"journal\.jsonl: line 2 \(byte {len(good)}\) is damaged"):
        Journal.open(tmp_path / "j")


def test_a_deeply_nested_line_is_refused(tmp_path):
    Journal.create(tmp_path / "j", ["x"], {}).close()
    good = (tmp_path / "j" / JOURNAL).read_bytes()
    body = b'{"files": {"x": [0, 0]}, "payload": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    (tmp_path / "j" / JOURNAL).write_bytes(good + b"%08x %08x %b\n" % (zlib.crc32(body), len(body), body))
    with pytest.raises(ArtifactError, match="line 2"):
        Journal.open(tmp_path / "j")


def test_a_flipped_bit_in_any_byte_of_a_journal_is_found(tmp_path):
    make(tmp_path / "j", n=2)
    path = tmp_path / "j" / JOURNAL
    good = path.read_bytes()
    for place in range(len(good)):
        for bit in {place % 8, (3 * place + 1) % 8}:
            data = bytearray(good)
            data[place] ^= 1 << bit
            path.write_bytes(data)
            with pytest.raises(ArtifactError, match=JOURNAL):
                Journal.open(tmp_path / "j")


def test_any_byte_in_place_of_the_last_newline_is_found(tmp_path):
    make(tmp_path / "j", n=2)
    path = tmp_path / "j" / JOURNAL
    good = path.read_bytes()
    for byte in range(256):
        path.write_bytes(good[:-1] + bytes([byte]))
        if byte == 10:
            continue
        with pytest.raises(ArtifactError, match="line 3"):
            Journal.open(tmp_path / "j")


def test_when_even_taking_back_fails_the_journal_closes_itself(tmp_path, monkeypatch):
    journal = Journal.open(make(tmp_path / "j"), writable=True)
    journal.append("x", b"new")

    def failing(*_):
        raise OSError(5, "injected")

    monkeypatch.setattr(os, "fsync", failing)
    monkeypatch.setattr(disk, "fsync", lambda stream: failing() if str(stream.name).endswith(JOURNAL) else None)
    with pytest.raises(ArtifactError, match="injected"):
        journal.commit({})
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="is closed"):
        journal.append("x", b"new")
    with Journal.open(tmp_path / "j", writable=True) as again:
        again.verify()


def test_two_creators_do_not_overwrite_each_other(tmp_path):
    with Journal.create(tmp_path / "j", ["x"], {}) as journal:
        journal.append("x", b"abc")
        journal.commit({})
        with pytest.raises(ArtifactError):
            Journal.create(tmp_path / "j", ["x"], {})
    Journal.open(tmp_path / "j").verify()


def test_closing_twice_and_leaving_after_closing_are_fine(tmp_path):
    with Journal.open(make(tmp_path / "j"), writable=True) as journal:
        journal.close()
        journal.close()


def test_a_payload_that_is_not_json_changes_nothing(tmp_path):
    with Journal.open(make(tmp_path / "j"), writable=True) as journal:
        journal.append("x", b"abc")
        for bad in ({"x": float("nan")}, {"x": object()}):
            with pytest.raises((TypeError, ValueError)):
                journal.commit(bad)
        journal.commit({})
        assert journal.length("x") == 21
    Journal.open(tmp_path / "j").verify()


def test_more_than_two_gibibytes_in_one_append(tmp_path):
    """Linux writes at most 2 GiB - 4 KiB at once; a sparse source and /dev/null-like sink keep this cheap."""
    import mmap

    size = (2 << 30) + 10
    written = []

    class Sink:
        def write(self, view) -> int:
            written.append(min(len(view), 0x7FFFF000))
            return written[-1]

    with open(tmp_path / "sparse", "wb+") as stream:
        stream.truncate(size)
        with mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ) as source:
            disk.write(Sink(), memoryview(source))
    assert sum(written) == size
    assert len(written) == 2
