"""Append-only files that are committed together by one line of a journal.

A folder holds data files and `journal.jsonl`. A writer appends to the data files, then commits: it fsyncs them
and appends one line that says how long each file is now, the checksum of what was added, and a payload. That
line is the commit point. Bytes behind the last commit were never acknowledged: readers ignore them and the next
writer cuts them off. So a kill at any moment leaves the state before or after a commit, never between, and a
reader that opened earlier goes on seeing its own whole version.

A journal line is `CRC32 LENGTH JSON`: the checksum and the length are fixed-width hexadecimal. A line that a
kill cut short is shorter than it says and lacks its newline; a line that is whole but does not match its
checksum was damaged later, and is reported as such instead of being dropped.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from sememe import disk
from sememe.errors import ArtifactError
from sememe.lock import WriterLock

JOURNAL = "journal.jsonl"
_PREFIX = 18  # "xxxxxxxx xxxxxxxx "
_CHUNK = 8 << 20


@dataclass(frozen=True)
class Commit:
    """One acknowledged step: where each file ended, the checksum of what was added, and the payload."""

    ends: Mapping[str, int]
    checksums: Mapping[str, int]
    payload: Mapping[str, Any]


class Journal:
    """A folder of append-only files with one commit log.

    Open it with `create` or `open`. Reading needs no lock; writing takes the folder's writer lock.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self.folder = folder
        self.commits: list[Commit] = []
        self._lock = WriterLock(folder) if writable else None
        self._streams: dict[str, BinaryIO] = {}
        self._pending: dict[str, int] = {}
        try:
            valid_bytes = self._replay()
            self._check_lengths()
            if writable:
                self._cut_uncommitted(valid_bytes)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, folder: str | Path, files: Iterable[str], header: Mapping[str, Any]) -> Journal:
        """Make a new journal with empty data files; `header` is the payload of its first commit.

        Raises:
            ArtifactError: there is a journal already.

        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / JOURNAL).exists():
            raise ArtifactError("already exists", where=str(folder), hint="Choose another path, or delete it first")
        names = list(files)
        for name in names:
            disk.write_file(folder / name, b"")
        disk.write_file(folder / JOURNAL, _line(dict.fromkeys(names, 0), dict.fromkeys(names, 0), header))
        disk.sync_folder(folder.parent)
        return cls(folder, writable=True)

    @classmethod
    def open(cls, folder: str | Path, *, writable: bool = False) -> Journal:
        """Open an existing journal.

        Raises:
            ArtifactError: it is missing or damaged; the message names the file and the place.
            LockedError: `writable`, and another process is writing.

        """
        folder = Path(folder)
        if not (folder / JOURNAL).is_file():
            raise ArtifactError(f"has no {JOURNAL}", where=str(folder), hint="Check the path")
        return cls(folder, writable=writable)

    @property
    def header(self) -> Mapping[str, Any]:
        """The payload given to `create`."""
        return self.commits[0].payload

    def length(self, file: str) -> int:
        """How many bytes of `file` are committed."""
        return self.commits[-1].ends[file]

    def path(self, file: str) -> Path:
        """Where `file` lies."""
        return self.folder / file

    def append(self, file: str, data: disk.Buffer) -> None:
        """Write behind the end of `file`. Nobody sees it before `commit`."""
        self._require_writer()
        if file not in self._streams:
            stream = open(self.path(file), "r+b", buffering=0)
            stream.seek(self.length(file))
            self._streams[file] = stream
        disk.write(self._streams[file], data)
        self._pending[file] = zlib.crc32(data, self._pending.get(file, 0))

    def commit(self, payload: Mapping[str, Any]) -> None:
        """Make everything appended since the last commit durable and visible, with `payload`."""
        self._require_writer()
        last = self.commits[-1]
        ends = {name: self._streams[name].tell() if name in self._pending else end for name, end in last.ends.items()}
        checksums = {name: self._pending.get(name, 0) for name in ends}
        for name in self._pending:
            disk.fsync(self._streams[name])
        with open(self.folder / JOURNAL, "ab", buffering=0) as stream:
            length = stream.tell()
            try:
                disk.write(stream, _line(ends, checksums, payload))
                disk.fsync(stream)
            except BaseException:
                stream.truncate(length)  # a line that may not be durable must not outlive the data it speaks of
                raise
        self.commits.append(Commit(ends, checksums, payload))
        self._pending = {}

    def rollback(self) -> None:
        """Forget what was appended since the last commit."""
        for name, stream in self._streams.items():  # not only the pending: a failed write may have left a part
            stream.truncate(self.length(name))
            stream.seek(self.length(name))
        self._pending = {}

    def verify(self, files: Iterable[str] | None = None) -> None:
        """Read the data files and compare every commit's checksum.

        Raises:
            ArtifactError: a file was damaged; the message gives its name and the byte range.

        """
        for name in files if files is not None else self.commits[0].ends:
            start = 0
            with open(self.path(name), "rb") as stream:
                for commit in self.commits:
                    end = commit.ends[name]
                    if _checksum(stream, end - start) != commit.checksums[name]:
                        raise ArtifactError(
                            f"is damaged between bytes {start} and {end}",
                            where=str(self.path(name)),
                            hint="Restore it from a copy, or build it again",
                        )
                    start = end

    def close(self) -> None:
        """Close the files and let another writer in; what was not committed is lost."""
        for stream in self._streams.values():
            stream.close()
        self._streams = {}
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_writer(self) -> None:
        if self._lock is None:
            raise ArtifactError("was opened for reading", where=str(self.folder), hint="Open it with writable=True")

    def _replay(self) -> int:
        path = self.folder / JOURNAL
        valid = 0
        for number, line in enumerate(_lines(disk.read_file(path)), start=1):
            commit = _parse(line)
            if commit is None:
                if _was_cut_short(line):
                    break
                raise ArtifactError(f"line {number} (byte {valid}) is damaged", where=str(path))
            self.commits.append(commit)
            valid += len(line)
        if not self.commits:
            raise ArtifactError("holds no whole commit: it was cut short while being created", where=str(path))
        return valid

    def _check_lengths(self) -> None:
        for name, end in self.commits[-1].ends.items():
            size = self.path(name).stat().st_size if self.path(name).exists() else 0
            if size < end:
                raise ArtifactError(
                    f"ends at byte {size}, but {end} bytes were committed",
                    where=str(self.path(name)),
                    hint="It was truncated: restore it from a copy, or build it again",
                )

    def _cut_uncommitted(self, valid_bytes: int) -> None:
        disk.remove_leftovers(self.folder)
        for name, end in [*self.commits[-1].ends.items(), (JOURNAL, valid_bytes)]:
            if self.path(name).stat().st_size > end:
                os.truncate(self.path(name), end)
        journal = self.folder / JOURNAL
        if not journal.read_bytes().endswith(b"\n"):
            with open(journal, "ab", buffering=0) as stream:
                disk.write(stream, b"\n")
                disk.fsync(stream)


def _line(ends: Mapping[str, int], checksums: Mapping[str, int], payload: Mapping[str, Any]) -> bytes:
    record = {"files": {name: [ends[name], checksums[name]] for name in ends}, "payload": payload}
    body = json.dumps(record, separators=(",", ":"), sort_keys=True, allow_nan=False).encode("ascii")
    return b"%08x %08x %b\n" % (zlib.crc32(body), len(body), body)


def _lines(data: bytes) -> Iterator[bytes]:
    # Not splitlines: a byte damaged into a carriage return must not look like the end of a line.
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def _parse(line: bytes) -> Commit | None:
    body = line[_PREFIX:-1] if line.endswith(b"\n") else line[_PREFIX:]
    if line[:_PREFIX] != b"%08x %08x " % (zlib.crc32(body), len(body)):
        return None
    try:
        record = json.loads(body)
        ends = {name: int(end) for name, (end, _) in record["files"].items()}
        checksums = {name: int(checksum) for name, (_, checksum) in record["files"].items()}
        return Commit(ends, checksums, dict(record["payload"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # a line with a good checksum that we did not write


def _was_cut_short(line: bytes) -> bool:
    if line.endswith(b"\n"):
        return False
    if len(line) < _PREFIX:
        return True
    try:
        return len(line) - _PREFIX < int(line[9:17], 16)
    except ValueError:
        return False


def _checksum(stream: BinaryIO, length: int) -> int:
    checksum = 0
    while length > 0:
        chunk = stream.read(min(_CHUNK, length))
        if not chunk:
            return -1
        checksum = zlib.crc32(chunk, checksum)
        length -= len(chunk)
    return checksum
