"""The pages of a feed folder: what they show, what they change, and what they refuse to."""

from __future__ import annotations

import json
import re
import sqlite3
from html import unescape
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import pytest
import uvicorn
from page_world import DIMENSIONS, PORT, client_of
from papers_world import FIRST, LAST_DAY, PAYLOADS, TEX, attacks, made_papers, make_feed, open_feed
from test_pages import OUR_ATTRIBUTES, OURS, Checker
from test_security import _routes, check_headers

from hash_encoder import HashEncoder
from sememe.errors import LockedError
from sememe.papers import Interest, Paper, PaperStore, Subscription
from sememe.papers.collection import PaperCollection
from sememe.papers.unsubscribing import unsubscribe_token
from sememe.web import serve
from sememe.web.app import create_papers_app
from sememe.web.form_keys import FormKeys
from sememe.web.papers_desk import PapersDesk, is_feed
from sememe.web.papers_text import rendered

ME = "me@example.org"
OWN = {"origin": f"http://127.0.0.1:{PORT}"}
PAGES = [
    "/",
    "/?period=day",
    "/?period=week&order=trending",
    "/?period=all&page=2",
    "/?order=for-me&unread=1",
    f"/?period=day&day={LAST_DAY}",
    "/search",
    "/search?q=robot+arm",
    "/search?q=image&mode=lexical&since=2026-11-01",
    "/search?mark=saved",
    f"/search?like={FIRST}&unlike=arxiv:2611.00001",
    f"/paper/{FIRST}",
    f"/paper/{FIRST}?sort=date",
    "/interests",
    "/interest/me",
    "/map",
    "/map?year=2026",
    "/subscriptions",
]
OTHERS = [
    "/feed.atom",
    "/feed.json",
    "/feed.atom?q=robot",
    "/export/bibtex?q=robot",
    f"/export/csv?id={FIRST}",
]
CHANGES = {
    "/mark": {"id": FIRST, "set": "saved:on"},
    "/note": {"id": FIRST, "text": "a note"},
    "/tags": {"id": FIRST, "tags": "one, two"},
    "/interests/save": {"name": "sight", "authors": "Ada", "require": "image", "forbid": ""},
    "/interests/remove": {"name": "sight"},
    "/subscriptions/add": {"address": ME, "every": "weekly", "interest": "me", "at_most": "5"},
    "/subscriptions/remove": {"address": "old@example.org"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_feed(tmp_path_factory.mktemp("papers") / "feed", made_papers())


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the made feed, to be changed."""
    import shutil

    shutil.copytree(made, tmp_path / "feed")
    return tmp_path / "feed"


@pytest.fixture
def desk(folder):
    with open_feed(folder) as collection:
        collection.store.subscribe(Subscription("old@example.org"))
        yield PapersDesk(collection)


@pytest.fixture
def app(desk):
    return create_papers_app(desk, port=PORT)


@pytest.fixture
def client(app):
    return client_of(app)


def key_of(client):
    return re.search(r'name="form_key" value="([^"]+)"', client.get("/subscriptions").text)[1]


def send(client, path, fields, **options):
    return client.post(path, data={"form_key": key_of(client), **fields}, headers=OWN, **options)


def dump(folder):
    with sqlite3.connect(folder / "papers.db") as connection:
        return list(connection.iterdump())


def learn(store):
    papers = made_papers()
    for paper in [p for p in papers if p.categories == ("cs.CV",)][:6]:
        store.mark(paper.id, "liked")
    for paper in [p for p in papers if p.categories == ("cs.RO",)][:4]:
        store.mark(paper.id, "disliked")


def titles(page):
    return [
        unescape(re.sub("<[^>]+>", "", title)) for title in re.findall(r'class="open" href="[^"]*">(.*?)</a>', page)
    ]


@pytest.mark.parametrize("learned", [False, True])
def test_pages_are_well_formed_and_stay_here(client, desk, learned):
    if learned:
        learn(desk.store)
    for address in PAGES:
        response = client.get(address)
        assert response.status_code == 200, address
        check_headers(response)
        found = Checker(response.text)
        assert found.inline == []
        assert len(found.ids) == len(set(found.ids)), address
        links = [link for link in found.links if not link.startswith("https://arxiv.org/abs/")]
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links)


def test_every_link_leads_somewhere(client, desk):
    learn(desk.store)
    seen, todo = set(), ["/", *PAGES]
    while todo and len(seen) < 100:
        address = todo.pop().partition("#")[0]
        if address in seen or not address.startswith("/") or address in CHANGES:
            continue
        seen.add(address)
        response = client.get(address)
        assert response.status_code == 200, address
        if response.headers["content-type"].startswith("text/html"):
            todo += Checker(response.text).links
    assert len(seen) == 100


def test_looking_changes_nothing(client, desk, folder):
    learn(desk.store)
    token = unsubscribe_token("old@example.org", desk.unsubscribe_key)
    addresses = [*PAGES, *OTHERS, f"/unsubscribe?token={token}", *CHANGES]
    before = dump(folder)
    for method in ("GET", "HEAD", "GET"):
        for address in addresses:
            assert client.request(method, address).status_code in (200, 405)
    assert dump(folder) == before


def test_all_changes_are_in_the_list(app):
    changing = {route.path for route in _routes(app) if "POST" in (route.methods or ())}
    assert changing == {*CHANGES, "/unsubscribe"}
    assert all(
        {"GET", "HEAD"} >= (route.methods or set())
        for route in _routes(app)
        if route.path not in changing | {"/unsubscribe"}
    )


@pytest.mark.parametrize("path", CHANGES)
def test_only_a_form_of_ours_changes_anything(client, folder, path):
    fields = {"form_key": key_of(client), **CHANGES[path]}
    before = dump(folder)
    refused = [
        client.post(path, data={**fields, "form_key": ""}, headers=OWN),
        client.post(path, data=CHANGES[path], headers=OWN),
        client.post(path, data={**fields, "form_key": fields["form_key"][:-1] + "x"}, headers=OWN),
        client.post(path, data={**fields, "form_key": FormKeys().new()}, headers=OWN),
        client.post(
            path, content=b'{"form_key": "\\ud800", "id": "x"}', headers={**OWN, "content-type": "application/json"}
        ),
        client.post(path, data=fields, headers={"origin": "http://evil.example"}),
        client.post(path, data=fields, headers={"sec-fetch-site": "cross-site"}),
        client.post(path, data=fields, headers={**OWN, "host": "evil.example"}),
        client.post(path, content=urlencode(fields), headers={**OWN, "content-type": "text/plain"}),
        client.post(path, content=urlencode(fields), headers=OWN),
        client.post(path, files={"a": b"x"}, data=fields, headers=OWN),
        client.post(path, content="[]", headers={**OWN, "content-type": "application/json"}),
        client.post(path, content="[" * 100_000, headers={**OWN, "content-type": "application/json"}),
        client.post(path, content=b"\xff", headers={**OWN, "content-type": "application/x-www-form-urlencoded"}),
        client.put(path, data=fields, headers=OWN),
        client.get(f"{path}?{urlencode(fields)}", headers=OWN),
    ]
    assert {response.status_code for response in refused} <= {400, 403, 405, 415}
    for response in refused:
        check_headers(response)
        assert "Traceback" not in response.text
    assert dump(folder) == before
    assert client.post(path, data=fields, headers=OWN).status_code == 303
    assert dump(folder) != before or path == "/interests/remove"


def test_a_key_ends_after_a_day(monkeypatch):
    from starlette.exceptions import HTTPException

    from sememe.web import form_keys

    keys = FormKeys()
    key = keys.new()
    keys.check(key)
    monkeypatch.setattr(form_keys.time, "time", lambda now=form_keys.time.time: now() + 25 * 3600)
    with pytest.raises(HTTPException):
        keys.check(key)


def test_marks_by_form_and_by_script(client, desk):
    response = send(client, "/mark", {"id": FIRST, "set": "saved:on", "back": "/?period=all"})
    assert (response.status_code, response.headers["location"]) == (303, "/?period=all")
    assert "saved" in desk.store.marks([FIRST])[FIRST]
    page = client.get(f"/paper/{FIRST}").text
    assert re.search(r'class="mark-saved" name="set" value="saved:off" aria-pressed="true"', page)
    assert titles(client.get("/search?mark=saved").text) == [desk.store.paper(FIRST).title]
    key = key_of(client)
    for set_to, marks in (
        ("liked:on", ["liked", "saved"]),
        ("disliked:on", ["disliked", "saved"]),
        ("saved:off", ["disliked"]),
    ):
        answer = client.post("/mark", json={"form_key": key, "id": FIRST, "set": set_to}, headers=OWN)
        assert answer.json() == {"id": FIRST, "marks": marks}
    for fields in ({"set": "saved"}, {"set": "loved:on"}, {}, {"set": "saved:on", "id": "arxiv:none"}):
        assert send(client, "/mark", {"id": FIRST, **fields}).status_code == 400


@pytest.mark.parametrize(
    "back", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\r\nx: y", ""]
)
def test_no_form_leads_to_another_site(client, back):
    response = send(client, "/mark", {"id": FIRST, "set": "read:on", "back": back})
    assert response.headers["location"] == "/"
    assert "x" not in response.headers


def test_a_hidden_paper_leaves_the_feed_and_a_read_one_the_unread(client, desk):
    title, second = desk.store.paper(FIRST).title, desk.store.paper("arxiv:2611.00001").title
    assert {title, second} <= set(titles(client.get("/?period=week").text))
    send(client, "/mark", {"id": FIRST, "set": "hidden:on"})
    send(client, "/mark", {"id": "arxiv:2611.00001", "set": "read:on"})
    assert title not in titles(client.get("/?period=week").text)
    assert second in titles(client.get("/?period=week").text)
    assert second not in titles(client.get("/?period=week&unread=1").text)


def test_notes_and_tags(client, desk):
    send(client, "/note", {"id": FIRST, "text": "one\r\n</textarea><b>two"})
    assert desk.store.note(FIRST) == "one\n</textarea><b>two"
    assert "one\n&lt;/textarea&gt;&lt;b&gt;two</textarea>" in client.get(f"/paper/{FIRST}").text
    send(client, "/tags", {"id": FIRST, "tags": " to read,  thesis , thesis,"})
    assert desk.store.tags(FIRST) == ("thesis", "to read")
    assert titles(client.get("/search?tag=thesis").text) == [desk.store.paper(FIRST).title]
    assert send(client, "/tags", {"id": FIRST, "tags": "x" * 200}).status_code == 400


def test_the_feed_has_days_and_their_neighbours(client):
    page = client.get(f"/?period=day&day={LAST_DAY}").text
    assert "25 November 2026" in page
    assert len(titles(page)) == 3
    assert "Later" not in page
    earlier = unescape(re.search(r'href="([^"]+)" rel="prev"', page)[1])
    page = client.get(earlier).text
    assert "24 November 2026" in page
    assert unescape(re.search(r'href="([^"]+)" rel="next"', page)[1]) == f"/?period=day&day={LAST_DAY}"
    assert "No paper is of this period" in client.get("/?period=day&day=2020-01-01").text
    assert "Week of 23 November 2026" in client.get("/").text  # a day has three papers: too few to begin with
    trending = client.get("/?period=week&order=trending").text
    assert "votes × 0.5^(age in days / 7)" in trending
    for address in ("/?period=year", "/?order=best", "/?day=tomorrow", "/search?mode=magic", "/search?since=x"):
        assert client.get(address).status_code == 400


def test_a_feed_for_me_says_what_is_missing_and_then_why(client, desk):
    assert "5 + and 3 − are needed" in client.get("/?order=for-me&period=all").text
    learn(desk.store)
    page = client.get("/?order=for-me&period=all").text
    assert "Learned from 6 + and 4 −" in page
    best = titles(page)[:10]
    words = "image camera pixel segmentation detection scene depth object video frame".split()  # noqa: SIM905
    assert sum(any(word in title for word in words) for title in best) >= 8
    assert page.count('class="chip by-') >= 30
    assert "What of it fits" in client.get(f"/paper/{FIRST}").text


def test_an_interest_can_be_edited(client, desk):
    learn(desk.store)
    page = client.get("/interest/me").text
    atoms = re.findall(r'name="was(\d+)" value="([^"]+)"', page)
    assert len(atoms) > 5
    fields = {f"was{atom}": value for atom, value in atoms} | {f"atom{atom}": value for atom, value in atoms}
    changed = atoms[0][0]
    fields |= {
        "name": "me",
        "authors": "Ada Lovelace\r\n\r\nAuthor 3\n",
        "require": "",
        "forbid": "torque",
        f"atom{changed}": "-7.5",
    }
    response = send(client, "/interests/save", fields)
    assert response.headers["location"] == "/interest/me"
    saved = desk.store.interest("me")
    assert saved.authors == ("Ada Lovelace", "Author 3")
    assert saved.forbid == ("torque",)
    assert saved.atom_weights == {int(changed): -7.5}
    assert f'name="atom{changed}" value="-7.50"' in client.get("/interest/me").text
    send(client, "/interests/save", {"name": "me", f"was{changed}": "-7.50", f"atom{changed}": ""})
    assert desk.store.interest("me").atom_weights == {}
    assert desk.store.interest("me").authors == ("Ada Lovelace", "Author 3")  # a field that was not sent stays
    liked = desk.store.marked("liked")[0]
    send(client, "/interests/save", {"name": "me", "without": liked})
    assert liked not in desk.store.marked("liked")
    assert send(client, "/interests/save", {"name": "me", "atom1": "much"}).status_code == 400
    assert send(client, "/interests/save", {"name": "me", "atom1": "nan"}).status_code == 400
    assert send(client, "/interests/save", {"name": " "}).status_code == 400


def test_an_interest_of_another_name(client, desk):
    name = "a/b & <c>"
    response = send(client, "/interests/save", {"name": name})
    assert client.get(response.headers["location"]).status_code == 200
    assert "a/b &amp; &lt;c&gt;" in client.get("/interests").text
    assert client.get(f"/?order=for-me&interest={quote(name)}").status_code == 200
    here = f"/paper/{FIRST}"
    stay = {"name": name, "stay": "yes", "back": here}
    assert send(client, "/interests/save", {**stay, "like": FIRST}).headers["location"] == here
    assert desk.store.interest(name).liked == (FIRST,)
    assert 'name="without"' in client.get(here).text
    send(client, "/interests/save", {**stay, "dislike": FIRST})
    assert (desk.store.interest(name).liked, desk.store.interest(name).disliked) == ((), (FIRST,))
    send(client, "/interests/save", {**stay, "without": FIRST})
    assert desk.store.interest(name).disliked == ()
    send(client, "/interests/remove", {"name": name})
    assert desk.store.interests() == []


def test_an_interest_whose_atoms_are_gone_can_still_be_edited(client, desk, folder):
    import shutil

    learn(desk.store)
    desk.store.save_interest(Interest("me", atom_weights={2: 1.0}))
    shutil.rmtree(folder / "atoms")
    page = client.get("/interest/me").text
    assert "no atoms" in page
    assert client.get(f"/paper/{FIRST}").status_code == 200
    assert client.get("/?order=for-me").status_code == 400


def test_a_paper_shows_formulas_reasons_and_what_is_like_it(client, desk):
    page = client.get(f"/paper/{FIRST}").text
    assert "<math><msub><mi>ℓ</mi><mn>1</mn></msub></math>" in page
    assert r"$\foo{x}$ and not $5 to $10." in page
    assert "What it is about" in page
    assert page.count('<li class="hit">') == 10
    assert "https://arxiv.org/abs/2611.00000" in page
    assert titles(client.get(f"/paper/{FIRST}?sort=date").text) != titles(page)
    assert client.get("/paper/arxiv:none").status_code == 404
    newer = Paper(FIRST, desk.store.paper(FIRST).title, "Another abstract.", version=2)
    desk.store.add([newer])
    page = client.get(f"/paper/{FIRST}").text
    assert "v2, as shown" in page
    assert "<summary>v1</summary>" in page
    assert rendered(TEX) in page


def test_a_search_by_meaning_and_more_like_this(client, desk):
    page = client.get("/search?q=robot+gripper+torque").text
    assert len(titles(page)) == 30
    assert 'class="chip by-term"' in page
    assert len(titles(client.get("/search?q=robot+gripper&page=2").text)) == 30
    like = client.get(f"/search?like={FIRST}&unlike=arxiv:2611.00002").text
    assert desk.store.paper(FIRST).title not in titles(like)
    assert "less like</span>" in like
    assert client.get("/search?q=robot&form=1&mode=hybrid&mark=").headers["location"] == "/search?q=robot"
    assert "Nothing matches" in client.get("/search?mark=saved").text
    assert client.get("/search?like=arxiv:none").status_code == 400


def test_feeds_and_exports(client, desk):
    feed = ElementTree.fromstring(client.get("/feed.atom?period=all").content)
    entries = feed.findall("{http://www.w3.org/2005/Atom}entry")
    assert len(entries) == 30
    link = entries[0].find("{http://www.w3.org/2005/Atom}link[@rel='alternate']").get("href")
    assert link == f"http://127.0.0.1:{PORT}/paper/arxiv%3A2611.00002"
    assert client.get(link.partition(str(PORT))[2]).status_code == 200
    found = client.get("/feed.json?q=robot").json()["items"]
    days = [item["date_published"] for item in found]
    assert days == sorted(days, reverse=True)
    desk.store.add([Paper("doi:10.1000/evil", "=HYPERLINK(1)", "@x", ("+Eve",), date=LAST_DAY)])
    exported = client.get("/export/csv?id=doi:10.1000/evil")
    assert exported.headers["content-disposition"] == 'attachment; filename="papers.csv"'
    assert "\n=" not in exported.text
    assert ",=" not in exported.text
    assert "@" in client.get(f"/export/bibtex?id={FIRST}").text
    assert client.get(f"/export/ris?like={FIRST}").text.count("TY  -") > 30
    assert client.get("/export/pdf?q=x").status_code == 404


def test_subscriptions(client, desk):
    send(client, "/subscriptions/add", CHANGES["/subscriptions/add"])
    assert desk.store.subscription(ME).every == "weekly"
    desk.store.claim_for_sending(ME, [FIRST], "d1")
    page = client.get("/subscriptions").text
    assert ME in page
    assert "was not confirmed" in page
    for fields in (
        {"address": "nobody"},
        {"address": "a@b\r\nBcc: c@d"},
        {"address": ME, "every": "hourly"},
        {"address": ME, "interest": "nothing"},
        {"address": ME, "at_most": "0"},
    ):
        assert send(client, "/subscriptions/add", fields).status_code == 400
    send(client, "/subscriptions/remove", {"address": ME})
    assert desk.store.subscription(ME) is None


def test_the_link_of_an_e_mail(client, desk):
    token = unsubscribe_token("old@example.org", desk.unsubscribe_key)
    page = client.get(f"/unsubscribe?token={token}")
    assert "old@example.org" in page.text
    assert desk.store.subscription("old@example.org") is not None
    for forged in ("", token[:-2], unsubscribe_token("old@example.org", b"x" * 32)):
        assert client.get(f"/unsubscribe?token={forged}").status_code == 400
        assert client.post(f"/unsubscribe?token={forged}", data={"x": "y"}).status_code == 400
    assert desk.store.subscription("old@example.org") is not None
    # What a mail program sends by itself (RFC 8058): no cookie, no Origin, no key of a form.
    done = client.post(f"/unsubscribe?token={token}", data={"List-Unsubscribe": "One-Click"})
    assert done.status_code == 200
    check_headers(done)
    assert desk.store.subscription("old@example.org") is None
    assert client.post(f"/unsubscribe?token={token}", data={"List-Unsubscribe": "One-Click"}).status_code == 200


def test_with_a_token_only_the_link_of_an_e_mail_is_open(desk):
    host = f"192.168.1.5:{PORT}"
    app = create_papers_app(desk, token="correct-horse-battery-staple", host="192.168.1.5", port=PORT)
    visitor = client_of(app, host)
    for address in [*PAGES, *OTHERS]:
        assert visitor.get(address).status_code == 401, address
    for path, fields in CHANGES.items():
        assert visitor.post(path, data=fields).status_code == 401
    token = unsubscribe_token("old@example.org", desk.unsubscribe_key)
    assert visitor.get(f"/unsubscribe?token={token}").status_code == 200
    assert visitor.post(f"/unsubscribe?token={token}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
    bearer = {"authorization": "Bearer correct-horse-battery-staple"}
    assert visitor.get("/feed.atom", headers=bearer).status_code == 200


def test_markup_in_papers_stays_text(tmp_path):
    folder = make_feed(tmp_path / "feed", attacks(), with_atoms=False)
    with open_feed(folder) as collection:
        desk = PapersDesk(collection)
        client = client_of(create_papers_app(desk, port=PORT))
        seen = set()
        for page in range(1, 8):
            text = client.get(f"/?period=all&page={page}").text
            found = Checker(text)
            assert found.inline == []
            assert found.tags <= OURS | {"math", "mrow", "mi", "mn", "mo", "mtext", "em"}
            assert found.attributes <= OUR_ATTRIBUTES | {
                "data-off",
                "data-on",
                "aria-pressed",
                "data-name",
                "rel",
                "inputmode",
            }
            seen |= set(titles(text))
        assert len(seen) >= 190  # some differ only in what is no part of a title's text
        for number, payload in enumerate(PAYLOADS):
            desk.store.set_note(f"doi:10.9999/x{number}", payload)
            page = client.get(f"/paper/doi:10.9999/x{number}").text
            assert Checker(page).inline == []
            assert unescape(re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)[1]) == payload


def test_papers_of_another_process_are_taken_up(client, desk, folder, monkeypatch):
    with PaperStore.open(folder) as other:
        other.add([Paper("arxiv:2612.00001", "A new paper on robots", "robot gripper", date=LAST_DAY)])
    title = "A new paper on robots"
    assert title not in titles(client.get("/search?q=robot+gripper").text)
    assert title in titles(client.get("/?period=week").text)  # what needs no index is there at once
    monkeypatch.setattr(PaperCollection, "open", classmethod(lambda *_: open_unpatched(folder)))
    desk.keep_up()
    assert len(desk.collection) == 61
    assert title in titles(client.get("/search?q=robot+gripper").text)


def open_unpatched(folder):
    """A collection of a made feed: its encoder has no name that `PaperCollection.open` could load it by."""
    return PaperCollection(PaperStore.open(folder), folder, HashEncoder(DIMENSIONS))


def test_an_index_that_another_process_writes_is_left_alone(desk, monkeypatch):
    def locked(_):
        raise LockedError("is being written to")

    monkeypatch.setattr(type(desk.collection), "catch_up", locked)
    assert desk.catch_up() == 0


def test_a_feed_folder_is_told_from_an_index(made, tmp_path):
    assert is_feed(made)
    assert not is_feed(made / "index")
    assert not is_feed(tmp_path)


def test_a_feed_without_papers(tmp_path):
    with PaperStore.open(tmp_path / "feed", create=True):
        pass
    with open_feed(tmp_path / "feed") as collection:
        desk = PapersDesk(collection)
        desk.warm_up()
        client = client_of(create_papers_app(desk, port=PORT))
        for address in (
            "/",
            "/?order=trending",
            "/search",
            "/search?q=x",
            "/interests",
            "/interest/me",
            "/map",
            "/subscriptions",
            "/feed.atom",
        ):
            assert client.get(address).status_code == 200, address
        assert "sememe papers import" in client.get("/").text


def test_json_of_a_change_is_one_object(client):
    answer = client.post("/note", json={"form_key": key_of(client), "id": FIRST, "text": "x"}, headers=OWN)
    assert json.loads(answer.text) == {"id": FIRST, "note": "x"}


def test_serve_opens_a_feed_folder(made, monkeypatch):
    """What `sememe serve FEED` does up to answering: it indexes, and says where the pages of papers are."""
    seen = {}

    def run(server, sockets):
        seen["pages"] = {route.path for route in _routes(server.config.app)}

    monkeypatch.setattr(uvicorn.Server, "run", run)

    monkeypatch.setattr(PaperCollection, "open", classmethod(lambda *_: open_unpatched(made)))
    announced = []
    serve(made, port=0, announce=announced.append)
    assert announced[0].startswith("http://127.0.0.1:")
    assert {"/map", "/interests", "/subscriptions"} <= seen["pages"]
