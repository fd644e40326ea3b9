"""Writing that survives a kill: every byte that the product writes to keep goes through here.

The functions are thin on purpose. Tests replace `write`, `fsync` and `replace` to fail at every single write
point, so library code must call `disk.write(...)`, never a bound copy of it.
"""

from __future__ import annotations

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
    """Write all of `data`; a short write is an error, not a smaller file."""
    view = memoryview(data).cast("B")
    written = stream.write(view)
    if written is not None and written != len(view):
        raise OSError(f"short write: {written} of {len(view)} bytes")


def fsync(stream: BinaryIO) -> None:
    """Flush `stream` and wait until the disk has it."""
    stream.flush()
    os.fsync(stream.fileno())


def replace(source: Path, target: Path) -> None:
    """Rename `source` to `target` and make the rename itself durable."""
    os.replace(source, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: Buffer) -> None:
    """Write a whole file atomically: a temporary sibling, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
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
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                with open(file, "rb+") as stream:
                    fsync(stream)
        sync_folder(temporary)
        _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    previous = _previous(path)
    if path.exists():
        replace(path, previous)
    try:
        replace(new, path)
    except OSError:
        recover(path)
        raise
    shutil.rmtree(previous, ignore_errors=True)


def recover(path: Path) -> None:
    """Finish or undo a folder replacement that a kill interrupted."""
    previous = _previous(path)
    if previous.exists():
        if path.exists():
            shutil.rmtree(previous)
        else:
            os.replace(previous, path)


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
