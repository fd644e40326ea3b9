"""A bank survives a kill, a full disk and a failing disk at every point at which it writes, and damage is found."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from faults import ERRORS, KILLS, contents, count_points, fault, killed_at, leftovers
from sememe.bank import Bank
from sememe.errors import ArtifactError, LockedError

D = 5


def rows(first: int, n: int) -> np.ndarray:
    return np.arange(first * D, (first + n) * D, dtype=np.float32).reshape(n, D)


def make(path: Path, dtype: str = "int8") -> None:
    with Bank.create(path, D, dtype=dtype, provenance={"made": "for a test"}) as bank:
        bank.append(rows(0, 4), documents=[0, 0, 1, 1], positions=[0, 1, 0, 1])
        bank.append_document_ids(["a", "b"])
        bank.commit({"n": 1})


def extend(path: Path) -> None:
    """Two commits of two appends each, ids among them."""
    with Bank.open(path, writable=True) as bank:
        for number in range(2):
            first = len(bank)
            bank.append(rows(first, 3))
            bank.append(rows(first + 3, 2))
            bank.append_document_ids([f"id {number}"])
            bank.commit({"n": 2 + number})


def state(path: Path) -> tuple:
    with Bank.open(path) as bank:
        bank.verify()
        payloads = [dict(commit.payload) for commit in bank.journal.commits[1:]]
        return bank[:].tobytes(), bank.documents.tobytes(), bank.positions.tobytes(), bank.document_ids, payloads


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """What a bank may hold: after `make`, and after each commit of `extend`."""
    folder = tmp_path_factory.mktemp("states")
    make(folder / "b")
    allowed = [state(folder / "b")]
    with Bank.open(folder / "b", writable=True) as bank:
        for number in range(2):
            first = len(bank)
            bank.append(np.concatenate([rows(first, 3), rows(first + 3, 2)]))
            bank.append_document_ids([f"id {number}"])
            bank.commit({"n": 2 + number})
            allowed.append(state(folder / "b"))
    return allowed


def n_points(tmp_path, work) -> int:
    make(tmp_path / "count")
    return count_points(lambda: work(tmp_path / "count"))


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_at_every_point_leaves_a_committed_state(tmp_path, states, kind):
    total = n_points(tmp_path, extend)
    assert total > 30
    seen = []
    for point in range(1, total + 1):
        path = tmp_path / f"{point}"
        make(path)
        assert killed_at(point, lambda path=path: extend(path), kind)
        seen.append(states.index(state(path)))
        Bank.open(path, writable=True).close()  # cuts off what was not committed
        assert states.index(state(path)) == seen[-1]
        assert leftovers(tmp_path) == []
        assert (path / "vectors.bin").stat().st_size == D * [4, 9, 14][seen[-1]]
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}


def test_a_bank_killed_and_gone_on_with_equals_one_that_was_not(tmp_path):
    make(tmp_path / "whole")
    total = count_points(lambda: extend(tmp_path / "whole"))

    def rest(path: Path) -> None:
        with Bank.open(path, writable=True) as bank:
            for number in range(bank.journal.commits[-1].payload["n"] - 1, 2):
                first = len(bank)
                bank.append(rows(first, 5))
                bank.append_document_ids([f"id {number}"])
                bank.commit({"n": 2 + number})

    for point in range(1, total + 1, 3):
        path = tmp_path / f"{point}"
        make(path)
        killed_at(point, lambda path=path: extend(path), "kill halfway")
        rest(path)
        assert contents(path) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", ERRORS)
def test_a_failing_disk_at_every_point_leaves_a_committed_state(tmp_path, states, kind):
    total = n_points(tmp_path, extend)
    for point in range(1, total + 1):
        path = tmp_path / f"{point}"
        make(path)
        with fault(kind, point), pytest.raises(ArtifactError, match="injected") as caught:
            extend(path)
        assert str(path) in str(caught.value)
        assert state(path) in states
        Bank.open(path, writable=True).close()
        assert leftovers(tmp_path) == []
        assert state(path) in states


@pytest.mark.parametrize("kind", ERRORS)
def test_the_same_writer_can_go_on_when_the_disk_has_recovered(tmp_path, states, kind):
    """Whatever failed, the caller may drop the failed step and do it again with the bank it holds."""
    make(tmp_path / "whole")
    extend(tmp_path / "whole")

    def step(bank: Bank) -> None:
        first = len(bank)
        bank.append(rows(first, 3))
        bank.append(rows(first + 3, 2))
        bank.append_document_ids([f"id {bank.journal.commits[-1].payload['n'] - 1}"])
        bank.commit({"n": bank.journal.commits[-1].payload["n"] + 1})

    make(tmp_path / "count")
    with Bank.open(tmp_path / "count", writable=True) as bank:
        total = count_points(lambda: step(bank))
    for point in range(1, total + 1):
        path = tmp_path / f"{point}"
        make(path)
        with Bank.open(path, writable=True) as bank:
            with fault(kind, point), pytest.raises(ArtifactError, match="injected"):
                step(bank)
            bank.rollback()
            assert state(path) == states[0]
            step(bank)
            step(bank)
        assert contents(path) == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", ERRORS)
def test_a_failed_append_leaves_earlier_appends_whole(tmp_path, kind):
    with Bank.create(tmp_path / "count", D, dtype="int8", provenance={}) as bank:
        total = count_points(lambda: bank.append(rows(3, 2)))
    for point in range(1, total + 1):
        with Bank.create(tmp_path / f"{point}", D, dtype="int8", provenance={}) as bank:
            bank.append(rows(0, 3))
            with fault(kind, point), pytest.raises(ArtifactError):
                bank.append(rows(3, 2))
            bank.commit()
            assert len(bank) == 3
            bank.verify()
            bank.append(rows(3, 2))
            bank.commit()
            bank.verify()
            assert len(bank) == 5
            np.testing.assert_array_equal(bank.documents, np.arange(5))


@pytest.mark.parametrize("kind", KILLS + ERRORS)
def test_creating_is_all_or_nothing(tmp_path, kind):
    total = count_points(lambda: Bank.create(tmp_path / "count", D, provenance={}).close())
    created = 0
    for point in range(1, total + 1):
        path = tmp_path / f"{point}"
        work = lambda path=path: Bank.create(path, D, provenance={}).close()  # noqa: E731
        if kind in KILLS:
            assert killed_at(point, work, kind)
        else:
            with fault(kind, point), pytest.raises(ArtifactError):
                work()
        try:
            with Bank.open(path, writable=True) as bank:
                assert len(bank) == 0
            created += 1
        except ArtifactError as error:
            assert "it has no journal.jsonl" in str(error)
            work()
        assert leftovers(tmp_path) == []
    assert created <= 3


def test_an_interrupt_while_committing_leaves_a_committed_state(tmp_path, states, monkeypatch):
    from sememe import disk

    def interrupted(stream):
        original(stream)
        if str(stream.name).endswith("journal.jsonl"):
            raise KeyboardInterrupt

    original = disk.fsync
    make(tmp_path / "b")
    with Bank.open(tmp_path / "b", writable=True) as bank:
        bank.append(rows(4, 3))
        monkeypatch.setattr(disk, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bank.commit({"n": 9})
        monkeypatch.undo()
        assert state(tmp_path / "b") == states[0]
        bank.append(rows(4, 5))
        bank.append_document_ids(["id 0"])
        bank.commit({"n": 2})
    assert state(tmp_path / "b") == states[1]


WRITER = """
import sys, numpy as np
from sememe.bank import Bank
with Bank.open(sys.argv[1], writable=True) as bank:
    while True:
        first, n = len(bank), 1 + len(bank) % 7
        bank.append(np.arange(first * 5, (first + n) * 5, dtype=np.float32).reshape(n, 5))
        bank.commit()
        sys.stdout.write(f"{len(bank)}\\n"); sys.stdout.flush()
"""


def start_writer(path: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)


def test_a_writer_killed_at_30_random_moments_loses_nothing_acknowledged(tmp_path):
    path = tmp_path / "b"
    Bank.create(path, D, provenance={}).close()
    rng = random.Random(0)
    acknowledged = 0
    for _ in range(30):
        child = start_forked_writer(path)
        time.sleep(rng.uniform(0.005, 0.08))
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = max(acknowledged, child.finish())
        with Bank.open(path) as bank:
            assert len(bank) >= acknowledged
            np.testing.assert_array_equal(bank[:], rows(0, len(bank)))
            np.testing.assert_array_equal(bank.documents, np.arange(len(bank)))
    assert acknowledged > 30


class start_forked_writer:  # noqa: N801
    """`WRITER` in a forked child, which starts in a millisecond."""

    def __init__(self, path: Path) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(write, 1)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.argv = ["writer", str(path)]
            try:
                exec(WRITER, {})
            finally:
                os._exit(1)
        os.close(write)

    def finish(self) -> int:
        """The last number that it acknowledged; 0 if none."""
        os.waitpid(self.pid, 0)
        with os.fdopen(self._read) as stream:
            lines = stream.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        return int(whole[-1]) if whole else 0


READER = """
import sys, time, numpy as np
from sememe.bank import Bank
until, n, seen = time.monotonic() + float(sys.argv[2]), 0, set()
bank = Bank.open(sys.argv[1])
while time.monotonic() < until:
    n = len(bank)
    expected = np.arange(n * 5, dtype=np.float32).reshape(n, 5)
    assert np.array_equal(bank[:], expected) and np.array_equal(bank.documents, np.arange(n)), "torn read"
    assert len(bank) == n, "the version changed without refresh"
    before = len(seen)
    seen.add(n)
    if len(seen) % 2:
        bank.refresh()
    else:
        bank = Bank.open(sys.argv[1])
    assert len(bank) >= n, "went back"
print(len(seen))
"""


def test_four_readers_and_a_writer(tmp_path):
    path = tmp_path / "b"
    Bank.create(path, D, provenance={}).close()
    writer = start_writer(path)
    assert writer.stdout.readline()
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(path), "3"], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    started = time.monotonic()
    with pytest.raises(LockedError, match=f"pid {writer.pid} on "):
        Bank.open(path, writable=True)
    assert time.monotonic() - started < 1
    outputs = [reader.communicate(timeout=120)[0] for reader in readers]
    writer.kill()
    writer.communicate()
    assert [reader.returncode for reader in readers] == [0] * 4
    assert all(int(output) > 3 for output in outputs)  # each saw several versions
    with Bank.open(path) as bank:
        np.testing.assert_array_equal(bank[:], rows(0, len(bank)))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path, dtype):
    make(tmp_path / "b", dtype)
    extend(tmp_path / "b")
    good, original = state(tmp_path / "b"), contents(tmp_path / "b")
    sizes = {name: len(data) for name, data in original.items()}
    rng = random.Random(1)
    found = 0
    for _ in range(300):
        name = rng.choices(list(sizes), list(sizes.values()))[0]
        place, bit = rng.randrange(sizes[name]), rng.randrange(8)
        data = bytearray(original[name])
        data[place] ^= 1 << bit
        (tmp_path / "b" / name).write_bytes(data)
        try:
            assert state(tmp_path / "b") == good
        except ArtifactError as error:
            found += 1
            assert name in str(error)
        finally:
            (tmp_path / "b" / name).write_bytes(original[name])
    assert found == 300


@pytest.mark.parametrize("writable", [False, True])
def test_a_truncated_file_is_named_with_the_place(tmp_path, writable):
    make(tmp_path / "b")
    extend(tmp_path / "b")
    original = contents(tmp_path / "b")
    rng = random.Random(2)
    for name, data in original.items():
        if name == "journal.jsonl":
            continue
        for length in {0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(15))}:
            (tmp_path / "b" / name).write_bytes(data[:length])
            with pytest.raises(ArtifactError, match=rf"{name}: ends at byte {length}, but {len(data)} bytes"):
                Bank.open(tmp_path / "b", writable=writable)
        (tmp_path / "b" / name).write_bytes(data)


def test_a_journal_cut_anywhere_is_an_earlier_commit(tmp_path, states):
    make(tmp_path / "b")
    extend(tmp_path / "b")
    journal = tmp_path / "b" / "journal.jsonl"
    whole = journal.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    tails = itertools.cycle([b"", b"\0", b"\0" * 700])  # a file system may leave zeros after a power failure
    for length, tail in zip(range(len(whole)), tails, strict=False):
        journal.write_bytes(whole[:length] + tail)
        n_commits = sum(end <= length for end in ends)
        if tail and length + 1 in ends:  # all of the line is there, only its newline was overwritten
            with pytest.raises(ArtifactError, match=r"journal\.jsonl: line . \(byte \d+\) is damaged"):
                Bank.open(tmp_path / "b")
        elif n_commits == 0:
            with pytest.raises(ArtifactError, match="holds no whole commit"):
                Bank.open(tmp_path / "b")
        else:
            assert len(Bank.open(tmp_path / "b")) == [0, 4, 9, 14][n_commits - 1]
            if length % 20 == 0 and n_commits > 1:
                assert state(tmp_path / "b") == states[n_commits - 2]


def test_a_writer_goes_on_behind_a_journal_that_was_cut(tmp_path):
    make(tmp_path / "whole")
    extend(tmp_path / "whole")
    whole = (tmp_path / "whole" / "journal.jsonl").read_bytes()
    end_of_first = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for number, length in enumerate(range(end_of_first, whole.index(b"\n", end_of_first) + 1, 17)):
        path = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "whole", path)
        (path / "journal.jsonl").write_bytes(whole[:length] + b"\0" * (number % 3))
        extend(path)
        assert contents(path) == contents(tmp_path / "whole")
