"""WikiText-2 as documents: its paragraphs, with the spaces of its tokenisation taken out again."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from sememe.corpus import Document

MINIMUM_WORDS = 40
_ARTICLE = re.compile(r"(?m)^ = ([^=].*?[^=]) = $")
_HEADING = re.compile(r"(?m)^ =+ .* =+ $")


def wikitext_paragraphs(folder: Path, part: str) -> Iterator[Document]:
    """The paragraphs of at least 40 words of a part (`valid` or `test`), which share no article."""
    with gzip.open(folder / f"{part}.txt.gz", "rt", encoding="utf-8") as file:
        pieces = _ARTICLE.split(file.read())
    for article, (title, body) in enumerate(zip(pieces[1::2], pieces[2::2], strict=True)):
        paragraphs = (text.strip() for text in _plain(body).split("\n"))
        for number, text in enumerate(text for text in paragraphs if len(text.split()) >= MINIMUM_WORDS):
            yield Document(f"{part}-{article}-{number}", text, metadata={"article": title.strip()})


def _plain(text: str) -> str:
    text = _HEADING.sub("", text)
    for token, mark in ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), (" 's", "'s"), ("<unk>", "unknown")):
        text = text.replace(token, mark)
    text = re.sub(r" ([,.;:!?%)\]])", r"\1", text)
    return re.sub(r"([(\[]) ", r"\1", text)
