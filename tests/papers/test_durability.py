"""Kills, full disks and other processes: what was acknowledged is there, and nothing is half done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from faults import contents
from sememe.errors import ArtifactError, LockedError
from sememe.papers import Paper, PaperStore, database, store

HERE = Path(__file__).parent
KILLS = int(os.environ.get("SEMEME_KILLS", "40"))


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library that makes calls fail."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler and Linux: the faults are put in front of the C library")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "crash_shim.c", "-ldl"], check=True)
    return library


@pytest.fixture
def fast_folder():
    """A folder in memory where there is one: a kill loses no page of the system's cache, on whatever disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def crash(shim: Path, folder: Path, scenario: str, kind: str, every: int) -> dict:
    run = subprocess.run(
        [sys.executable, HERE / "crash_scenarios.py", shim, folder / "feed", scenario, kind, str(every)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


class TestEveryWritePoint:
    @pytest.mark.parametrize(
        ("scenario", "kind", "every"),
        [
            ("importing", "kill", 2),
            ("importing", "kill halfway", 5),
            ("creating", "kill", 3),
            ("backing up", "kill", 3),
        ],
    )
    def test_a_kill_leaves_the_state_before_or_after(self, shim, fast_folder, scenario, kind, every):
        found = crash(shim, fast_folder, scenario, kind, every)
        assert found["points"] > 50
        assert found["ended"] == {"killed": found["tried"]}

    @pytest.mark.parametrize(
        ("scenario", "kind", "every"),
        [("importing", "full disk", 4), ("importing", "failing disk", 8), ("backing up", "full disk", 5)],
    )
    def test_an_error_of_the_disk_is_told_and_undone(self, shim, fast_folder, scenario, kind, every):
        found = crash(shim, fast_folder, scenario, kind, every)
        assert found["ended"]["refused"] > found["tried"] / 2
        assert any("the disk is full" in line for line in found["said"]) == (kind == "full disk")
        assert all("Check" in line or "Free some space" in line for line in found["said"])

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["kill", "kill halfway", "full disk", "failing disk"])
    @pytest.mark.parametrize("scenario", ["importing", "creating", "backing up"])
    def test_all_of_them(self, shim, fast_folder, scenario, kind):
        found = crash(shim, fast_folder, scenario, kind, 1)
        assert found["tried"] == found["points"] > 50


def paper(number: int) -> Paper:
    return Paper(f"arxiv:2405.{number:05}", f"Paper number {number}", abstract="x" * 500)


class TestAnyMoment:
    def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(self, fast_folder, monkeypatch):
        """The child is killed as soon as a number of batches is acknowledged: wherever it is then."""
        monkeypatch.setattr(store, "BATCH", 7)
        acknowledged = 0
        for turn in range(KILLS):
            done, at_least = _import_until_killed(fast_folder, start=turn * 1000, batches=turn % 6 + 1)
            assert done >= at_least
            acknowledged += 7 * done
            with PaperStore.open(fast_folder) as feed:
                assert len(feed) % 7 == 0
                assert len(feed) >= acknowledged
                for number in range(7 * done):
                    assert feed.find(f"arxiv:2405.{turn * 1000 + number:05}")
                acknowledged = len(feed)  # a batch may be on disk before anybody was told
        with sqlite3.connect(fast_folder / "papers.db") as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        raw.close()


def _import_until_killed(folder: Path, start: int, batches: int) -> tuple[int, int]:
    """How many batches a child acknowledged before it was killed, and how many at least."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with PaperStore.open(folder, create=True) as feed:
                for _ in feed.add_batches(paper(start + n) for n in range(900)):
                    os.write(writing, b".")
        finally:
            os._exit(0)
    os.close(writing)
    done = 0
    while done < batches:
        done += len(os.read(reading, 1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done += len(os.read(reading, 1000))  # what it still said before it died
    os.close(reading)
    return done, batches


class TestSeveralProcesses:
    def test_two_that_write_take_turns(self, fast_folder, monkeypatch):
        monkeypatch.setattr(store, "BATCH", 20)
        children = []
        for first in (0, 200):  # they share papers 200 to 399, and make the store at the same moment
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    with PaperStore.open(fast_folder, create=True) as feed:
                        feed.add(paper(n) for n in range(first, first + 400))
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
        with PaperStore.open(fast_folder) as feed:
            assert len(feed) == 600
            assert all(len(feed.versions(f"arxiv:2405.{n:05}")) == 1 for n in range(0, 600, 50))

    def test_a_claim_is_made_once_by_many(self, fast_folder):
        with PaperStore.open(fast_folder, create=True) as feed:
            feed.add(paper(n) for n in range(30))
        ids = [f"arxiv:2405.{n:05}" for n in range(30)]
        reading, writing = os.pipe()
        children = []
        for number in range(4):
            child = os.fork()
            if child == 0:
                try:
                    with PaperStore.open(fast_folder) as feed:
                        for at in range(0, 30, 3):
                            for found in feed.claim_for_sending("me@example.org", ids[at : at + 3], f"{number}-{at}"):
                                os.write(writing, f"{found}\n".encode())
                finally:
                    os._exit(0)
            children.append(child)
        os.close(writing)
        for child in children:
            os.waitpid(child, 0)
        with os.fdopen(reading) as stream:
            assert sorted(stream.read().split()) == ids

    def test_one_that_holds_the_store_is_told_about(self, tmp_path, monkeypatch):
        monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
        with PaperStore.open(tmp_path, create=True) as feed:
            feed.add([paper(1)])
            holder = sqlite3.connect(tmp_path / "papers.db", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(LockedError, match=r"papers\.db: database is locked: another process is writing"):
                feed.add([paper(2)])
            assert feed.paper("arxiv:2405.00001").title == "Paper number 1"  # readers do not wait
            holder.execute("ROLLBACK")
            holder.close()
            assert feed.add([paper(2)]).imported == 1


class TestAFullDisk:
    def test_it_is_named_and_the_batch_is_undone(self, tmp_path, monkeypatch):
        monkeypatch.setattr(store, "BATCH", 10)
        with PaperStore.open(tmp_path, create=True) as feed:
            feed.add(paper(n) for n in range(20))
            connection = feed._database.connection
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages + 2}")
            with pytest.raises(ArtifactError, match="cannot be written: the disk is full"):
                feed.add(paper(n) for n in range(20, 2000))
            assert len(feed) % 10 == 0
            connection.execute("PRAGMA max_page_count=1000000")
            feed.add(paper(n) for n in range(20, 200))
            assert len(feed) == 200

    def test_an_export_that_does_not_fit_leaves_the_old_file(self, tmp_path):
        from faults import fault
        from sememe.cli import main

        with PaperStore.open(tmp_path / "feed", create=True) as feed:
            feed.add([paper(1)])
        target = tmp_path / "out" / "papers.bib"
        target.parent.mkdir()
        target.write_text("older")
        with fault("full disk", at=1):
            assert main(["papers", "export", "--feed", str(tmp_path / "feed"), "--to", str(target)]) == 2
        assert contents(target.parent) == {"papers.bib": b"older"}


class TestDamage:
    @pytest.mark.parametrize("where", [0, 20, 100, 5000, 20_000])
    def test_a_damaged_file_is_named_or_reads_the_same(self, tmp_path, where):
        with PaperStore.open(tmp_path, create=True) as feed:
            feed.add(paper(n) for n in range(200))
            before = feed.select()
        file = tmp_path / "papers.db"
        data = bytearray(file.read_bytes())
        data[where : where + 64] = b"\xff" * 64
        file.write_bytes(data)
        try:
            with PaperStore.open(tmp_path) as feed:
                feed.backup(tmp_path / "copy.db")
                assert feed.select() == before  # it hit a place that holds nothing
        except ArtifactError as error:
            assert "papers.db" in str(error)

    def test_a_truncated_file_is_named(self, tmp_path):
        with PaperStore.open(tmp_path, create=True) as feed:
            feed.add(paper(n) for n in range(200))
        file = tmp_path / "papers.db"
        os.truncate(file, file.stat().st_size // 2)
        with pytest.raises(ArtifactError, match=r"papers\.db"), PaperStore.open(tmp_path) as feed:
            feed.select()
