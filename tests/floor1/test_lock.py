"""One writer at a time, and no lock that outlives its writer."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from sememe.errors import ArtifactError, LockedError
from sememe.lock import WriterLock


def test_the_holder_is_named(tmp_path):
    lock = WriterLock(tmp_path)
    started = time.monotonic()
    with pytest.raises(LockedError, match=f"is being written by pid {os.getpid()} on {socket.gethostname()}"):
        WriterLock(tmp_path)
    assert time.monotonic() - started < 1
    lock.release()
    lock.release()
    WriterLock(tmp_path).release()


def test_a_refused_writer_does_not_change_who_is_named(tmp_path):
    lock = WriterLock(tmp_path)
    for _ in range(2):
        with pytest.raises(LockedError, match=f"pid {os.getpid()} "):
            WriterLock(tmp_path)
    lock.release()


def in_child(work) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    read, write = os.pipe()

    def hold() -> None:
        WriterLock(tmp_path)
        os.write(write, b"x")
        time.sleep(60)

    child = in_child(hold)
    os.read(read, 1)
    with pytest.raises(LockedError, match=f"pid {child} "):
        WriterLock(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    WriterLock(tmp_path).release()
    os.close(read)
    os.close(write)


def test_a_forked_child_neither_keeps_nor_frees_its_parents_lock(tmp_path):
    """A data loader's workers are forked while a bank is open, and may outlive or precede its closing."""
    lock = WriterLock(tmp_path)
    child = in_child(lock.release)
    os.waitpid(child, 0)
    with pytest.raises(LockedError):
        WriterLock(tmp_path)
    child = in_child(lambda: time.sleep(60))
    lock.release()
    WriterLock(tmp_path).release()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_place_that_cannot_be_locked_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="nowhere: cannot be locked for writing"):
        WriterLock(tmp_path / "nowhere")
    (tmp_path / "target").write_bytes(b"mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "target")
    with pytest.raises(ArtifactError, match="cannot be locked for writing"):
        WriterLock(tmp_path)
    assert (tmp_path / "target").read_bytes() == b"mine"
