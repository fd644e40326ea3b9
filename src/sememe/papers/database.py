"""The SQLite file under the store: a connection a thread, transactions, migrations, and what can go wrong with them."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sememe import disk
from sememe.errors import ArtifactError, LockedError
from sememe.papers import schema

BUSY_SECONDS = 10.0
"""How long a writer waits for another one before it gives up."""

_OUR_FAULTS = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.DataError)
_RESTORE = "Restore it from a copy that `sememe papers backup` made"


class Database:
    """A store's file. Readers see the last commit and never wait; writers wait for each other.

    A commit is on disk when it returns (WAL with `synchronous=FULL`).

    Raises:
        ArtifactError: it is missing, no store, damaged, or from a newer version.

    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._closed = False
        if not path.is_file():
            if not create:
                raise ArtifactError(
                    "there is no store of papers",
                    where=str(path.parent),
                    hint="Make one with: sememe papers import FILE",
                )
            _create(path)
        with self.errors():
            self._migrate(create)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of the calling thread.

        Raises:
            ArtifactError: the store is closed.

        """
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if self._closed:
            raise ArtifactError("is closed", where=str(self.path), hint="Open it again")
        if found is None:
            found = self._connect()
            self._local.connection = found
            with self._guard:
                self._open.append(found)
        return found

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One state of the store for all reads in the block."""
        with self.errors():
            connection = self.connection
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: durable when the block ends, undone when it fails.

        Raises:
            LockedError: another process has been writing for more than `BUSY_SECONDS`.
            ArtifactError: the disk is full, failing or write-protected, or the store is damaged.

        """
        with self.errors():
            connection = self.connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def backup(self, path: Path) -> None:
        """Write a checked copy of the last commit to `path`, in one step; other processes may go on writing.

        Raises:
            ArtifactError: it cannot be written, or the store is damaged.

        """
        disk.make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with self.errors(path), disk.reported(path):
            try:
                _create(temporary)
                self._copy_to(temporary)
                with open(temporary, "rb+") as stream:
                    disk.fsync(stream)
                disk.replace(temporary, path)
            finally:
                for leftover in (temporary, *temporary.parent.glob(f"{temporary.name}-*")):
                    leftover.unlink(missing_ok=True)

    def _copy_to(self, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as copy:
            self.connection.backup(copy, pages=1024)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, which can be mailed or moved
            problem = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise ArtifactError(f"is damaged ({problem})", where=str(self.path), hint=_RESTORE)

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._guard:
            self._closed = True
            for connection in self._open:
                connection.close()
            self._open.clear()

    @contextmanager
    def errors(self, path: Path | None = None) -> Iterator[None]:
        """Turn SQLite's errors into ours, about `path` or the store's own file."""
        try:
            yield
        except _OUR_FAULTS:
            raise
        except sqlite3.Error as error:
            raise _named(error, str(path or self.path)) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # each thread has its own; `close` closes them all
        )
        try:
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA foreign_keys=ON")
            _use_wal(connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.create_function("folded", 1, folded, deterministic=True)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, create: bool) -> None:
        connection = self.connection
        if self._version(connection, create) == schema.VERSION:
            return
        with self.writing():
            # Asked again: another process may have been faster.
            for step in range(self._version(connection, create), schema.VERSION):
                for statement in schema.MIGRATIONS[step]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={schema.VERSION}")

    def _version(self, connection: sqlite3.Connection, create: bool) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if version == 0 and is_empty:
            if create:
                return 0
            hint = "Import into it again"
            raise ArtifactError("holds nothing: it was cut short while being made", where=str(self.path), hint=hint)
        if application != schema.APPLICATION_ID:
            raise ArtifactError("is another program's database", where=str(self.path), hint="Choose another folder")
        if version > schema.VERSION:
            raise ArtifactError(
                f"is a store of version {version}; this Sememe reads up to {schema.VERSION}",
                where=str(self.path),
                hint="Install a newer Sememe",
            )
        return version


def _named(error: sqlite3.Error, where: str) -> ArtifactError:
    """SQLite's error as ours."""
    # An extended code, such as SQLITE_BUSY_SNAPSHOT, has the plain one in its low byte.
    code, text = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF, str(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        hint = "Wait until it has finished, or stop it, then run this again; nothing was changed"
        return LockedError("database is locked: another process is writing to it", where=where, hint=hint)
    if code == sqlite3.SQLITE_FULL:
        hint = "Free some space, then run this again; what was imported before is kept"
        return ArtifactError("cannot be written: the disk is full", where=where, hint=hint)
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        hint = "Check the free space, the disk and the permissions, then run this again"
        return ArtifactError(f"cannot be read or written ({text})", where=where, hint=hint)
    if code == sqlite3.SQLITE_NOTADB:
        return ArtifactError("is not a store of papers, or its beginning is damaged", where=where, hint=_RESTORE)
    return ArtifactError(f"is damaged ({text})", where=where, hint=_RESTORE)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log; SQLite itself does not wait here for another process that is doing the same."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def folded(text: str) -> str:
    """`text` without case and accents, for comparing names."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in plain if not unicodedata.combining(character))


def _create(path: Path) -> None:
    """An empty file that only its owner may read: addresses of subscribers and the signing key will be in it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise ArtifactError(
            f"cannot be made ({error.strerror})", where=str(path), hint="Choose another folder"
        ) from error
