"""The arXiv API, replayed by a server on loopback."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from papers.serving import send, serving
from sememe.errors import InputError, RemoteError
from sememe.papers.importing.arxiv_api import SECONDS_BETWEEN, arxiv_papers

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"
 xmlns:arxiv="http://arxiv.org/schemas/atom">
<title type="html">ArXiv Query: search_query=cat:cs.CL</title><id>http://arxiv.org/api/x</id>
<updated>2024-05-22T00:00:00-04:00</updated>
<opensearch:totalResults>{total}</opensearch:totalResults><opensearch:startIndex>{start}</opensearch:startIndex>
<opensearch:itemsPerPage>{size}</opensearch:itemsPerPage>"""
ENTRY = """<entry><id>http://arxiv.org/abs/2405.{number:05}v2</id><updated>2024-06-01T10:00:00Z</updated>
<published>2024-05-21T06:26:10Z</published><title>Paper
  number {number}</title><summary>  What it
says.
</summary><author><name>Ada Lovelace</name><arxiv:affiliation>London</arxiv:affiliation></author>
<author><name>Kurt Gödel</name></author><arxiv:doi>10.1000/{number}</arxiv:doi>
<link href="http://arxiv.org/abs/2405.{number:05}v2" rel="alternate" type="text/html"/>
<arxiv:primary_category term="cs.CL" scheme="http://arxiv.org/schemas/atom"/>
<category term="cs.CL" scheme="http://arxiv.org/schemas/atom"/><category term="cs.LG"/></entry>"""


def pages(total: int):
    """Answers as the API does: the entries that were asked for, out of `total`."""

    def answer(handler):
        asked = parse_qs(urlsplit(handler.path).query)
        start, size = int(asked["start"][0]), int(asked["max_results"][0])
        entries = "".join(ENTRY.format(number=n) for n in range(start, min(start + size, total)))
        send(handler, (HEAD.format(total=total, start=start, size=size) + entries + "</feed>").encode())

    return answer


@pytest.fixture
def slept(monkeypatch):
    """Sleeping is remembered, not done."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def test_a_query_is_read_page_by_page_with_three_seconds_between(slept):
    with serving(pages(total=250)) as server:
        found = list(arxiv_papers("cat:cs.CL AND ti:atoms", 230, api=f"http://127.0.0.1:{server.port}/api/query"))
    papers = [paper for _, paper in found]
    assert len(papers) == 230
    first = papers[0]
    assert (first.id, first.version, first.title) == ("arxiv:2405.00000", 2, "Paper number 0")
    assert (first.abstract, first.authors) == ("What it says.", ("Ada Lovelace", "Kurt Gödel"))
    assert (first.categories, first.date.isoformat()) == (("cs.CL", "cs.LG"), "2024-05-21")
    assert first.identities == ("doi:10.1000/0",)
    assert len({paper.id for paper in papers}) == 230
    asked = [parse_qs(urlsplit(path).query) for path in server.paths]
    assert [query["start"] for query in asked] == [["0"], ["100"], ["200"]]
    assert asked[0]["search_query"] == ["cat:cs.CL AND ti:atoms"]
    assert asked[0]["sortBy"] == ["submittedDate"]
    waits = [seconds for seconds in slept if seconds > 1]
    assert len(waits) == 2
    assert all(SECONDS_BETWEEN - 1 < seconds <= SECONDS_BETWEEN == 3.0 for seconds in waits)


def test_ids_are_asked_for_as_ids(slept):
    with serving(pages(total=2)) as server:
        list(arxiv_papers("2405.00000, 2405.00001v2", 10, api=f"http://127.0.0.1:{server.port}/api/query"))
    asked = parse_qs(urlsplit(server.paths[0]).query)
    assert asked["id_list"] == ["2405.00000,2405.00001v2"]
    assert "search_query" not in asked


def test_a_server_that_fails_is_asked_again_and_then_named(slept):
    with serving(lambda handler: send(handler, b"busy", status=503)) as server:
        with pytest.raises(RemoteError, match="did not answer"):
            list(arxiv_papers("cat:cs.CL", 10, api=f"http://127.0.0.1:{server.port}/api/query"))
        assert len(server.paths) == 3


def test_an_answer_with_entities_brings_nothing(slept):
    evil = (
        HEAD.format(total=1, start=0, size=1).replace(
            "<feed", '<!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/passwd">]><feed'
        )
        + ENTRY.format(number=1).replace("What it", "&x;")
        + "</feed>"
    )
    with serving(lambda handler: send(handler, evil.encode())) as server:
        papers = [paper for _, paper in arxiv_papers("x", 1, api=f"http://127.0.0.1:{server.port}/api/query")]
    assert all("root:" not in paper.abstract for paper in papers)


@pytest.mark.parametrize(("query", "limit"), [("", 10), (" ", 10), ("cat:cs.CL", 0), ("cat:cs.CL", 30_001)])
def test_what_cannot_be_asked_is_refused(query, limit):
    with pytest.raises(InputError, match="cannot ask arXiv"):
        list(arxiv_papers(query, limit))
