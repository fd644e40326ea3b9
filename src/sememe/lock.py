"""One writer a folder: a second one is refused at once and told who holds it."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from sememe.errors import LockedError


class WriterLock:
    """An exclusive advisory lock on a folder. The system releases it when the process dies.

    Raises:
        LockedError: another process, named by pid and host, is writing to the folder.

    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".lock"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 200).decode("utf-8", "replace").strip() or "an unknown process"
            os.close(self._descriptor)
            raise LockedError(
                f"is being written by {holder}",
                where=str(folder),
                hint="Wait until it has finished, or stop it, then run this again",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode())

    def release(self) -> None:
        """Let another writer in. Releasing twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
