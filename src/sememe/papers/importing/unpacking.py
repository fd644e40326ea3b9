"""Compressed files and archives: unpacked beside, within limits, before anything reads them.

The limits are about what really comes out, not about what the archive says of itself.
"""

from __future__ import annotations

import contextlib
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from sememe.corpus.files import printable
from sememe.corpus.streams import open_decompressed
from sememe.errors import ArtifactError, InputError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 16
_HINT = "If you trust the file, unpack it yourself and import what is in it"


@dataclass(frozen=True, slots=True)
class Limits:
    """What may come out of a file.

    Args:
        n_bytes: so much in all.
        ratio: so many times its size, once it is more than `ratio_from`.
        entries: so many files.
        ratio_from: small files may be very regular.

    """

    n_bytes: int = 1 << 30
    ratio: int = 100
    entries: int = 100_000
    ratio_from: int = 10 << 20


@contextlib.contextmanager
def unpacked(path: Path, label: str, limits: Limits = Limits()) -> Iterator[Iterator[tuple[Path, str]]]:
    """The files in a zip archive, the one in a gzip file, or the file itself; each with its name for messages.

    One at a time: the next one takes the place of the last one. Hidden files and folders are passed over.

    Raises:
        InputError: the archive is damaged, encrypted, too large, nested, or leads out of itself; also from within the
            block.

    """
    with tempfile.TemporaryDirectory(prefix="sememe-") as folder:
        target = Path(folder) / "file"
        head = _head(path, label)
        if head.startswith(_ZIP):
            yield _members(path, label, target, limits)
        elif head.startswith(_GZIP):
            yield _single(path, label, target, limits)
        else:
            yield iter([(path, label)])


def _head(path: Path, label: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(4)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=label, hint="Check the path") from None


def _single(path: Path, label: str, target: Path, limits: Limits) -> Iterator[tuple[Path, str]]:
    with open_decompressed(path, label) as stream:
        _copy(stream, target, label, _Budget(limits, path.stat().st_size))
    _refuse_nested(target, label)
    yield target, label


def _members(path: Path, label: str, target: Path, limits: Limits) -> Iterator[tuple[Path, str]]:
    budget = _Budget(limits, path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > limits.entries:
                raise InputError(f"holds {len(members):,} files; {limits.entries:,} are allowed", where=label)
            for member in members:
                place = f"{label}!{printable(member.filename)}"
                if not _is_wanted(member, place):
                    continue
                with archive.open(member) as stream:
                    _copy(stream, target, place, budget)
                _refuse_nested(target, place)
                yield target, place
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        hint = "Copy or download the file again"
        raise InputError(f"is a zip archive that cannot be read ({error})", where=label, hint=hint) from None


def _is_wanted(member: zipfile.ZipInfo, place: str) -> bool:
    parts = PurePosixPath(member.filename.replace("\\", "/")).parts
    if ".." in parts or member.filename.startswith(("/", "\\")) or any(":" in part for part in parts[:1]):
        raise InputError("has a name that leads out of the archive", where=place, hint=_HINT)
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError("is a link in an archive", where=place, hint=_HINT)
    if member.flag_bits & 1:
        raise InputError("is encrypted", where=place, hint="Unpack it yourself and import what is in it")
    return not member.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in parts)


class _Budget:
    """What may still come out."""

    def __init__(self, limits: Limits, n_packed: int) -> None:
        self._limits = limits
        self._by_ratio = max(limits.ratio_from, limits.ratio * n_packed)
        self._used = 0

    def spend(self, n_bytes: int, place: str) -> None:
        self._used += n_bytes
        if self._used > self._limits.n_bytes:
            raise InputError(f"unpacks to more than {self._limits.n_bytes >> 20} MiB", where=place, hint=_HINT)
        if self._used > self._by_ratio:
            what = f"unpacks to more than {self._limits.ratio} times its size, as an attack does"
            raise InputError(what, where=place, hint=_HINT)


def _copy(stream: IO[bytes], target: Path, place: str, budget: _Budget) -> None:
    try:
        with open(target, "wb") as file:
            while chunk := stream.read(_CHUNK):
                budget.spend(len(chunk), place)
                file.write(chunk)
    except zlib.error as error:
        raise InputError(f"is damaged: it cannot be unpacked to its end ({error})", where=place) from None
    except OSError as error:
        if error.errno is None:
            raise  # the archive's own fault, such as a checksum that does not match
        reason = f"cannot be unpacked ({error.strerror})"
        raise ArtifactError(reason, where=str(target.parent), hint="Free some space there, or set TMPDIR") from error


def _refuse_nested(target: Path, place: str) -> None:
    if _head(target, place).startswith((*_ZIP, _GZIP)):
        raise InputError("is an archive in an archive", where=place, hint=_HINT)
