"""Atom and JSON Feed: what a feed reader needs is there, and texts are only ever texts."""

from __future__ import annotations

import dataclasses
import datetime
import json
from urllib.parse import urlsplit
from xml.etree import ElementTree

from test_sending import PAPERS, raw

from sememe.papers.message import DigestEntry
from sememe.papers.syndication import Channel, atom_feed, json_feed

ATOM = "{http://www.w3.org/2005/Atom}"
BASE = "http://127.0.0.1:8765"
CHANNEL = Channel(
    "Papers for me",
    f"{BASE}/",
    f"{BASE}/feed.atom?interest=me&x=<>",
    BASE,
    datetime.datetime(2026, 11, 26, 7, tzinfo=datetime.UTC),
)
NASTY = "<script>alert(1)</script> ]]> & \x00\x1b \ud800 \ufffe “x” שלום 👩\u200d🔬"


def entries(papers):
    return [DigestEntry(paper, ("shared: norms",)) for paper in papers]


def text(element, tag):
    found = element.findall(ATOM + tag)
    assert len(found) == 1, tag
    return found[0].text


def test_an_atom_feed_has_what_rfc_4287_demands():
    feed = ElementTree.fromstring(atom_feed(CHANNEL, entries(PAPERS)))
    assert feed.tag == ATOM + "feed"
    assert text(feed, "title") == "Papers for me"
    assert text(feed, "id").startswith("urn:uuid:")
    assert text(feed, "updated") == "2026-11-26T07:00:00Z"
    links = {link.get("rel"): link.get("href") for link in feed.findall(ATOM + "link")}
    assert links == {"self": CHANNEL.address, "alternate": CHANNEL.page}
    found = feed.findall(ATOM + "entry")
    assert len({text(entry, "id") for entry in found}) == len(PAPERS)
    for entry, paper in zip(found, PAPERS, strict=True):
        assert text(entry, "title") == paper.title
        assert text(entry, "published") == "2026-11-26T00:00:00Z"
        assert text(entry, "updated")
        names = [author.findtext(ATOM + "name") for author in entry.findall(ATOM + "author")]
        assert names == list(paper.authors)  # without any, the feed's own author stands for it
        assert feed.find(ATOM + "author") is not None
        alternate = [link.get("href") for link in entry.findall(ATOM + "link") if link.get("rel") == "alternate"]
        assert alternate == [f"{BASE}/paper/{paper.id.replace(':', '%3A')}"]
        assert "Why: shared: norms" in text(entry, "summary")


def test_ids_last():
    elsewhere = dataclasses.replace(CHANNEL, base_url="https://papers.example.org")
    one, two = (ElementTree.fromstring(atom_feed(c, entries(PAPERS))) for c in (CHANNEL, elsewhere))
    assert [text(e, "id") for e in one.findall(ATOM + "entry")] == [text(e, "id") for e in two.findall(ATOM + "entry")]


def test_nasty_texts_stay_texts():
    paper = raw(
        dataclasses.replace(PAPERS[0]),
        title=NASTY, abstract=NASTY, authors=(NASTY,), categories=(NASTY,), url="javascript:alert(1)", date=None,
    )  # fmt: skip
    data = atom_feed(CHANNEL, [DigestEntry(paper, (NASTY,))])
    entry = ElementTree.fromstring(data).find(ATOM + "entry")
    assert b"<script>" not in data
    assert text(entry, "title").startswith("<script>alert(1)</script> ]]> & \ufffd\ufffd")
    assert all(link.get("href").startswith("http") for link in entry.findall(ATOM + "link"))
    (item,) = json_feed(CHANNEL, [DigestEntry(paper, (NASTY,))])["items"]
    assert "external_url" not in item
    assert "date_published" not in item
    assert json.loads(json.dumps(item))["title"] == NASTY


def test_a_json_feed_has_what_its_version_demands():
    feed = json_feed(CHANNEL, entries(PAPERS))
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["title"]
    for item, paper in zip(feed["items"], PAPERS, strict=True):
        assert item["id"] == paper.id
        assert urlsplit(item["url"]).scheme == "http"
        assert item["external_url"] == paper.url
        assert item["content_text"].startswith("We study")
        assert item["date_published"] == "2026-11-26T00:00:00Z"
        assert [author["name"] for author in item.get("authors", [])] == list(paper.authors)
