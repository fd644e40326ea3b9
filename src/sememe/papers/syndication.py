"""A list of papers as a feed for feed readers: Atom (RFC 4287) and JSON Feed 1.1."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from sememe.papers.message import DigestEntry, page_url, web_link
from sememe.papers.paper import Paper
from sememe.papers.safe_text import xml_text
from sememe.version import __version__

ATOM_TYPE, JSON_TYPE = "application/atom+xml", "application/feed+json"
_ATOM = "http://www.w3.org/2005/Atom"


@dataclass(frozen=True)
class Channel:
    """What a feed reader is told about the list as a whole.

    Attributes:
        title: such as "Papers for me".
        page: the address of the list as a page.
        address: the address of the feed itself; it also is its lasting id.
        base_url: where the pages of the feed folder are.
        updated: when the list last changed.
    """

    title: str
    page: str
    address: str
    base_url: str
    updated: datetime.datetime


def atom_feed(channel: Channel, entries: Sequence[DigestEntry]) -> bytes:
    """The list as an Atom document (UTF-8); texts are escaped, letters that XML forbids are replaced."""
    feed = ElementTree.Element("feed", {"xmlns": _ATOM})
    _text(feed, "id", _urn(channel.address))
    _text(feed, "title", channel.title)
    _text(feed, "updated", _stamp(channel.updated))
    _text(ElementTree.SubElement(feed, "author"), "name", "Sememe")
    _text(feed, "generator", "Sememe", version=__version__)
    for relation, address in (("self", channel.address), ("alternate", channel.page)):
        ElementTree.SubElement(feed, "link", {"rel": relation, "href": address})
    for entry in entries:
        _atom_entry(feed, entry, channel)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(feed, encoding="unicode").encode()


def json_feed(channel: Channel, entries: Sequence[DigestEntry]) -> dict[str, Any]:
    """The list as a JSON Feed object."""
    return {
        "version": "https://jsonfeed.org/version/1.1",
        "title": channel.title,
        "home_page_url": channel.page,
        "feed_url": channel.address,
        "items": [_json_item(entry, channel) for entry in entries],
    }


def _atom_entry(feed: ElementTree.Element, entry: DigestEntry, channel: Channel) -> None:
    paper = entry.paper
    element = ElementTree.SubElement(feed, "entry")
    _text(element, "id", _urn(paper.id))
    _text(element, "title", paper.title, type="text")
    _text(element, "updated", _stamp(_dated(paper) or channel.updated))
    if (published := _dated(paper)) is not None:
        _text(element, "published", _stamp(published))
    for name in paper.authors:
        _text(ElementTree.SubElement(element, "author"), "name", name)
    for label in paper.categories:
        ElementTree.SubElement(element, "category", {"term": xml_text(label)})
    ElementTree.SubElement(element, "link", {"rel": "alternate", "href": page_url(paper, channel.base_url)})
    if source := web_link(paper.url):
        ElementTree.SubElement(element, "link", {"rel": "related", "href": source})
    _text(element, "summary", _content(entry), type="text")


def _json_item(entry: DigestEntry, channel: Channel) -> dict[str, Any]:
    paper, published = entry.paper, _dated(entry.paper)
    item: dict[str, Any] = {
        "id": paper.id,
        "url": page_url(paper, channel.base_url),
        "external_url": web_link(paper.url) or None,
        "title": paper.title,
        "content_text": _content(entry),
        "date_published": None if published is None else _stamp(published),
        "authors": [{"name": name} for name in paper.authors],
        "tags": [*paper.categories, *paper.keywords],
    }
    return {name: value for name, value in item.items() if value not in (None, [])}


def _content(entry: DigestEntry) -> str:
    why = f"Why: {'; '.join(entry.reasons)}" if entry.reasons else ""
    return "\n\n".join(part for part in (entry.paper.abstract, why) if part) or entry.paper.title


def _text(parent: ElementTree.Element, tag: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, tag, attributes).text = xml_text(text)


def _urn(name: str) -> str:
    """A lasting id that does not depend on where the pages are served."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"sememe:{name}").urn


def _dated(paper: Paper) -> datetime.datetime | None:
    return None if paper.date is None else datetime.datetime.combine(paper.date, datetime.time(), datetime.UTC)


def _stamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
