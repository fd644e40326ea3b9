"""The text of an HTML page, without scripts and styles."""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser

from sememe.corpus.entries import BadRecordError

_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "annotation", "annotation-xml"})
# Elements that run on within a line; the edge of any other one ends it.
_INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
    "ins", "kbd", "label", "mark", "math", "mfrac", "mi", "mn", "mo", "mrow", "msub", "msubsup", "msup", "q", "rp",
    "rt", "ruby", "s", "samp", "semantics", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var",
    "wbr",
})  # fmt: skip
_DECLARED = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)


def html_text(page: str) -> tuple[str, str]:
    """The title and the visible text of a page; a line for each block, white space within a line reduced to one space.

    Raises:
        BadRecordError: the parser gives up.
    """
    parser = _TextParser()
    try:
        parser.feed(page)
        parser.close()
    except AssertionError as error:  # how the standard library's parser refuses an unknown declaration
        raise BadRecordError(f"is HTML that cannot be parsed ({error})") from None
    return parser.title, parser.text


def declared_encoding(head: bytes) -> str | None:
    """The encoding that a page names in its first kilobytes, if it is one we know."""
    found = _DECLARED.search(head)
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
        " ".encode(name)
    except LookupError:
        return None
    # Browsers read both as Windows-1252, so that is what pages which say so contain (WHATWG Encoding, 4.2).
    return "cp1252" if name in ("iso8859-1", "ascii") else name


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._title: list[str] = []
        self._hidden: list[str] = []
        self._in_title = False

    @property
    def title(self) -> str:
        return " ".join("".join(self._title).split())

    @property
    def text(self) -> str:
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\0"))
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag == "title":
            self._in_title = not self._hidden and not self._title
        self._break_line(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break_line(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            # Closing an outer element closes what was left open inside it.
            while self._hidden.pop() != tag:
                pass
        elif tag == "title":
            self._in_title = False
        self._break_line(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            (self._title if self._in_title else self._pieces).append(data.replace("\0", "\ufffd"))

    def _break_line(self, tag: str) -> None:
        # NUL marks a block's edge: line breaks in the source are only white space.
        if tag not in _INLINE and not self._hidden:
            self._pieces.append("\0")
