"""The page in a real browser: searching, steering, the keyboard, narrow screens, and nothing on the console."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.browser
ADDRESSES = [
    "/",
    "/?q=red+cat+river",
    "/?q=red+cat&steer=3:0.5",
    "/?q=red&mode=lexical",
    "/?q=red+cat&mode=hybrid",
    "/?q=red+cat&like=d3&like=d7&unlike=d5",
    "/atoms",
]
ADDRESSES += ["/atom/3", "/atlas", "/collection", "/document/d3?q=red", "/document/folder%2Flong%20text%3F.txt"]


@pytest.fixture
def open_page(browser, server):
    """Open a page in a context of its own; whatever the browser complains about fails the test."""
    base, contexts, complaints = f"http://127.0.0.1:{server}", [], []

    def open_page(address="/", **options):
        context = browser.new_context(base_url=base, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda r: complaints.append(r.url) if r.failure != "net::ERR_ABORTED" else None)
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda r: None if r.url.startswith(base) else complaints.append(f"asked for {r.url}"))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def titles(page):
    return page.locator(".hits a.open").all_inner_texts()


def turn(page, number, amount):
    page.locator("#answer input[type=range]").nth(number).evaluate(
        "(slider, amount) => { slider.value = amount; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        amount,
    )


def test_search_open_an_atom_and_steer(open_page):
    page = open_page("/")
    page.fill("input[name=q]", "red cat river")
    with page.expect_navigation():
        page.press("input[name=q]", "Enter")
    assert page.url.endswith("/?q=red+cat+river")
    before = titles(page)
    assert len(before) == 10

    page.locator("#answer .hit .chip").first.click()
    page.wait_for_url("**/atom/*")
    assert page.locator(".histogram rect").count() > 0
    page.go_back()

    turn(page, 1, 0.8)
    page.wait_for_selector(".moved")
    after = titles(page)
    assert after != before
    assert page.locator(".moved.up").count() > 0
    assert "steer=" in page.url
    steered = page.url

    fresh = open_page(steered)
    assert titles(fresh) == after
    assert fresh.locator("#answer input[type=range]").nth(1).input_value() == "0.8"

    page.click("a.reset")
    page.wait_for_selector(".moved", state="detached")
    assert titles(page) == before
    assert page.url.endswith("/?q=red+cat+river")


def test_a_slider_keeps_its_focus_and_open_explanations_stay_open(open_page):
    page = open_page("/?q=red+cat+river")
    page.locator("details.why summary").first.click()
    first = page.locator("details.why[open]").locator("xpath=ancestor::li").locator("a.open").get_attribute("href")
    slider = page.locator("#answer input[type=range]").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".moved")
    assert slider.evaluate("slider => slider === document.activeElement")
    assert page.locator(f'li.hit:has(a[href="{first}"]) details.why[open]').count() == 1


def test_more_like_this_and_less_like_this(open_page):
    page = open_page("/?q=red+cat+river")
    before = titles(page)
    assert page.locator(".marked").count() == 0
    with page.expect_navigation():
        page.locator("li.hit").nth(3).locator("a.like").click()
    assert "like=" in page.url
    assert page.locator(".marked li.like").count() == 1
    assert page.locator("a.like.on").count() == 1
    assert titles(page) != before
    assert page.locator(".changed .chip").count() > 1
    with page.expect_navigation():
        page.locator("li.hit").nth(1).locator("a.unlike").click()
    assert page.locator(".marked li").count() == 2
    turn(page, 0, 0.6)  # steering keeps the marks
    page.wait_for_url("**steer=**")
    assert page.locator(".marked li").count() == 2
    assert "unlike=" in page.url
    page.click("a.reset")
    page.wait_for_url(lambda url: "steer=" not in url)
    assert page.locator(".marked li").count() == 2
    for _ in range(2):
        with page.expect_navigation():
            page.locator(".marked a.remove").first.click()
    assert titles(page) == before
    assert page.url.endswith("/?q=red+cat+river")


def test_marks_work_without_javascript_and_stay_in_the_form(open_page):
    page = open_page("/?q=red+cat+river", java_script_enabled=False)
    before = titles(page)
    with page.expect_navigation():
        page.locator("li.hit").nth(2).locator("a.unlike").click()
    marked = titles(page)
    assert marked != before
    page.fill("input[name=q]", "blue dog")
    with page.expect_navigation():
        page.click("button.go")
    assert page.locator(".marked li.unlike").count() == 1
    assert page.url.startswith(page.url.split("/?")[0] + "/?q=blue+dog&unlike=")
    with page.expect_navigation():
        page.locator(".marked a.remove").click()
    assert page.locator(".marked").count() == 0


def test_how_it_was_found_is_closed_and_stays_open_while_steering(open_page):
    page = open_page("/?q=red+cat+river")
    assert not page.locator("details.stages table").is_visible()
    page.locator("details.stages summary").click()
    assert page.locator("details.stages tbody tr").count() == 5
    assert page.locator("details.stages table").is_visible()
    turn(page, 0, 0.6)
    page.wait_for_selector(".moved")
    assert page.locator("details.stages table").is_visible()


def test_the_keyboard_is_enough(open_page):
    page = open_page("/?q=red+cat+river")
    links = page.locator(".hits a.open")

    def has_focus(place):
        return links.nth(place).evaluate("link => link === document.activeElement")

    page.keyboard.press("j")
    assert has_focus(0)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert has_focus(1)
    assert links.nth(1).evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("jk/")
    assert page.input_value("input[name=q]") == "jk/"  # keys are letters while one types
    page.keyboard.press("Escape")
    href = links.nth(0).get_attribute("href")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{href}")


def test_without_javascript_one_can_search_read_and_steer(open_page):
    page = open_page("/", java_script_enabled=False)
    page.fill("input[name=q]", "red cat river")
    with page.expect_navigation():  # without it, half of the page may be all that has arrived
        page.click("button.go")
    before = titles(page)
    assert len(before) == 10
    page.locator("#answer input[type=range]").nth(1).focus()
    for _ in range(16):
        page.keyboard.press("ArrowRight")
    with page.expect_navigation():
        page.click("button.apply")
    assert titles(page) != before
    assert page.url.split("&")[1].startswith("steer=")
    with page.expect_navigation():
        page.locator(".hits a.open").first.click()
    assert page.locator(".text").inner_text()
    page.goto("/atlas")
    assert page.locator("#map text").count() > 0
    page.goto("/atom/0")
    assert page.locator(".histogram rect").count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_screen(open_page, width, scheme):
    page = open_page("/", viewport={"width": width, "height": 844}, color_scheme=scheme)
    for address in ADDRESSES:
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


CONTRAST = Path(__file__).with_name("contrast.js").read_text().rstrip().rstrip(";")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(open_page, scheme):
    page = open_page("/", color_scheme=scheme)
    for address in [*ADDRESSES, "/?q=red+cat&steer=3:-1,5:1"]:
        page.goto(address)
        assert page.evaluate(CONTRAST) == [], address


def test_controls_have_names(open_page):
    page = open_page("/")
    for address in ADDRESSES:
        page.goto(address)
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("input:not([type=hidden]), button, select, a")]
            .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
            .map((e) => e.outerHTML)"""
        )
        assert unnamed == [], address
        assert page.locator("h1").count() == 1


def test_the_theme_is_remembered(open_page):
    page = open_page("/", color_scheme="light")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)
    page.click("button.theme")
    assert page.evaluate(background) == light
    page.click("button.theme")
    dark = page.evaluate(background)
    assert dark != light
    page.goto("/atoms")
    assert page.evaluate(background) == dark
    page.click("button.theme")
    assert page.evaluate(background) == light


def test_the_atlas_moves_and_finds(open_page):
    page = open_page("/atlas")
    page.wait_for_selector(".zoom:not([hidden])")
    whole = page.get_attribute("#map", "viewBox")
    page.click("button[aria-label='Zoom in']")
    page.wait_for_selector(f"#map:not([viewBox='{whole}'])")
    page.click("button[aria-label='Show all']")
    page.wait_for_selector(f"#map[viewBox='{whole}']")
    page.fill(".atlas-find input", "word7")
    assert page.inner_text(".atlas-find output") == "1 found"
    assert page.locator("#map .match").count() == 1
    dot = page.locator("#map .match")
    # A dot is a path without length: it has a place, but no box that a driver would call visible.
    place = dot.evaluate("path => [path.getBoundingClientRect().x, path.getBoundingClientRect().y]")
    page.mouse.move(*place)
    page.wait_for_selector("#tip:not([hidden])")
    assert "word7" in page.inner_text("#tip")
    page.mouse.click(*place)
    page.wait_for_url("**/atom/7")


def test_the_atlas_is_dragged_without_opening_anything(open_page):
    page = open_page("/atlas")
    page.click("button[aria-label='Zoom in']")
    box = page.locator("#map").bounding_box()
    before = page.get_attribute("#map", "viewBox")
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 260, steps=4)
    page.mouse.up()
    page.wait_for_selector(f"#map:not([viewBox='{before}'])")
    assert page.url.endswith("/atlas")


def test_pointing_at_an_atom_lights_up_its_places(open_page):
    page = open_page("/?q=red+cat+river")
    page.locator("#answer .hit .chip").first.hover()
    page.wait_for_selector(".lit")
    atom = page.locator("#answer .hit .chip").first.get_attribute("data-atom")
    assert page.locator(".lit").count() == page.locator(f'[data-atom="{atom}"]').count() > 1


def test_markup_in_a_query_stays_text(open_page):
    for payload in ("<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "<svg onload=alert(1)>"):
        page = open_page("/")
        page.fill("input[name=q]", payload)
        with page.expect_navigation():
            page.press("input[name=q]", "Enter")
        assert page.input_value("input[name=q]") == payload
        turn(page, 0, 0.5)
        page.wait_for_selector(".moved")
