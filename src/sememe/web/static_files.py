"""The files of the page itself: held in memory by name, so that no request can name a path."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.responses import Response

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


class StaticFiles:
    """Everything in the package's `static` folder, which is flat; read once."""

    def __init__(self) -> None:
        folder = files("sememe.web").joinpath("static")
        self._files = {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}
        self._tags = {name: f'"{hashlib.sha256(data).hexdigest()[:20]}"' for name, data in self._files.items()}

    def response(self, name: str, known_tag: str | None) -> Response | None:
        """The file, 304 when the visitor has it already, or None when there is none of that name."""
        if name not in self._files:
            return None
        kind = "." + name.rpartition(".")[2]
        # Fonts never change under their names; the rest is asked for again, and answered with 304.
        caching = "public, max-age=604800" if kind == ".woff2" else "no-cache"
        headers = {"etag": self._tags[name], "cache-control": caching}
        if known_tag == self._tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(self._files[name], media_type=_TYPES[kind], headers=headers)
