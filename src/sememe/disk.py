"""Writing that survives a kill: every byte that the product writes to keep goes through here.

The functions are thin on purpose. Tests replace `write`, `fsync` and `replace` to fail at every single write
point, so library code must call `disk.write(...)`, never a bound copy of it.
"""

from __future__ import annotations

import errno
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


def cache_folder() -> Path:
    """Where what can be made again is kept: the folder in `SEMEME_CACHE`, or `~/.cache/sememe`."""
    return Path(os.environ.get("SEMEME_CACHE") or Path.home() / ".cache" / "sememe")


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
    with reported(path), _temporary_sibling(path) as temporary:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                with open(file, "rb+") as stream:
                    fsync(stream)
            elif file.is_dir():
                sync_folder(file)
        sync_folder(temporary)
        _swap(temporary, path)


@contextmanager
def _temporary_sibling(path: Path) -> Iterator[Path]:
    _remove_abandoned(path)
    while True:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        with _held(temporary) as stands:
            if not stands:
                continue  # another writer's `_remove_abandoned` was faster than our hold
            temporary.chmod(0o755)
            try:
                yield temporary
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            return


def _swap(new: Path, path: Path) -> None:
    while True:
        try:
            recover(path)  # waits for another writer who is between the two renames
            return _swap_once(new, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Another writer put a folder there in the meantime: ours comes later and replaces it.


def _swap_once(new: Path, path: Path) -> None:
    with _held(path) as stands:
        if not stands:
            replace(new, path)
            return
        previous = _previous(path)
        try:
            replace(path, previous)
            replace(new, path)
        except BaseException:
            if not path.exists():  # else nothing was moved yet, or a new one stands
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


def standing(path: Path) -> tuple[int, int] | None:
    """Which folder now stands at `path`; a replacement that is going on is waited for, an interrupted one recovered.

    Read, and compare before and after: if it changed, another process replaced the folder while it was read.
    """
    recover(path)
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_ctime_ns


@contextmanager
def _held(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a folder, under whatever name, against other processes; False: there is none, or (no `wait`) it is held.

    The system lets go of it when the process dies, so nobody takes a dead writer's folder for a living one's.
    """
    descriptor = _hold(folder, wait)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _hold(folder: Path, wait: bool) -> int | None:
    while True:
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_at(descriptor, folder):
            return descriptor
        os.close(descriptor)  # it was moved or deleted while we waited


def _is_at(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _remove_abandoned(path: Path) -> None:
    """Delete the temporary folders that killed writers of `path` left beside it."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if leftover.is_dir():
            _remove_if_abandoned(leftover)


def _remove_if_abandoned(temporary: Path) -> bool:
    with _held(temporary, wait=False) as is_ours:
        if is_ours:
            shutil.rmtree(temporary)
        return is_ours


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def remove_leftovers(folder: Path) -> list[str]:
    """Delete temporary files that a killed writer left in `folder`; return their names.

    Call it only while holding the folder's writer lock.
    """
    removed = []
    for leftover in sorted(folder.glob(".*.tmp")):
        if not leftover.is_dir():
            leftover.unlink()
        elif not _remove_if_abandoned(leftover):
            continue
        removed.append(leftover.name)
    return removed


def read_file(path: Path, limit: int = -1) -> bytes:
    """Read a whole file, or its first `limit` bytes.

    Raises:
        ArtifactError: it does not exist or cannot be read.

    """
    try:
        with open(path, "rb") as stream:
            return stream.read(limit)
    except OSError as error:
        raise ArtifactError(f"cannot be read ({error.strerror})", where=str(path)) from error
