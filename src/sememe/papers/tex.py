r"""The TeX in titles and abstracts, read through an allow-list into a tree that MathML or HTML is written from.

A formula with anything that is not on the list stays as it was written, as text: `$\foo{x}$`. Nothing of a paper ever
becomes a name of an element or an attribute; its letters are only ever text inside elements that are named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sememe.papers.tex_symbols import ACCENTS, ALPHABETS, FUNCTIONS, OPERATORS, SPACES, SYMBOLS, lettered

MAX_DEPTH = 24
# A dollar opens a formula unless a space follows, and closes one unless a space precedes or a digit follows: so
# that "$5 to $10" stays a text (the rule of pandoc's tex_math_dollars).
_FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<double>[^$]{1,2000}?)\$\$"
    r"|(?<![\\$])\$(?![\s$])(?P<single>(?:[^$\\]|\\.){1,2000}?)(?<!\s)\$(?![\d$])"
    r"|\\\((?P<round>.{1,2000}?)\\\)"
    r"|\\\[(?P<square>.{1,2000}?)\\\]",
    re.DOTALL,
)
_STYLED = re.compile(r"\\(emph|textit|textbf|texttt|textsc|textrm)\{([^{}\\$]{1,500})\}|\\([%&_#$])|(?<=\w)~(?=\w)")
_STYLES = {"emph": "em", "textit": "em", "textbf": "strong", "texttt": "code", "textsc": "span", "textrm": "span"}
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)


class Node(NamedTuple):
    """An element of HTML or MathML: its name, which is always one of ours, and its content."""

    tag: str
    children: tuple[Node | str, ...]


Piece = Node | str


class _NotOnTheListError(Exception):
    """A formula has something that is not rendered."""


def pieces(text: str) -> list[Piece]:
    r"""A text cut into plain strings and elements.

    `pieces(r"an $\ell_1$ norm")` is `["an ", Node("math", ...), " norm"]`.
    """
    found: list[Piece] = []
    end = 0
    for match in _FORMULA.finditer(text):
        math = _math(next(part for part in match.groups() if part is not None))
        if math is None:
            continue  # and so it stays a part of the text around it
        found += _styled(text[end : match.start()])
        found.append(math)
        end = match.end()
    return [*found, *_styled(text[end:])]


def _styled(text: str) -> Iterator[Piece]:
    end = 0
    for match in _STYLED.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        if match[1]:
            yield Node(_STYLES[match[1]], (match[2],))
        else:
            yield match[3] or "\u00a0"
        end = match.end()
    if end < len(text):
        yield text[end:]


def _math(source: str) -> Node | None:
    words = _STYLED.fullmatch(source.strip())
    if words and words[1]:  # $\\textit{words}$: no formula, and it should break between lines as words do
        return Node(_STYLES[words[1]], (words[2],))
    try:
        return Node("math", (_row(_Reader(_TOKEN.findall(source)).row(until=None)),))
    except _NotOnTheListError:
        return None


def _row(items: Sequence[Node]) -> Node:
    return items[0] if len(items) == 1 else Node("mrow", tuple(items))


class _Reader:
    """Reads the tokens of one formula (recursive descent)."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._place, self._depth = tokens, 0, 0

    def row(self, until: str | None) -> list[Node]:
        """Everything up to a part, which is taken too; `None` is the end of the formula."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _NotOnTheListError
        items: list[Node] = []
        while (part := self._next()) != until:
            if part is None:
                raise _NotOnTheListError
            base = self._item(part) if part not in ("^", "_") else Node("mrow", ())  # $^2$: a script of a word
            if part in ("^", "_"):
                self._place -= 1
            items.append(self._with_scripts(base))
        self._depth -= 1
        return items

    def _next(self, *, spaces: bool = False) -> str | None:
        part = self._peek(spaces=spaces)
        self._place += part is not None
        return part

    def _peek(self, *, spaces: bool = False) -> str | None:
        while not spaces and self._place < len(self._tokens) and self._tokens[self._place].isspace():
            self._place += 1
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _argument(self) -> Node:
        """One item, or a group in braces."""
        part = self._next()
        if part is None or part in ("}", "^", "_"):
            raise _NotOnTheListError
        return self._item(part)

    def _item(self, part: str) -> Node:
        if part == "{":
            return Node("mrow", tuple(self.row(until="}")))
        if part.startswith("\\"):
            return self._command(part[1:])
        if part[0].isdigit():
            return Node("mn", (part,))
        if part.isalpha():
            return Node("mi", (part,))
        if part in OPERATORS:
            return Node("mo", (OPERATORS[part],))
        raise _NotOnTheListError

    def _with_scripts(self, base: Node) -> Node:
        scripts: dict[str, Node] = {}
        while (mark := self._peek()) in ("^", "_", "'"):
            self._next()
            place = "_" if mark == "_" else "^"
            if place in scripts:
                raise _NotOnTheListError
            scripts[place] = Node("mo", ("′",)) if mark == "'" else self._argument()
        if len(scripts) == 2:
            return Node("msubsup", (base, scripts["_"], scripts["^"]))
        if scripts:
            (place, script), *_ = scripts.items()
            return Node("msub" if place == "_" else "msup", (base, script))
        return base

    def _command(self, name: str) -> Node:
        if name in SYMBOLS:
            return Node("mi" if SYMBOLS[name].isalpha() else "mo", (SYMBOLS[name],))
        if name in SPACES:
            return Node("mtext", (SPACES[name],))
        return Node("mi", (name,)) if name in FUNCTIONS else self._construction(name)

    def _construction(self, name: str) -> Node:
        if name in ("frac", "tfrac", "dfrac"):
            return Node("mfrac", (self._argument(), self._argument()))
        if name == "sqrt":
            return self._root()
        if name in ACCENTS:
            return Node("mover", (self._argument(), Node("mo", (ACCENTS[name],))))
        if name in ALPHABETS:
            return self._lettered(name)
        if name in ("left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr"):
            return self._delimiter()
        raise _NotOnTheListError

    def _root(self) -> Node:
        if self._peek() != "[":
            return Node("msqrt", (self._argument(),))
        self._next()
        degree = _row(self.row(until="]"))
        return Node("mroot", (self._argument(), degree))

    def _delimiter(self) -> Node:
        part = self._next()
        if part == ".":
            return Node("mrow", ())
        if part is None or not (part in "()[]|/<>" or part[1:] in ("{", "}", "|", "langle", "rangle", "Vert")):
            raise _NotOnTheListError
        return self._item(part)

    def _lettered(self, name: str) -> Node:
        r"""Letters of another alphabet: `\mathbb{R}`, `\mathrm{softmax}`."""
        if self._next() != "{":
            raise _NotOnTheListError
        letters: list[str] = []
        while (part := self._next(spaces=True)) != "}":
            if part is None or not (part.isalnum() or part.isspace() or part in ("\\_", *"-.,:/()+*=")):
                raise _NotOnTheListError
            letters.append(part.removeprefix("\\"))
        words = lettered(name, "".join(letters))
        return Node("mtext" if name.startswith("text") else "mi", (words,))
