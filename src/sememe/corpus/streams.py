"""Opening text: gzip, byte order marks and encodings, line by line, within fixed memory."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sememe.corpus.entries import BadRecordError
from sememe.errors import InputError

MAX_RECORD_BYTES = 32 << 20
_BUFFER = 1 << 17
_GZIP = b"\x1f\x8b"
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def open_utf8(path: Path, label: str, encoding: str = "utf-8") -> Iterator[io.BufferedReader]:
    """The bytes of a text file: decompressed, as UTF-8, without a byte order mark.

    UTF-8 itself is passed through unchecked, so that one bad line does not spoil the others.

    Raises:
        InputError: the file cannot be opened, is damaged, or is not in `encoding`; also from within the block.
    """
    used = encoding
    try:
        with open_decompressed(path, label) as stream:
            head = stream.peek(4)
            used = next((name for mark, name in _MARKS if head.startswith(mark)), encoding)
            if codecs.lookup(used).name not in ("utf-8", "utf-8-sig"):
                yield io.BufferedReader(_Transcoded(stream, used), _BUFFER)
            else:
                if head.startswith(codecs.BOM_UTF8):
                    stream.read(len(codecs.BOM_UTF8))
                yield stream
    except UnicodeError as error:
        raise InputError(f"is not in the encoding {used} ({error})", where=label, hint="Save it as UTF-8") from None


@contextmanager
def open_decompressed(path: Path, label: str) -> Iterator[io.BufferedReader]:
    """A file's bytes; those of a gzip file, whatever its name, decompressed.

    Raises:
        InputError: the file cannot be opened or is damaged; also from within the block.
    """
    try:
        with open(path, "rb") as raw:
            if raw.peek(2).startswith(_GZIP):
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield io.BufferedReader(unpacked, _BUFFER)
            elif path.name.lower().endswith(".gz") and raw.peek(1):
                raise gzip.BadGzipFile("it does not begin as a gzip file does")
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"is damaged: its compressed data cannot be read to the end ({error})",
            where=label,
            hint="Copy or download the file again",
        ) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=label, hint="Check the file") from None


class Lines:
    """The lines of a UTF-8 stream, without their ends, counted in `number`.

    A line that is too long, not UTF-8 or holds a NUL raises `BadRecordError`; the next call goes on behind it.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self.number = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(MAX_RECORD_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_RECORD_BYTES:
            while line and not line.endswith(b"\n"):
                line = self._stream.readline(_BUFFER)
            raise too_long("is a line", "Give long documents as several records")
        return decode(line)


def read_text(path: Path, label: str, encoding: str = "utf-8") -> str:
    """A whole text file.

    Raises:
        BadRecordError: it is too long, not UTF-8 or holds a NUL.
        InputError: see `open_utf8`.
    """
    with open_utf8(path, label, encoding) as stream:
        data = stream.read(MAX_RECORD_BYTES + 1)
    if len(data) > MAX_RECORD_BYTES:
        raise too_long("is one document", "Split it, or give it as JSONL with a record for each part")
    return decode(data)


def decode(data: bytes) -> str:
    """UTF-8 to text, refusing NUL bytes: with them the data are binary, or UTF-16 without a mark."""
    if b"\0" in data:
        raise BadRecordError(
            "holds a NUL byte: it is binary, or UTF-16 without a byte order mark", "Save the file as UTF-8"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        place = f"byte {column}" if line == 1 else f"line {line}, byte {column}"
        raise BadRecordError(
            f"is not valid UTF-8 (0x{data[error.start]:02x} at {place})",
            "Save the file as UTF-8, or name its encoding with --encoding",
        ) from None


def too_long(subject: str, hint: str) -> BadRecordError:
    """The error about a record that would fill the memory."""
    return BadRecordError(f"{subject} of more than {MAX_RECORD_BYTES >> 20} MiB", hint)


class _Transcoded(io.RawIOBase):
    """Another encoding's stream as UTF-8."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            chunk = self._stream.read1(_BUFFER)
            self._ended = not chunk
            self._ready = self._decoder.decode(chunk, final=self._ended).encode()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
