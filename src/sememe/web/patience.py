"""A connection that has not sent a whole request in time is closed; uvicorn itself would wait for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 15.0


class PatientProtocol(H11Protocol):  # type: ignore[misc]
    """HTTP/1.1 that gives a request line and its headers a limited time to arrive.

    Once in every period a connection on which nothing is being answered, and nothing has been since the last look,
    is closed.
    """

    header_seconds = HEADER_SECONDS

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._last_seen: object = None
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look_later(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(self.header_seconds, self._look)

    def _look(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and self._last_seen is self.cycle:
            self.transport.close()
            return
        self._last_seen = self.cycle
        self._look_later()
