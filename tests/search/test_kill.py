"""Killing a build, an add and a compaction: nothing acknowledged is lost, and resuming ends the same."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from test_index import answers, make_documents

from hash_encoder import HashEncoder
from sememe import Index, disk
from sememe.errors import ArtifactError

FORK = multiprocessing.get_context("fork")
N_DOCUMENTS = 1500


class SlowEncoder(HashEncoder):
    """Gives a kill the time to fall anywhere."""

    def encode_document(self, texts, **options):
        time.sleep(0.01)
        return self.encode(texts, **options)


def run_and_kill(work, seconds: float) -> bool:
    """Run `work` in a child and kill it after `seconds`; whether it was still running."""
    child = FORK.Process(target=work)
    child.start()
    child.join(seconds)
    running = child.is_alive()
    child.kill()
    child.join()
    return running


def contents(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


@pytest.mark.slow
def test_a_build_killed_at_50_random_moments_ends_like_one_that_was_not(tmp_path):
    documents, encoder = make_documents(N_DOCUMENTS), SlowEncoder()
    started = time.perf_counter()
    Index.build(documents, encoder, tmp_path / "whole").close()
    whole, duration = contents(tmp_path / "whole"), time.perf_counter() - started
    rng = random.Random(0)
    kills = 0
    path = tmp_path / "killed-0"
    for moment in range(50):
        work = lambda: Index.build(documents, encoder, path, resume=True).close()  # noqa: E731
        kills += run_and_kill(work, rng.uniform(0, duration))
        if not (path / "manifest.json").exists():
            continue
        try:
            Index.open(path, encoder=encoder).close()
        except ArtifactError as error:
            assert "--resume" in str(error)
            continue
        Index.build(documents, encoder, path, resume=True).close()
        assert contents(path) == whole
        path = tmp_path / f"killed-{moment + 1}"
    Index.build(documents, encoder, path, resume=True).close()
    assert contents(path) == whole
    assert kills >= 20


@pytest.mark.slow
def test_an_add_killed_at_50_random_moments_loses_nothing_acknowledged(tmp_path):
    encoder = SlowEncoder()
    first, more = make_documents(200), make_documents(1200, seed=1, prefix="more")
    Index.build(first, encoder, tmp_path / "i").close()
    known = {document.id for document in first}
    rng = random.Random(1)
    while more:
        acknowledged = FORK.Value("i", 0)
        batches = [more[start : start + 20] for start in range(0, len(more), 20)]

        def work(batches=batches, acknowledged=acknowledged):
            with Index.open(tmp_path / "i", writable=True, encoder=encoder) as index:
                for batch in batches:
                    index.add(batch)
                    acknowledged.value += len(batch)

        run_and_kill(work, rng.uniform(0.0, 0.25))
        with Index.open(tmp_path / "i", encoder=encoder) as index:
            found = set(index.ids())
        assert known | {document.id for document in more[: acknowledged.value]} <= found
        assert len(found - known) in (acknowledged.value, acknowledged.value + 20)  # the batch in flight, or not
        known = found
        more = [document for document in more if document.id not in known]
    with (
        Index.open(tmp_path / "i", encoder=encoder) as index,
        Index.build(index.documents(), encoder, tmp_path / "fresh") as fresh,
    ):
        for mode in ("dense", "lexical", "hybrid"):
            assert answers(index, "red cat", 50, mode) == answers(fresh, "red cat", 50, mode)


ACTIONS = {
    "add": lambda index: index.add(make_documents(5, seed=3, prefix="new")),
    "delete": lambda index: index.delete(["d1", "d2", "d7"]),
    "replace": lambda index: index.replace(make_documents(3, seed=4)),
    "compact": lambda index: index.compact(),
    "change the first stage": lambda index: index.set_coarse("sign"),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fault", ["kill", "full disk", "short write"])
def test_a_fault_at_every_write_point_leaves_the_state_before_or_after(tmp_path, action, fault):
    encoder = HashEncoder()

    def fresh(name: str) -> Path:
        with Index.build(make_documents(12), encoder, tmp_path / name, coarse="binary") as index:
            index.delete(["d0"])
        return tmp_path / name

    def state(path: Path) -> list:
        with Index.open(path, encoder=encoder) as index:
            found = [answers(index, "red cat", 50, mode) for mode in ("dense", "lexical", "hybrid")]
            index.verify()
            return [index.config.coarse, *found]

    reference = fresh("reference")
    before = state(reference)
    with Index.open(reference, writable=True, encoder=encoder) as index:
        ACTIONS[action](index)
    after = state(reference)
    for point in range(1, 200):
        path = fresh(f"{point}")
        if not _with_fault(lambda path=path: _act(path, encoder, action), fault, point):
            assert state(path) == after
            break
        assert state(path) in (before, after), point
        with Index.open(path, writable=True, encoder=encoder) as index:
            index.prepare()
        assert not list(path.rglob("*.tmp"))
        assert len(list(path.glob("g*"))) == 1
    else:
        pytest.fail("the action has no end")
    assert point > 2


def _act(path: Path, encoder: HashEncoder, action: str) -> None:
    with Index.open(path, writable=True, encoder=encoder) as index:
        ACTIONS[action](index)


def _with_fault(work, fault: str, point: int) -> bool:
    """Run `work` in a child that fails at its `point`-th write; whether it got that far."""
    child = FORK.Process(target=_faulty, args=(work, fault, point))
    child.start()
    child.join()
    return child.exitcode != 0


def _faulty(work, fault: str, point: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    count = 0

    def guard(real):
        def call(*arguments):
            nonlocal count
            count += 1
            if count != point:
                return real(*arguments)
            if fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "short write" and real is real_write:
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(28, "No space left on device")

        return call

    real_write = disk.write
    disk.write, disk.fsync, disk.replace = guard(disk.write), guard(disk.fsync), guard(disk.replace)
    work()
