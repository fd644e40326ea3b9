"""Writing that survives a kill: every byte that the product writes to keep goes through here.

The functions are thin on purpose. Tests replace `write`, `fsync` and `replace` to fail at every single write
point, so library code must call `disk.write(...)`, never a bound copy of it.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sememe.errors import ArtifactError

Buffer = bytes | bytearray | memoryview


def write(stream: BinaryIO, data: Buffer) -> None:
    """Write all of `data`; the system may take it in pieces (Linux takes at most 2 GiB at once)."""
    view = memoryview(data).cast("B")
    while len(view):
        written = stream.write(view)
        if not written:
            raise OSError(f"short write: {len(view)} bytes were left")
        view = view[written:]


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn what the system says when it cannot write into an error that names `path`.

    Raises:
        ArtifactError: the disk is full, failing or write-protected.
    """
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"cannot be written ({error.strerror or error})",
            where=str(path),
            hint="Check the free space and the permissions, then run this again",
        ) from error


def fsync(stream: BinaryIO) -> None:
    """Flush `stream` and wait until the disk has it."""
    stream.flush()
    os.fsync(stream.fileno())


def replace(source: Path, target: Path) -> None:
    """Rename `source` to `target` and make the rename itself durable."""
    os.replace(source, target)
    sync_folder(target.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, durably.

    Raises:
        ArtifactError: a file is in the way, or the place is write-protected.
    """
    path = Path(os.path.abspath(path))
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Choose another path"
        raise ArtifactError(f"cannot be made ({error.strerror})", where=str(path), hint=hint) from error
    for folder in missing:
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: Buffer) -> None:
    """Write a whole file atomically: a temporary sibling, fsync, rename.

    Raises:
        ArtifactError: it cannot be written; an older file at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with reported(path), open(temporary, "wb") as stream:
            write(stream, data)
            fsync(stream)
            replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a temporary sibling folder, then put it in the place of `path` in one step.

    An older folder at `path` is kept as `.NAME.previous` until the new one stands; `recover` puts it back
    if a kill fell between the two renames.

    Raises:
        ArtifactError: `path` is a file, or the folder cannot be written; an older folder at `path` then stays.
    """
    path = Path(os.path.abspath(path))
    make_folder(path.parent)
    recover(path)
    if path.exists() and not path.is_dir():
        raise ArtifactError("is a file, not a folder", where=str(path), hint="Choose another path")
    with reported(path):
        _remove_abandoned(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        with reported(path), _held(temporary):
            temporary.chmod(0o755)
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with open(file, "rb+") as stream:
                        fsync(stream)
                elif file.is_dir():
                    sync_folder(file)
            sync_folder(temporary)
            _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    with _held(path) as stands:
        if not stands:
            replace(new, path)
            return
        previous = _previous(path)
        replace(path, previous)
        try:
            replace(new, path)
        except BaseException:
            if not path.exists():  # else the new one stands, and only making that durable failed
                os.replace(previous, path)
            raise
        shutil.rmtree(previous, ignore_errors=True)


def recover(path: Path) -> None:
    """Finish or undo a folder replacement that a kill interrupted; wait for one that is going on."""
    previous = _previous(path)
    with _held(previous) as stands:
        if stands and path.exists():
            shutil.rmtree(previous)
        elif stands:
            os.replace(previous, path)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a folder, under whatever name, against other processes; False: there is none.

    The system lets go of it when the process dies, so nobody takes a dead writer's folder for a living one's.
    """
    while True:
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, folder):
                yield True
                return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _remove_abandoned(path: Path) -> None:
    """Delete the temporary folders that killed writers of `path` left beside it."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        descriptor = os.open(leftover, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover)
        except BlockingIOError:
            pass  # its writer is alive
        finally:
            os.close(descriptor)


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def remove_leftovers(folder: Path) -> list[str]:
    """Delete temporary files that a killed writer left in `folder`; return their names.

    Call it only while holding the folder's writer lock.
    """
    removed = []
    for leftover in sorted(folder.glob(".*.tmp")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
        removed.append(leftover.name)
    return removed


def read_file(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        ArtifactError: it does not exist or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot be read ({error.strerror})", where=str(path)) from error
