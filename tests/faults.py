"""Faults at every point at which the product writes: a kill, a full disk, a failing disk, a short write.

    for point in range(1, count_points(work) + 1):
        died = killed_at(point, work)            # in a forked child
        ...reopen, compare with the state before or after...

`work` must reach the disk through `sememe.disk.write`, `fsync`, `replace`, or `os.truncate`; these are counted and
replaced. A kill is SIGKILL sent by the process to itself, so no `finally` runs.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sememe import disk

Kind = Literal["kill", "kill halfway", "full disk", "failing disk", "short write"]
ERRORS: tuple[Kind, ...] = ("full disk", "failing disk", "short write")
KILLS: tuple[Kind, ...] = ("kill", "kill halfway")


@dataclass
class Points:
    """What was reached: the name of each call, in order."""

    reached: list[str] = field(default_factory=list)


@contextmanager
def fault(kind: Kind | None = None, at: int = 0) -> Iterator[Points]:
    """Count the points at which something is written, and fail at number `at` (the first is 1).

    "kill" comes before the call; "kill halfway" and "short write" let a write put half of its data on disk first.
    """
    points = Points()
    originals = (disk.write, disk.fsync, disk.replace, os.truncate)

    def counted(name: str, original: Callable) -> Callable:
        def call(*args):
            points.reached.append(name)
            if len(points.reached) != at:
                return original(*args)
            if name == "write" and kind in ("kill halfway", "short write"):
                stream, data = args
                stream.write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
                stream.flush()
            if kind in ("kill", "kill halfway"):
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.EIO if kind == "failing disk" else errno.ENOSPC, "injected: " + str(kind))

        return call

    disk.write, disk.fsync, disk.replace = (
        counted(name, original) for name, original in zip(("write", "fsync", "replace"), originals, strict=False)
    )
    os.truncate = counted("truncate", originals[3])
    try:
        yield points
    finally:
        disk.write, disk.fsync, disk.replace, os.truncate = originals


def count_points(work: Callable[[], object]) -> int:
    """How many points `work` reaches when nothing fails. It is really done."""
    with fault() as points:
        work()
    return len(points.reached)


def killed_at(point: int, work: Callable[[], object], kind: Kind = "kill") -> bool:
    """Do `work` in a child process that kills itself at `point`; whether it died there."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with fault(kind, point):
                work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work itself failed"
    return False


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder, without locks: what two runs must have in common to be the same."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders that somebody forgot, anywhere below `folder`."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".tmp", ".previous"))
