"""What each stage of a search did: how many rows left it, what it read, how long it took."""

from __future__ import annotations

import time
from typing import NamedTuple


class StageReport(NamedTuple):
    """One stage of one search.

    Attributes:
        stage: `encode`, the name of the first stage (such as `binary`), `fine`, `lexical`, `fuse`, `rerank`, ...
        candidates: how many rows or documents it handed on.
        bytes_read: the bytes of vectors and codes that it went through.
        ms: its wall time in milliseconds; for a batch, its share of the batch.

    """

    stage: str
    candidates: int
    bytes_read: int
    ms: float


class Clock:
    """Milliseconds since it was made or last read."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """The milliseconds since the last call."""
        now = time.perf_counter()
        passed, self._last = 1000 * (now - self._last), now
        return passed
