"""What is done to a store while it crashes, and what must be true of it afterwards.

Run as a program under `crash_shim`: it forks a child for each point at which the store's files are changed, lets the
child crash there, opens the store again and compares it with what the child had been told is done.

    LD_PRELOAD=shim.so python crash_scenarios.py SHIM FOLDER SCENARIO KIND [EVERY]
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sememe.errors import ArtifactError
from sememe.papers import Paper, PaperStore, store

KINDS = {"count": 0, "kill": 1, "kill halfway": 2, "full disk": 3, "failing disk": 4}
BATCH = 5
Acknowledge = Callable[[str], None]


def paper(number: int, version: int = 1) -> Paper:
    return Paper(f"arxiv:2405.{number:05}", f"Paper number {number}", abstract="x" * 3000, version=version)


def prepare(folder: Path) -> None:
    """The store as it is before: three papers, closed."""
    with PaperStore.open(folder, create=True) as feed:
        feed.add(paper(n) for n in range(3))


def importing(folder: Path, acknowledge: Acknowledge) -> None:
    """Two batches of new papers, one of new versions, and everything that a reader may keep."""
    with PaperStore.open(folder) as feed:
        for number, _ in enumerate(feed.add_batches(paper(n) for n in range(3, 13))):
            acknowledge(f"batch {number}")
        feed.add(paper(n, version=2) for n in range(3))
        acknowledge("versions")
        feed.mark("arxiv:2405.00001", "saved")
        acknowledge("mark")
        feed.set_note("arxiv:2405.00001", "a note")
        acknowledge("note")
        acknowledge("claimed " + " ".join(feed.claim_for_sending("me@example.org", ["arxiv:2405.00001"], "d1")))
        feed.finish_sending("d1", ok=True)
        acknowledge("sent")
    acknowledge("closed")


def creating(folder: Path, acknowledge: Acknowledge) -> None:
    """A new store, and a batch."""
    with PaperStore.open(folder, create=True) as feed:
        acknowledge("made")
        feed.add(paper(n) for n in range(3))
        acknowledge("batch")
    acknowledge("closed")


def backing_up(folder: Path, acknowledge: Acknowledge) -> None:
    """A backup over an older one."""
    with PaperStore.open(folder) as feed:
        feed.backup(folder / "copy-of-papers.db")
        acknowledge("copied")


def check_importing(folder: Path, done: list[str]) -> None:
    with PaperStore.open(folder) as feed:
        n_batches = sum(ack.startswith("batch") for ack in done)
        assert len(feed) in (3 + BATCH * n_batches, 3 + BATCH * min(n_batches + 1, 2)), (len(feed), done)
        versions = {feed.paper(f"arxiv:2405.0000{n}").version for n in range(3)}
        assert versions in ({1}, {2})
        assert versions == {2} or "versions" not in done
        assert feed.marked("saved") or "mark" not in done
        assert feed.note("arxiv:2405.00001") in ("", "a note")
        assert feed.note("arxiv:2405.00001") or "note" not in done
        # A claim that was answered stays; what happens next is a second attempt after the crash.
        again = feed.claim_for_sending("me@example.org", ["arxiv:2405.00001"], "d2")
        assert not again or not any(ack.startswith("claimed") for ack in done)
        feed.add(paper(n) for n in range(20))
        assert len(feed) == 20


def check_creating(folder: Path, done: list[str]) -> None:
    try:
        with PaperStore.open(folder) as feed:
            assert len(feed) in (0, 3)
            assert len(feed) == 3 or "batch" not in done
    except ArtifactError:
        assert "made" not in done
    with PaperStore.open(folder, create=True) as feed:
        feed.add(paper(n) for n in range(3))
        assert len(feed) == 3


def check_backing_up(folder: Path, done: list[str]) -> None:
    with PaperStore.open(folder) as feed:
        assert len(feed) == 3
        (folder / "restored").mkdir()
        shutil.copy(folder / "copy-of-papers.db", folder / "restored" / "papers.db")
        feed.backup(folder / "copy-of-papers.db")
    with PaperStore.open(folder / "restored") as restored:
        assert len(restored) in ((3,) if "copied" in done else (0, 3))


SCENARIOS = {
    "importing": (prepare, importing, check_importing),
    "creating": (lambda folder: folder.mkdir(), creating, check_creating),
    "backing up": (prepare, backing_up, check_backing_up),
}


def attempt(shim: ctypes.CDLL, folder: Path, scenario: str, kind: str, point: int) -> dict[str, Any]:
    """Crash once; how the child ended and what it reached."""
    before, work, check = SCENARIOS[scenario]
    shutil.rmtree(folder, ignore_errors=True)
    before(folder)
    if scenario == "backing up":
        with PaperStore.open(folder / "empty", create=True) as empty:
            empty.backup(folder / "copy-of-papers.db")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(shim, folder, work, KINDS[kind], point, writing)
    os.close(writing)
    with os.fdopen(reading) as stream:
        done = [line.strip() for line in stream]
    _, status = os.waitpid(child, 0)
    ended = "killed" if os.WIFSIGNALED(status) else {0: "done", 3: "refused"}.get(os.WEXITSTATUS(status), "failed")
    assert not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGKILL
    assert ended != "failed", (point, done)
    check(folder, done)
    with sqlite3.connect(folder / "papers.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
    assert not list(folder.glob(".*.tmp")) or ended == "killed"
    reached = next((int(line.split()[1]) for line in done if line.startswith("reached")), 0)
    return {"ended": ended, "reached": reached, "said": [line for line in done if line.startswith("error")]}


def _child(shim: ctypes.CDLL, folder: Path, work: Callable, kind: int, point: int, pipe: int) -> None:
    """The work, with the fault armed; an error of ours is told, any other one ends the child as failed."""
    code = 1

    def tell(line: str) -> None:
        os.write(pipe, (" ".join(line.split()) + "\n").encode())

    try:
        shim.shim_arm(b"papers.db", ctypes.c_long(point), kind)
        work(folder, tell)
        code = 0
    except ArtifactError as error:
        tell(f"error {error}")
        code = 3
    except BaseException as error:  # told to the test, which then fails
        tell(f"unexpected {type(error).__name__} {error}")
    finally:
        tell(f"reached {shim.shim_reached()}")
        os._exit(code)


def main() -> None:
    shim_path, folder, scenario, kind, *every = sys.argv[1:]
    shim = ctypes.CDLL(shim_path)
    shim.shim_reached.restype = ctypes.c_long
    store.BATCH = BATCH
    whole = attempt(shim, Path(folder), scenario, "count", 0)
    total, ended, said = whole["reached"], [], set[str]()
    for point in range(1, total + 1, int(every[0]) if every else 1):
        found = attempt(shim, Path(folder), scenario, kind, point)
        ended.append(found["ended"])
        said.update(found["said"])
    counts = {how: ended.count(how) for how in sorted(set(ended))}
    json.dump({"points": total, "tried": len(ended), "ended": counts, "said": sorted(said)}, sys.stdout)


if __name__ == "__main__":
    main()
