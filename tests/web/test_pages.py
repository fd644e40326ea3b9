"""The pages and the JSON behind them, on a small collection."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote

import numpy as np
import pytest
from page_world import N_ATOMS, PORT, client_of, make_atoms

from hash_encoder import HashEncoder
from sememe import Atoms, Document, Index
from sememe.atoms import Weights
from sememe.errors import InputError
from sememe.search.feedback import Feedback
from sememe.web import create_app

pytest_plugins = ["page_fixtures"]
PAGES = ["/", "/?q=red+cat", "/?q=red+cat&steer=3:0.5", "/?q=red&mode=lexical", "/?q=red+cat&mode=hybrid", "/atoms"]
PAGES += [
    "/?q=red+cat&like=d3&unlike=d5",
    "/?q=red&mode=hybrid&like=folder%2Flong+text%3F.txt",
    "/atom/0",
    "/atom/3",
    f"/atom/{N_ATOMS - 1}",
    "/atlas",
    "/collection",
    "/document/d3?q=red",
    "/nowhere",
]
VOID = {"meta", "link", "input", "br"}
OURS = frozenset(
    """
    html head meta title link script body a header svg circle rect line path text g nav button main footer
    span kbd form div input fieldset legend label section h1 h2 h3 p aside details summary ol ul li output
    mark table thead tbody tfoot tr th td b small dl dt dd article figure figcaption select option code
    """.split()  # noqa: SIM905
)
OUR_ATTRIBUTES = frozenset(
    """
    lang charset name content rel href as type crossorigin src class id tabindex viewbox width height
    aria-hidden cx cy r aria-label aria-current hidden aria-live action method role value maxlength
    placeholder autocomplete spellcheck autofocus checked min max step form for open data-atom aria-labelledby
    x y rx x1 x2 y1 y2 scope required selected d data-margin preserveaspectratio data-zoom title
    """.split()  # noqa: SIM905
)


class Checker(HTMLParser):
    """Checks that tags are balanced, and collects links, ids and what is forbidden inline."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.inline, self.scripts = [], [], [], [], []
        self.tags, self.attributes = set(), set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        self.attributes |= set(given)
        if tag == "script":
            self.scripts.append(given.get("src", ""))
        if tag not in VOID:
            self.open.append(tag)
        if "style" in given or any(name.startswith("on") for name in given) or (tag == "script" and "src" not in given):
            self.inline.append((tag, given))
        if tag == "style":
            self.inline.append((tag, given))
        self.links += [given[name] for name in ("href", "src", "action") if name in given]
        if "id" in given:
            self.ids.append(given["id"])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("address", PAGES)
def test_pages_are_well_formed_and_stay_here(client, address):
    found = Checker(client.get(address).text)
    assert found.inline == []
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in found.links)


def test_every_link_leads_somewhere(client):
    seen, todo = set(), ["/", "/?q=red+cat+river", "/?q=red&steer=3:0.5", "/atoms", "/atlas", "/collection"]
    while todo and len(seen) < 400:
        address = todo.pop().partition("#")[0]
        if address in seen:
            continue
        seen.add(address)
        response = client.get(address)
        assert response.status_code == 200, address
        if not re.search("steer=|like=", address) and response.headers["content-type"].startswith("text/html"):
            todo += [link for link in Checker(response.text).links if link.startswith("/") and link not in seen]
    assert len(seen) > 100


def hits_of(page):
    return re.findall(r'class="open" href="/document/([^"?]*)', page)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_the_page_shows_what_the_index_finds(client, web_index, mode):
    page = client.get(f"/?q=red+cat+river&mode={mode}&k=7").text
    assert hits_of(page) == [quote(h.document.id, safe="") for h in web_index.search("red cat river", 7, mode=mode)]
    assert ("Atoms to steer with" in page) == (mode != "lexical")


def test_the_shown_numbers_add_up_to_the_shown_score(client):
    page = client.get("/?q=red+cat+river&steer=3:0.5").text
    tables = re.findall(r"<tbody>(.*?)</tbody>\s*<tfoot>(.*?)</tfoot>", page, re.S)
    assert len(tables) == 10
    for body, foot in tables:
        parts = [float(text.replace("−", "-")) for text in re.findall(r"<td>([+−][\d.]+)</td>", body)]
        (score,) = re.findall(r"<td>(−?[\d.]+)</td>", foot)
        assert round(sum(parts), 3) == float(score.replace("−", "-"))
        assert "bias" in body
        assert "residual" in body


def test_json_is_exact(client, web_index, web_atoms):
    answer = client.get("/api/search?q=red+cat+river&k=5&steer=3:0.5,7:-0.25").json()
    steer = {3: 0.5, 7: -0.25}
    expected = web_index.search("red cat river", 5, explain=web_atoms, steer=steer)
    assert answer["steer"] == {"3": 0.5, "7": -0.25}
    before = {h.document.id: h.rank for h in web_index.search("red cat river", 100)}
    for hit, wanted in zip(answer["hits"], expected, strict=True):
        assert hit["id"] == wanted.document.id
        assert hit["score"] == pytest.approx(wanted.score, abs=1e-6)
        assert hit["moved"] == before[hit["id"]] - hit["rank"]
        e = hit["explanation"]
        total = sum(part["contribution"] for part in e["atoms"]) + e["bias"] + e["residual"]
        assert total == pytest.approx(hit["score"], abs=1e-5)
    assert {k["atom"] for k in answer["atoms"]} >= {3, 7}


def test_the_atoms_to_steer_with(client, web_index, web_atoms):
    plain = client.get("/api/search?q=red+cat+river").json()["atoms"]
    steered = client.get(f"/api/search?q=red+cat+river&steer={plain[2]['atom']}:0.75").json()["atoms"]
    assert [k["atom"] for k in plain] == [k["atom"] for k in steered]  # their order does not move under the hand
    vector = web_index.query_vector("red cat river")
    code = web_atoms.transform(vector[None])
    active = dict(zip(code.indices.tolist(), code.data.tolist(), strict=True))
    hits = web_index.search("red cat river", 10, explain=web_atoms)
    for knob in plain:
        assert knob["in_query"] == pytest.approx(active.get(knob["atom"], 0.0), abs=1e-6)
        parts = [p.contribution for h in hits for p in h.explanation.top(99) if p.atom == knob["atom"]]
        assert knob["in_hits"] == pytest.approx(sum(parts), abs=1e-5)


def test_marks_move_the_query_as_the_library_does(client, web_index, web_atoms):
    answer = client.get("/api/search?q=red+cat+river&k=7&like=d3&like=d9&unlike=d5").json()
    feedback = Feedback.chosen(["d3", "d9"], ["d5"])
    expected = web_index.search("red cat river", 7, explain=web_atoms, feedback=feedback)
    assert (answer["like"], answer["unlike"]) == (["d3", "d9"], ["d5"])
    assert [hit["id"] for hit in answer["hits"]] == [hit.document.id for hit in expected]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in expected], abs=1e-6)
    raised, lowered = expected.feedback.raised(4), expected.feedback.lowered(4)
    assert raised
    assert lowered
    assert [c["atom"] for c in answer["changed"]] == [change.atom for change in (*raised, *lowered)]
    page = client.get("/?q=red+cat+river&k=7&like=d3&like=d9&unlike=d5").text
    for body, foot in re.findall(r"<tbody>(.*?)</tbody>\s*<tfoot>(.*?)</tfoot>", page, re.S):
        (score,) = re.findall(r"<td>(−?[\d.]+)</td>", foot)
        parts = [float(text.replace("−", "-")) for text in re.findall(r"<td>([+−][\d.]+)</td>", body)]
        assert round(sum(parts), 3) == float(score.replace("−", "-"))
        row = re.findall(r'<td class="factor">(−?[\d.]+)</td>\s*' * 2 + r"<td>([+−][\d.]+)</td>", body)
        for in_document, in_query, shown in row:  # the query that is shown is the one that was moved
            product = float(in_document.replace("−", "-")) * float(in_query.replace("−", "-"))
            assert product == pytest.approx(float(shown.replace("−", "-")), abs=0.003)


def test_marks_are_shown_and_can_be_taken_away(client):
    page = client.get("/?q=red+cat&like=d3&unlike=folder%2Flong+text%3F.txt").text
    section = re.search(r'<section class="marked".*?</section>', page, re.S)[0]
    links = re.findall(r'class="remove" href="([^"]*)"', section)
    assert [unescape(link) for link in links] == [
        "/?q=red+cat&unlike=folder%2Flong+text%3F.txt",
        "/?q=red+cat&like=d3",
    ]
    assert "risen" in section
    assert "fallen" in section
    assert 'name="like" value="d3"' in page  # the form keeps them
    for hit in re.findall(r'<p class="mark">.*?</p>', page, re.S):
        assert len(re.findall("<a ", hit)) == 2
    marked = re.findall(r'<a class="like on" href="([^"]*)" aria-current="true"', page)
    assert [unescape(link) for link in marked] == ["/?q=red+cat&unlike=folder%2Flong+text%3F.txt"] * len(marked)
    plain = client.get("/?q=red+cat").text
    assert 'class="marked"' not in plain
    assert plain.count('<p class="mark">') == 10


def test_marks_of_documents_that_are_not_there_are_named(client):
    response = client.get("/api/search?q=red&unlike=nothing")
    assert response.status_code == 400
    assert response.json()["error"]["where"] == "unlike"


def test_words_have_no_marks(client):
    page = client.get("/?q=red&mode=lexical&like=d3").text
    assert hits_of(page) == hits_of(client.get("/?q=red&mode=lexical").text)
    assert '<p class="mark">' not in page
    assert 'class="marked"' not in page


@pytest.mark.parametrize(
    ("parameters", "stages"),
    [
        ("q=red+cat", ["encode", "exact", "fine", "read", "explain"]),
        ("q=red+cat&mode=lexical", ["lexical", "read"]),
        ("q=red+cat&mode=hybrid", ["encode", "exact", "fine", "lexical", "fuse", "read", "explain"]),
        ("q=red+cat&like=d3", ["encode", "feedback", "exact", "fine", "read", "explain"]),
    ],
)
def test_how_it_was_found_is_said_below_the_hits(client, parameters, stages):
    answer = client.get(f"/api/search?{parameters}").json()
    assert [stage["stage"] for stage in answer["stages"]] == stages
    page = client.get(f"/?{parameters}").text
    table = re.search(r'<details class="stages">.*?</details>', page, re.S)[0]
    assert re.findall(r'<th scope="row">([^<]*)</th>', table) == stages
    assert page.index('<details class="stages">') > page.rindex('<li class="hit">')
    assert "codes in memory" not in table


def test_steering_shows_how_ranks_changed(client):
    page = client.get("/?q=red+cat&steer=3:1").text
    assert 'class="moved' in page
    assert "Out of the first 10" in page
    assert 'class="moved' not in client.get("/?q=red+cat").text


def test_the_form_without_javascript_leads_to_the_short_address(client):
    response = client.get("/?q=red+cat&mode=dense&k=10&where=&form=1&s3=0.5&s4=0&s7=-0.25")
    assert response.status_code == 303
    assert response.headers["location"] == "/?q=red+cat&steer=3:0.5,7:-0.25"
    assert client.get("/?q=&form=1").headers["location"] == "/?"


def test_filters_choose_documents(client, web_index):
    example = re.search(r'placeholder="(year[^"]*)"', client.get("/").text)[1]
    assert example == "year&gt;=2000; venue=UAI"
    page = client.get("/?q=red+cat&where=year%3D2003&k=50").text
    assert len(hits_of(page)) == sum(d.metadata.get("year") == 2003 for d in web_index.documents())
    assert "No document passes the filter" in client.get("/?q=red+cat&where=year%3D1900").text


def test_lexical_search_drops_steering(client):
    assert hits_of(client.get("/?q=red&mode=lexical&steer=3:1").text) == hits_of(
        client.get("/?q=red&mode=lexical").text
    )


def test_an_atom_page_agrees_with_the_codes(client, web_index, web_atoms):
    codes = web_atoms.transform(web_index.bank[:])
    for atom in (0, 3, 11, N_ATOMS - 1):
        column = codes[:, [atom]].tocoo().data
        answer = client.get(f"/api/atom/{atom}").json()
        assert answer["active"] == len(column)
        assert answer["frequency"] == pytest.approx(len(column) / len(web_index.bank))
        assert sum(answer["histogram"]["counts"]) == len(column)
        if len(column):
            assert answer["mean_activation"] == pytest.approx(column.mean(), rel=1e-5)
            assert answer["documents"][0]["activation"] == pytest.approx(column.max())
        cosines = web_atoms.decoder @ web_atoms.decoder[atom]
        cosines[atom] = -2
        assert answer["nearest"][0]["atom"] == int(np.argmax(cosines))
    assert "active in no vector" in client.get(f"/atom/{N_ATOMS - 1}").text


def test_the_list_of_atoms(client):
    page = client.get("/atoms").text
    assert page.count("<tr>") == N_ATOMS + 1
    found = client.get("/atoms?find=RED+word0").text
    assert "1 atom with" in found
    assert "No label holds" in client.get("/atoms?find=zebra").text
    assert client.get("/atoms?sort=magic").status_code == 400
    for sort in ("activation", "label", "number"):
        assert client.get(f"/atoms?sort={sort}&page=99999").status_code == 200
    assert [int(a) for a in re.findall(r'href="/atom/(\d+)"', client.get("/atoms?sort=number").text)] == list(
        range(N_ATOMS)
    )


def test_the_atlas_has_every_active_atom(client):
    page = client.get("/atlas").text
    assert sorted(int(a) for a in re.findall(r'href="/atom/(\d+)"', page)) == list(range(N_ATOMS - 1))
    assert page.count("<text") > 3


def test_a_document_page(client, web_index):
    page = client.get("/document/d3?q=red").text
    document = web_index.document("d3")
    text = re.search(r'<div class="text">(.*?)</div>', page, re.S)[1]
    assert re.sub("<[^>]*>", "", text) == document.text
    assert "A. One, B. Two" in page
    assert "More like this" in page
    assert client.get("/document/none").status_code == 404


def test_a_long_document_shows_the_window(client, web_index):
    rows = web_index.rows_of("folder/long text?.txt")
    assert len(rows) > 1
    page = client.get(f"/document/folder%2Flong%20text%3F.txt?row={rows[1]}").text
    window = web_index.row(int(rows[1]))[1]
    shown = re.search(r'<span class="window" id="window">(.*?)</span>', page, re.S)[1]
    assert re.sub("<[^>]*>", "", shown) == web_index.document("folder/long text?.txt").text[window.start : window.end]
    for wrong in ("x", "-1", "0", "99999999999999"):
        assert client.get(f"/document/folder%2Flong%20text%3F.txt?row={wrong}").status_code == 200


def test_the_card_is_honest(client):
    page = client.get("/collection").text
    for text in (
        "0.610",
        "0.720",
        "0.710",
        "leave 39% of the variance",
        "Few vectors.",
        "above that bound",
        "hash-encoder",
    ):
        assert text in page


def test_errors_are_pages_with_a_way_on(client):
    page = client.get("/?q=a&k=0").text
    assert "from 1 to 100" in page
    assert "<code>k</code>" in page
    error = client.get("/api/search?q=a&steer=9999:1").json()["error"]
    assert error["kind"] == "input"
    assert "9999" in error["message"]
    assert client.get("/api/atom/9999").status_code == 400
    assert client.get("/api/nowhere").json()["error"]["message"]


def test_files_are_sent_once(client):
    first = client.get("/static/page.css")
    again = client.get("/static/page.css", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert first.headers["content-type"].startswith("text/css")


def test_a_collection_without_atoms_can_be_searched(web_index):
    client = client_of(create_app(web_index, None, port=PORT))
    page = client.get("/?q=red+cat")
    assert page.status_code == 200
    assert len(hits_of(page.text)) == 10
    assert 'class="bar"' not in page.text
    for address in ("/atoms", "/atom/0", "/atlas", "/?q=red&steer=1:1", "/api/atom/0"):
        response = client.get(address)
        assert response.status_code == 400
        assert "no atoms yet" in response.text
    assert "no atoms yet" in client.get("/collection").text
    assert client.get("/document/d3").status_code == 200


def test_atoms_of_another_width_are_refused(web_index):
    weights = Weights(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), np.zeros(3), np.zeros(3), np.ones(3))
    with pytest.raises(InputError, match="3 dimensions"):
        create_app(web_index, Atoms(weights, np.zeros(3), {}), port=PORT)


def test_odd_queries_are_answered(client):
    for query in ("\x00", "\U0001f600", "\u202eabc", "a" * 2000, "<script>", "%", "&&", "' OR 1=1", "\ud7ff", "…"):
        response = client.get("/?q=" + quote(query))
        assert response.status_code == 200, query
    assert client.get("/?q=%ff%fe").status_code == 200


# ── markup in texts ──────────────────────────────────────────────────────────────────────────────────────────

BASES = [
    "<script>{x}</script>",
    "</title><script>{x}</script>",
    "<img src=x onerror={x}>",
    '"><img src=x onerror={x}>',
    "'><svg onload={x}>",
    '" autofocus onfocus="{x}',
    "<svg><script>{x}</script></svg>",
    "<iframe srcdoc='<script>{x}</script>'>",
    "<a href='javascript:{x}'>a</a>",
    "javascript:{x}",
    "<style>@import 'http://evil.com';</style><b id={x}>",
    "<base href=//evil.com/><i title={x}>",
    "<meta http-equiv=refresh content='0;url=javascript:{x}'>",
    "<form action=//evil.com><button formaction='javascript:{x}'>",
    "{{{{ {x} }}}}",
    "{{% raw %}}{x}{{% endraw %}}",
    "<!--<script>{x}//-->",
    "<math><mtext></form><form><mglyph><style></math><img src onerror={x}>",
    "<template><script>{x}</script></template>",
    "<details open ontoggle={x}>",
    "\"><text x='0' onclick='{x}'>",
    "<mark>{x}</mark>",
    "&lt;script&gt;{x}&lt;/script&gt;",
    "<ScRiPt/x>{x}</sCrIpT>",
    "<script\x0b>{x}</script>",
]
CODES = [
    "alert(1)",
    "alert`1`",
    "top[`al`+`ert`](1)",
    "fetch('//evil.com')",
    "eval('1')",
    "document.cookie",
    "/*x*/alert(2)//",
    "&#97;lert(1)",
]
PAYLOADS = [base.format(x=code) for base in BASES for code in CODES]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    documents = [
        Document(
            f"{i}{payload}",
            f"cat {payload} text",
            title=f"cat {payload}",
            metadata={payload: payload, "m": payload[:30]},
        )
        for i, payload in enumerate(PAYLOADS)
    ]
    labels = [PAYLOADS[i * 8] + ", cat" for i in range(N_ATOMS)]
    with Index.build(
        documents, HashEncoder(16), tmp_path_factory.mktemp("hostile") / PAYLOADS[0].replace("/", "_")
    ) as index:
        yield client_of(create_app(index, make_atoms(labels), port=PORT))


def check_is_text(page):
    """Our own tags only: none from the payloads, and no attribute that runs something."""
    assert page.status_code in (200, 400, 404)
    found = Checker(page.text)
    assert found.inline == []
    assert found.tags <= OURS
    assert found.attributes <= OUR_ATTRIBUTES
    assert all(re.fullmatch(r"/static/[a-z]+\.js", source) for source in found.scripts)
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in found.links)


@pytest.mark.parametrize("number", range(0, len(PAYLOADS), 10))
def test_texts_cannot_become_markup(hostile, number):
    assert len(PAYLOADS) == 200
    for payload in PAYLOADS[number : number + 10]:
        asked = quote(payload)
        page = hostile.get(f"/?q={asked}&k=3")
        check_is_text(page)
        assert re.search(r'<input type="search" name="q" value="([^"]*)"', page.text)
        check_is_text(hostile.get(f"/?q=cat&where={asked}"))
        check_is_text(hostile.get(f"/?q=cat&mode={asked}"))
        check_is_text(hostile.get(f"/?q=cat&steer={asked}"))
        check_is_text(hostile.get(f"/atoms?find={asked}"))
        check_is_text(hostile.get(f"/atoms?sort={asked}"))
        check_is_text(hostile.get(f"/{asked}"))
        i = PAYLOADS.index(payload)
        document = hostile.get(f"/document/{quote(f'{i}{payload}', safe='')}?q={asked}&row={asked}")
        assert document.status_code == 200
        check_is_text(document)


def test_labels_and_titles_cannot_become_markup(hostile):
    check_is_text(hostile.get("/?q=cat+text&k=100"))
    for atom in range(N_ATOMS):
        check_is_text(hostile.get(f"/atom/{atom}"))
    check_is_text(hostile.get("/atoms"))
    check_is_text(hostile.get("/atlas"))
    check_is_text(hostile.get("/collection"))
    check_is_text(hostile.get("/"))
