"""Turning templates into pages, and how numbers are written in them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response


class Renderer:
    """The templates of the page; everything that they show is escaped.

    Args:
        shared: what every template may use: facts about the collection.
    """

    def __init__(self, **shared: Any) -> None:
        self._templates = Environment(
            loader=PackageLoader("sememe.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            signed=signed,
            number=number,
            percent=percent,
            size=size,
            plain=plain,
            figure=figure,
            url=atom_url,
            document_url=document_url,
        )
        self._templates.globals.update(shared)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A response with the rendered template."""
        return HTMLResponse(self._templates.get_template(template).render(**values), status)


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, and a real minus: +0.031, −0.004."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def plain(value: float, decimals: int = 3) -> str:
    """A number with a real minus."""
    return f"{value:.{decimals}f}".replace("-", "−")


def figure(value: float) -> str:
    """A number with three significant digits and a real minus: 2.31, −0.0004, 2e−05."""
    return f"{value:.3g}".replace("-", "−")


def number(value: int) -> str:
    """A count with separators: 8,226."""
    return f"{value:,}"


def percent(share: float) -> str:
    """A share with two significant digits or more: 0.034%, 1.2%, 37%."""
    value = 100 * share
    if value == 0:
        return "0%"
    if value < 0.01:
        return "< 0.01%"
    return f"{value:.2f}%" if value < 1 else f"{value:.1f}%" if value < 10 else f"{value:.0f}%"


def size(n_bytes: float) -> str:
    """A number of bytes: 12.6 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if unit == "bytes" or n_bytes >= 100 else f"{n_bytes:.1f} {unit}"


def atom_url(atom: int) -> str:
    """The address of an atom's page."""
    return f"/atom/{atom}"


def document_url(document_id: str, **parameters: Any) -> str:
    """The address of a document's page; every character of the id is kept, slashes too."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"/document/{quote(document_id, safe='')}" + (f"?{urlencode(given)}" if given else "")
