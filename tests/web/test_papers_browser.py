"""The pages of a feed folder in a real browser: marks, the keyboard, narrow screens, no markup from papers."""

from __future__ import annotations

import datetime

import pytest
from papers_world import FIRST, PAYLOADS, attacks, made_papers, make_feed, open_feed
from running import running
from test_browser import CONTRAST

from sememe.papers import Subscription
from sememe.papers.message import DigestEntry, Letter, write_message
from sememe.web.app import create_papers_app
from sememe.web.papers_desk import PapersDesk

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.browser
ADDRESSES = [
    "/?period=week",
    "/?order=for-me&period=all",
    "/search",
    "/search?q=robot+arm",
    f"/search?like={FIRST}",
    f"/paper/{FIRST}",
    "/interests",
    "/interest/me",
    "/map",
    "/subscriptions",
]


@pytest.fixture
def desk(tmp_path):
    folder = make_feed(tmp_path / "feed", made_papers())
    with open_feed(folder) as collection:
        store = collection.store
        for number in range(0, 18, 3):
            store.mark(f"arxiv:2611.{number:05d}", "liked")
        for number in range(2, 14, 3):
            store.mark(f"arxiv:2611.{number:05d}", "disliked")
        store.set_note(FIRST, "A note on it")
        store.set_tags(FIRST, ["thesis"])
        store.subscribe(Subscription("a.rather.long.address.of.a.reader@mail.department.example.org"))
        yield PapersDesk(collection)


@pytest.fixture
def open_page(browser, desk):
    """Open a page in a context of its own; whatever the browser complains about fails the test."""
    contexts, complaints = [], []
    with running(lambda port: create_papers_app(desk, port=port)) as port:
        base = f"http://127.0.0.1:{port}"

        def open_page(address="/", **options):
            context = browser.new_context(base_url=base, **options)
            context.set_default_timeout(10_000)
            contexts.append(context)
            page = context.new_page()
            page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
            page.on("request", lambda r: None if r.url.startswith(base) else complaints.append(f"asked for {r.url}"))
            page.goto(address)
            return page

        open_page.complaints = complaints
        yield open_page
        for context in contexts:
            context.close()
    assert complaints == []


def marks(desk, id):
    return set(desk.store.marks([id])[id])


def press(page, key):
    """Press a key that sends something, and wait for the answer."""
    with page.expect_response("**/mark"):
        page.keyboard.press(key)


def test_marks_from_the_keyboard(open_page, desk):
    page = open_page("/?period=week")
    links = page.locator(".papers a.open")
    ids = page.locator(".papers input[name=id]").evaluate_all("fields => fields.map((field) => field.value)")
    page.keyboard.press("s")  # no paper has the focus: nothing happens
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert links.nth(1).evaluate("link => link === document.activeElement")
    press(page, "s")
    assert "saved" in marks(desk, ids[1])
    assert page.locator(".paper").nth(1).locator(".mark-saved").get_attribute("aria-pressed") == "true"
    assert page.locator(".paper").nth(1).locator(".mark-saved .word").inner_text() == "Saved"
    press(page, "u")
    assert "read" in marks(desk, ids[1])
    assert "is-read" in page.locator(".paper").nth(1).get_attribute("class")
    press(page, "u")
    press(page, "s")
    assert marks(desk, ids[1]) & {"read", "saved"} == set()
    press(page, "-")
    assert "disliked" in marks(desk, ids[1])
    press(page, "+")
    assert marks(desk, ids[1]) & {"liked", "disliked"} == {"liked"}
    page.keyboard.press("k")
    press(page, "h")
    assert "hidden" in marks(desk, ids[0])
    assert ids[0] not in page.goto(page.url).text()
    page.keyboard.press("/")
    page.keyboard.type("su")  # letters, while one types
    assert page.input_value(".quick input") == "su"
    assert "saved" not in marks(desk, ids[1])


def test_marks_with_the_mouse_and_what_is_opened_is_read(open_page, desk):
    page = open_page("/?period=week")
    first = page.locator(".paper").first
    id = first.locator("input[name=id]").get_attribute("value")
    with page.expect_response("**/mark"):
        first.locator(".mark-saved").click()
    assert "saved" in marks(desk, id)
    assert page.url.endswith("/?period=week")  # the page was not left
    with page.expect_request("**/mark"):
        first.locator("a.open").click()
    page.wait_for_selector(".single.is-read, .single")
    page.go_back()
    page.reload()
    assert "read" in marks(desk, id)
    page.goto(f"/paper/{id}")
    press(page, "s")
    assert "saved" not in marks(desk, id)


def test_a_refused_mark_is_taken_back_and_said(open_page, desk):
    page = open_page("/?period=week")
    page.locator("input[name=form_key]").first.evaluate("field => { field.value = 'wrong' }")
    button = page.locator(".paper").first.locator(".mark-saved")
    page.route("**/mark", lambda route: route.fulfill(status=503))
    button.click()
    page.wait_for_selector("#said")
    assert button.get_attribute("aria-pressed") == "false"
    assert "503" in open_page.complaints.pop()


def test_without_javascript_one_can_read_and_mark(open_page, desk):
    page = open_page("/?period=week", java_script_enabled=False)
    first = page.locator(".paper").first
    id = first.locator("input[name=id]").get_attribute("value")
    with page.expect_navigation():
        first.locator(".mark-liked").click() if "liked" not in marks(desk, id) else first.locator(".mark-saved").click()
    assert page.url.endswith("/?period=week")
    assert marks(desk, id) & {"saved", "liked"}
    page.locator(".abstract summary").first.click()
    with page.expect_navigation():
        page.locator("a.open").first.click()
    page.locator("textarea[name=text]").fill("Read it twice")
    with page.expect_navigation():
        page.get_by_role("button", name="Keep note").click()
    assert page.input_value("textarea[name=text]") == "Read it twice"
    page.goto("/search")
    page.fill("input[name=q]", "robot arm")
    with page.expect_navigation():
        page.click("button.go")
    assert page.locator(".papers a.open").count() == 30
    page.goto("/map")
    assert page.locator("#map .dots a").count() == 60


def test_an_interest_is_edited(open_page, desk):
    page = open_page("/interest/me")
    weight = page.locator("input[type=number]").first
    name = weight.get_attribute("name")
    weight.fill("9.5")
    page.fill("textarea[name=authors]", "Ada Lovelace")
    with page.expect_navigation():
        page.get_by_role("button", name="Keep changes").click()
    assert page.input_value(f"input[name={name}]") == "9.50"
    assert desk.store.interest("me").atom_weights == {int(name.removeprefix("atom")): 9.5}
    before = page.locator(".marked-papers li").count()
    with page.expect_navigation():
        page.locator(".marked-papers button").first.click()
    assert page.locator(".marked-papers li").count() == before - 1


def test_a_reader_unsubscribes(open_page, desk):
    from sememe.papers.unsubscribing import unsubscribe_token

    (address,) = [one.address for one in desk.store.subscriptions()]
    page = open_page(f"/unsubscribe?token={unsubscribe_token(address, desk.unsubscribe_key)}")
    assert desk.store.subscription(address) is not None
    with page.expect_navigation():
        page.get_by_role("button", name="Unsubscribe").click()
    assert page.locator("h1").inner_text() == "Unsubscribed"
    assert desk.store.subscription(address) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_screen(open_page, width, scheme):
    page = open_page("/", viewport={"width": width, "height": 844}, color_scheme=scheme)
    for address in ADDRESSES:
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.evaluate(CONTRAST) == [], address


def test_controls_have_names(open_page):
    page = open_page("/")
    for address in ADDRESSES:
        page.goto(address)
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("input:not([type=hidden]), button, select, textarea, a")]
            .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
            .map((e) => e.outerHTML)"""
        )
        assert unnamed == [], address
        assert page.locator("h1").count() == 1, address


def test_the_map_finds_titles(open_page, desk):
    page = open_page("/map")
    page.wait_for_selector(".zoom:not([hidden])")
    title = desk.store.paper("arxiv:2611.00007").title
    page.fill(".atlas-find input", title)
    assert page.inner_text(".atlas-find output") == "1 found"
    page.locator("#map .match").evaluate("path => path.closest('a').focus()")
    page.keyboard.press("Enter")
    page.wait_for_url("**/paper/arxiv%3A2611.00007")


@pytest.mark.slow
def test_200_attempts_at_markup_show_as_text(browser, tmp_path):
    """In titles, abstracts, authors, venues, categories, notes and tags: no dialog, and the texts are there."""
    folder = make_feed(tmp_path / "feed", attacks(), with_atoms=False)
    with open_feed(folder) as collection:
        desk, dialogs, texts = PapersDesk(collection), [], set()
        for number, payload in enumerate(PAYLOADS):
            collection.store.set_note(f"doi:10.9999/x{number}", payload)
            collection.store.set_tags(f"doi:10.9999/x{number}", [payload.replace(",", ";")[:100]])
        collection.store.mark("doi:10.9999/x0", "liked")
        with running(lambda port: create_papers_app(desk, port=port)) as port:
            page = browser.new_context(base_url=f"http://127.0.0.1:{port}").new_page()
            page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
            for number in range(1, 8):
                page.goto(f"/?period=all&page={number}")
                texts |= set(page.locator(".papers a.open").all_text_contents())
            for address in ("/map", "/interest/me", "/search?mark=liked", "/search?q=script+alert", "/?order=trending"):
                page.goto(address)
            # All notes are looked at without a browser; here one of each kind, in each of the wrappings.
            for number in range(0, len(PAYLOADS), 11):
                page.goto(f"/paper/doi:10.9999/x{number}")
                assert page.input_value("textarea[name=text]") == PAYLOADS[number]
                assert page.locator("main :is(script, img, iframe, object, video, base)").count() == 0
            page.context.close()
    assert dialogs == []
    plain = [payload for payload in PAYLOADS if "$" not in payload and "\\emph" not in payload]
    assert {" ".join(payload.split()) for payload in plain} <= {" ".join(text.split()) for text in texts}


def test_200_attempts_at_markup_in_an_e_mail(browser, tmp_path):
    entries = [DigestEntry(paper, (paper.title,)) for paper in attacks()]
    letter = Letter(
        "d1",
        entries,
        title=PAYLOADS[0],
        order=PAYLOADS[1],
        why=PAYLOADS[2],
        sender="papers@example.org",
        recipient="me@example.org",
        base_url="http://127.0.0.1:8765",
        unsubscribe="http://127.0.0.1:8765/unsubscribe?token=x",
        written=datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC),
    )
    html = write_message(letter).get_body(("html",)).get_content()
    (tmp_path / "mail.html").write_text(html)
    dialogs = []
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"file://{tmp_path / 'mail.html'}")
    assert page.locator("h2").all_text_contents() == [" ".join(payload.split()) for payload in PAYLOADS]
    assert page.locator("script, img, iframe, object, video, base, form, svg, math").count() == 0
    assert page.evaluate("[...document.querySelectorAll('a')].every((a) => /^https?:/.test(a.href))")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    assert dialogs == []
