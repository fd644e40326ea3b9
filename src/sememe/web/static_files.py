"""The files of the page itself: held in memory by name, so that no request can name a path."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.responses import Response

from sememe.extras import require

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".otf": "font/otf",
}
# Fonts come from packages that the web extra installs: served name -> (package, file).
_FONTS = {
    "source-sans-regular.otf": ("font_source_sans_pro", "SourceSansPro-Regular.otf"),
    "source-sans-semibold.otf": ("font_source_sans_pro", "SourceSansPro-Semibold.otf"),
    "source-serif-regular.otf": ("font_source_serif_pro", "SourceSerifPro-Regular.otf"),
    "source-serif-semibold.otf": ("font_source_serif_pro", "SourceSerifPro-Semibold.otf"),
}


class StaticFiles:
    """Everything in the package's `static` folder, which is flat, and the fonts; read once.

    Raises:
        MissingExtraError: a package with a font is not installed.
    """

    def __init__(self) -> None:
        folder = files("sememe.web").joinpath("static")
        self._files = {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}
        for name, (package, file) in _FONTS.items():
            require(package, "web")
            self._files[name] = files(package).joinpath("files", file).read_bytes()
        self._tags = {name: f'"{hashlib.sha256(data).hexdigest()[:20]}"' for name, data in self._files.items()}

    def response(self, name: str, known_tag: str | None) -> Response | None:
        """The file, 304 when the visitor has it already, or None when there is none of that name."""
        if name not in self._files:
            return None
        kind = "." + name.rpartition(".")[2]
        # Fonts never change under their names; the rest is asked for again, and answered with 304.
        caching = "public, max-age=604800" if kind == ".otf" else "no-cache"
        headers = {"etag": self._tags[name], "cache-control": caching}
        if known_tag == self._tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(self._files[name], media_type=_TYPES[kind], headers=headers)
