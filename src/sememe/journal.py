"""Append-only files that are committed together by one line of a journal.

A folder holds data files and `journal.jsonl`. A writer appends to the data files, then commits: it fsyncs them
and appends one line that says how long each file is now, the checksum of all its bytes up to there, and a
payload. That line is the commit point. Bytes behind the last commit were never acknowledged: readers ignore them
and the next writer cuts them off. So a kill at any moment leaves the state before or after a commit, never
between, and a reader that opened earlier goes on seeing its own whole version.

A journal line is `CRC32 LENGTH JSON`: the checksum and the length are fixed-width hexadecimal. A line that a
kill cut short is shorter than it says and lacks its newline; a line that is whole but does not match its
checksum was damaged later, and is reported as such instead of being dropped. (Zero bytes at the very end are
also a cut: some file systems leave them after a power failure.)
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
    """One acknowledged step: where each file ended, the checksum of its bytes up to there, and the payload."""

    ends: Mapping[str, int]
    checksums: Mapping[str, int]
    payload: Mapping[str, Any]


class Journal:
    """A folder of append-only files with one commit log.

    Open it with `create` or `open`. Reading needs no lock; writing takes the folder's writer lock.
    """

    def __init__(self, folder: Path, lock: WriterLock | None) -> None:
        self.folder = folder
        self.commits: list[Commit] = []
        self._lock = lock
        self._streams: dict[str, BinaryIO] = {}
        self._pending: dict[str, tuple[int, int]] = {}  # file -> its end and checksum with what was appended
        try:
            self.commits, self._bytes = _replay(folder / JOURNAL)
            self._check_lengths()
            if lock is not None:
                self._cut_uncommitted()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, folder: str | Path, files: Iterable[str], header: Mapping[str, Any]) -> Journal:
        """Make a new journal with empty data files; `header` is the payload of its first commit.

        Raises:
            ArtifactError: there is a journal already, or a file that is not ours stands in the way.
            LockedError: another process is creating it.

        """
        folder = Path(folder)
        disk.make_folder(folder)
        lock = WriterLock(folder)
        try:
            if (folder / JOURNAL).exists():
                raise ArtifactError("already exists", where=str(folder), hint="Choose another path, or delete it first")
            names = list(files)
            for name in names:
                if (folder / name).exists() and (folder / name).stat().st_size:
                    raise ArtifactError("is in the way", where=str(folder / name), hint="Choose another path")
                disk.write_file(folder / name, b"")
            disk.write_file(folder / JOURNAL, _line(dict.fromkeys(names, 0), dict.fromkeys(names, 0), header))
        except BaseException:
            lock.release()
            raise
        return cls(folder, lock)

    @classmethod
    def open(cls, folder: str | Path, *, writable: bool = False) -> Journal:
        """Open an existing journal.

        Raises:
            ArtifactError: it is missing or damaged; the message names the file and the place.
            LockedError: `writable`, and another process is writing.

        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ArtifactError("is not a folder" if folder.exists() else "does not exist", where=str(folder))
        if not (folder / JOURNAL).is_file():
            raise ArtifactError(f"has no {JOURNAL}", where=str(folder), hint="Check the path")
        return cls(folder, WriterLock(folder) if writable else None)

    def refresh(self) -> bool:
        """See what a writer has committed since this was opened; return whether there was something.

        Raises:
            ArtifactError: the folder was replaced by another one, or damaged.

        """
        if self._lock is not None:
            return False  # the only writer has seen everything
        commits, length = _replay(self.folder / JOURNAL)
        if commits[: len(self.commits)] != self.commits:
            raise ArtifactError("was replaced since it was opened", where=str(self.folder), hint="Open it again")
        is_new = len(commits) > len(self.commits)
        self.commits, self._bytes = commits, length
        self._check_lengths()
        return is_new

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
        """Write behind the end of `file`. Nobody sees it before `commit`; if it fails, nothing was appended.

        Raises:
            ArtifactError: the disk is full or failing, or this was opened for reading.

        """
        self.require_writer()
        end, checksum = self._pending.get(file) or (self.length(file), self.commits[-1].checksums[file])
        with disk.reported(self.path(file)):
            self._write_at(file, end, data)
        self._pending[file] = end + memoryview(data).nbytes, zlib.crc32(data, checksum)

    def _write_at(self, file: str, end: int, data: disk.Buffer) -> None:
        if file not in self._streams:
            self._streams[file] = open(self.path(file), "r+b", buffering=0)  # noqa: SIM115 - `close` closes it
        # Not where the last write stopped: a write that failed may have stopped anywhere.
        self._streams[file].seek(end)
        disk.write(self._streams[file], data)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """If the block fails, forget what was appended in it, but keep what was appended before."""
        before = dict(self._pending)
        try:
            yield
        except BaseException:
            self._pending = before
            raise

    def commit(self, payload: Mapping[str, Any]) -> None:
        """Make everything appended since the last commit durable and visible, with `payload`.

        If it fails, everything since the last commit is rolled back. It must be appended again before the next
        attempt: once fsync has failed, a second fsync of the same bytes proves nothing.

        Raises:
            ArtifactError: the disk is full or failing, or this was opened for reading.

        """
        self.require_writer()
        last = self.commits[-1]
        ends = {name: self._pending[name][0] if name in self._pending else end for name, end in last.ends.items()}
        checksums = {
            name: self._pending[name][1] if name in self._pending else checksum
            for name, checksum in last.checksums.items()
        }
        line = _line(ends, checksums, payload)
        pending, self._pending = self._pending, {}
        with disk.reported(self.folder):
            for name in pending:
                disk.fsync(self._streams[name])
            self._append_line(line, Commit(ends, checksums, payload))

    def rollback(self) -> None:
        """Forget what was appended since the last commit."""
        self._pending = {}

    def verify(self, files: Iterable[str] | None = None) -> None:
        """Read the data files and compare every commit's checksum.

        Raises:
            ArtifactError: a file was damaged; the message gives its name and the byte range.

        """
        for name in files if files is not None else self.commits[0].ends:
            start = checksum = 0
            with open(self.path(name), "rb") as stream:
                for commit in self.commits:
                    end = commit.ends[name]
                    checksum = _checksum(stream, end - start, checksum)
                    if checksum != commit.checksums[name]:
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
            self._lock = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def require_writer(self) -> None:
        """Refuse to go on without the writer's lock.

        Raises:
            ArtifactError: it is closed, or was opened for reading.

        """
        if self._lock is None:
            raise ArtifactError(
                "is closed, or was opened for reading", where=str(self.folder), hint="Open it with writable=True"
            )

    def _append_line(self, line: bytes, commit: Commit) -> None:
        with open(self.folder / JOURNAL, "r+b", buffering=0) as stream:
            valid, n_commits = self._bytes, len(self.commits)
            stream.seek(valid)
            try:
                disk.write(stream, line)
                disk.fsync(stream)
                self.commits.append(commit)
                self._bytes += len(line)
            except BaseException:
                del self.commits[n_commits:]
                self._bytes = valid
                self._withdraw_line(stream)
                raise

    def _withdraw_line(self, stream: BinaryIO) -> None:
        """Take back a line that is not, or perhaps not, on disk, before anything is written behind it."""
        try:
            stream.truncate(self._bytes)
            os.fsync(stream.fileno())
        except BaseException:
            self.close()  # what the journal holds is unknown until it is opened, and so replayed, again
            raise

    def _check_lengths(self) -> None:
        for name, end in self.commits[-1].ends.items():
            if not self.path(name).is_file():
                raise ArtifactError("is missing", where=str(self.path(name)), hint="Restore it from a copy")
            size = self.path(name).stat().st_size
            if size < end:
                raise ArtifactError(
                    f"ends at byte {size}, but {end} bytes were committed",
                    where=str(self.path(name)),
                    hint="It was truncated: restore it from a copy, or build it again",
                )

    def _cut_uncommitted(self) -> None:
        disk.remove_leftovers(self.folder)
        for name, end in [*self.commits[-1].ends.items(), (JOURNAL, self._bytes)]:
            if self.path(name).is_symlink():  # such as a download cache's: other folders share the file
                raise ArtifactError("is a link, so it is not written to", where=str(self.path(name)))
            if self.path(name).stat().st_size > end:
                os.truncate(self.path(name), end)


def _replay(path: Path) -> tuple[list[Commit], int]:
    """The commits in a journal, and the byte behind the last one."""
    commits: list[Commit] = []
    valid = 0
    for number, line in enumerate(_lines(disk.read_file(path)), start=1):
        commit = _parse(line)
        if commit is None and _was_cut_short(line):
            break
        if commit is None or not _follows(commit, commits):
            raise ArtifactError(
                f"line {number} (byte {valid}) is damaged",
                where=str(path),
                hint="Restore it from a copy, or build it again",
            )
        commits.append(commit)
        valid += len(line)
    if not commits:
        raise ArtifactError("holds no whole commit: it was cut short while being created", where=str(path))
    return commits, valid


def _follows(commit: Commit, commits: list[Commit]) -> bool:
    """Whether a commit fits behind the others. It also keeps a forged journal from naming files elsewhere."""
    if commits:
        last = commits[-1].ends
        return commit.ends.keys() == last.keys() and all(end >= last[name] for name, end in commit.ends.items())
    return all(name == Path(name).name and name not in ("", "..", JOURNAL) for name in commit.ends) and not any(
        commit.ends.values()
    )


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
    body = line[_PREFIX:-1]
    if not line.endswith(b"\n") or line[:_PREFIX] != b"%08x %08x " % (zlib.crc32(body), len(body)):
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
    written = line.rstrip(b"\0")
    if len(written) < _PREFIX:
        return True
    try:
        missing = int(written[9:17], 16) - (len(written) - _PREFIX)
    except ValueError:
        return False
    # Only the newline is missing: it was cut off; but a zero byte in its place is damage to a whole line.
    return missing > 0 or (missing == 0 and written == line)


def _checksum(stream: BinaryIO, length: int, checksum: int) -> int:
    while length > 0:
        chunk = stream.read(min(_CHUNK, length))
        if not chunk:
            return -1
        checksum = zlib.crc32(chunk, checksum)
        length -= len(chunk)
    return checksum
