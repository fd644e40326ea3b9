"""Titles and abstracts as HTML: TeX through an allow-list, everything else escaped."""

from __future__ import annotations

from markupsafe import Markup, escape

from sememe.papers.tex import Node, Piece, pieces

_ELEMENTS = frozenset(
    {
        *("math", "mrow", "mi", "mn", "mo", "mtext", "msub", "msup", "msubsup", "mfrac", "msqrt", "mroot", "mover"),
        *("em", "strong", "code", "span"),
    }
)


def rendered(text: str) -> Markup:
    """A text of a paper: its formulas as MathML, its letters escaped."""
    return Markup("").join(_written(piece) for piece in pieces(text))


def _written(piece: Piece) -> Markup:
    if not isinstance(piece, Node):
        return escape(piece)
    if piece.tag not in _ELEMENTS:
        raise ValueError(f"no element that may be written: {piece.tag}")
    inner = Markup("").join(_written(child) for child in piece.children)
    return Markup("<{0}>{1}</{0}>").format(Markup(piece.tag), inner)  # noqa: S704  (one of ours, checked above)
