"""What a visitor sees when something cannot be done: what, where and what to do; never a traceback."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from sememe.errors import SememeError
from sememe.web.rendering import Renderer

_TITLES = {400: "That cannot be done", 401: "A token is needed", 403: "Refused", 404: "Not found"}


class FailurePages:
    """Makes error responses: a page, or JSON under `/api/`."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def page(
        self,
        path: str,
        status: int,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        kind: str = "http",
    ) -> Response:
        """A response with this status."""
        if path.startswith("/api/"):
            error = {"kind": kind, "message": message, "where": where, "hint": hint}
            return JSONResponse({"error": error}, status)
        title = _TITLES.get(status, HTTPStatus(status).phrase)
        sentence = message[:1].upper() + message[1:]
        return self._renderer.page("error.html", status, title=title, message=sentence, where=where, hint=hint)

    def of(self, path: str, error: SememeError) -> Response:
        """A response for an error that a visitor can cause: status 400."""
        return self.page(path, 400, error.message, where=error.where, hint=error.hint, kind=error.kind)
