"""One writer a folder: a second one is refused at once and told who holds it."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from sememe.errors import ArtifactError, LockedError


class WriterLock:
    """An exclusive advisory lock on a folder. The system releases it when the process dies.

    Raises:
        LockedError: another process, named by pid and host, is writing to the folder.
        ArtifactError: the folder is write-protected, full, or on a file system without locks.

    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".lock"
        self._process = os.getpid()
        self._descriptor = -1
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"pid {self._process} on {socket.gethostname()}".encode())
        except BlockingIOError:
            holder = os.read(self._descriptor, 200).decode("utf-8", "replace").strip() or "an unknown process"
            self.release()
            raise LockedError(
                f"is being written by {holder}",
                where=str(folder),
                hint="Wait until it has finished, or stop it, then run this again",
            ) from None
        except OSError as error:
            self.release()
            raise ArtifactError(f"cannot be locked for writing ({error.strerror})", where=str(folder)) from error

    def release(self) -> None:
        """Let another writer in. Releasing twice does nothing."""
        if self._descriptor < 0:
            return
        if os.getpid() == self._process:
            # Closing is not enough: a forked child, such as a data loader's, still has the descriptor open.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = -1
