"""Take the screenshots in docs/screenshots: every page, light and dark, 1280 and 390 pixels wide.

python tests/web/screenshots.py my.index --atoms my.atoms --query "how do I shrink an index?"
"""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import quote_plus

from running import chromium, running

from sememe import Atoms, Index
from sememe.web import create_app

HEIGHTS = {1280: 900, 390: 844}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path)
    parser.add_argument("--atoms", type=Path)
    parser.add_argument("--query", default="learning from few labelled examples")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with Index.open(options.index) as index:
        atoms = Atoms.load(options.atoms or index.atoms_path)
        with running(lambda port: create_app(index, atoms, port=port)) as port, chromium() as browser:
            for scheme in ("light", "dark"):
                for width, height in HEIGHTS.items():
                    context = browser.new_context(
                        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce"
                    )
                    take(context.new_page(), f"http://127.0.0.1:{port}", options, f"{scheme}-{width}")
                    context.close()


def take(page, base, options, suffix) -> None:
    def shot(name, path=None) -> None:
        if path is not None:
            page.goto(base + path)
        page.evaluate("document.fonts.ready.then(() => true)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)  # the map is drawn in the next frame
        page.screenshot(path=options.out / f"{name}-{suffix}.png")

    query = quote_plus(options.query)
    shot("start", "/")
    shot("search", f"/?q={query}")
    page.locator("details.why summary").first.click()
    page.locator("details.why").first.scroll_into_view_if_needed()
    shot("why")
    page.goto(f"{base}/?q={query}")
    for hit, mark in ((2, "like"), (3, "unlike")):
        with page.expect_navigation():
            page.locator("li.hit").nth(hit).locator(f"a.{mark}").click()
    shot("marked")
    page.goto(f"{base}/?q={query}")
    page.locator("details.stages summary").click()
    page.locator("details.stages").evaluate("part => part.scrollIntoView({ block: 'end' })")
    shot("stages")
    page.goto(f"{base}/?q={query}")
    slider = page.locator("#answer input[type=range]").nth(2)
    slider.evaluate("s => { s.value = 0.6; s.dispatchEvent(new Event('input', { bubbles: true })); }")
    page.wait_for_selector(".moved")
    page.evaluate("document.querySelector('.knobs details').open = true")
    shot("steered")
    document = page.locator("a.open").first.get_attribute("href")
    atom = page.locator("#answer .chip").first.get_attribute("href")
    shot("document", document)
    shot("atom", atom)
    shot("atoms", "/atoms")
    shot("atlas", "/atlas")
    shot("collection", "/collection")


if __name__ == "__main__":
    main()
