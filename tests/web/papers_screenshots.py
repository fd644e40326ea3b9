"""Take the screenshots of the papers' pages in docs/screenshots, and measure how long the pages take to load.

python tests/web/papers_screenshots.py papers.feed --paper arxiv:2405.12522 --query "what do neurons mean"
python tests/web/papers_screenshots.py papers.feed --measure 30
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from urllib.parse import quote_plus

from running import chromium, running

from sememe.papers.collection import PaperCollection
from sememe.web.app import create_papers_app
from sememe.web.papers_asked import paper_url
from sememe.web.papers_desk import PapersDesk

SIZES = {"light-1280": (1280, 900), "dark-1280": (1280, 900), "light-390": (390, 844), "dark-390": (390, 844)}
LOAD = """() => { const [entry] = performance.getEntriesByType("navigation");
    const elements = document.querySelectorAll("*").length;
    return [entry.responseEnd - entry.requestStart, entry.loadEventEnd - entry.startTime, elements]; }"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("feed", type=Path)
    parser.add_argument("--paper", help="whose page is shown (default: the newest)")
    parser.add_argument("--query", default="sparse features of language models")
    parser.add_argument("--only", nargs="+", help="only these pages")
    parser.add_argument("--measure", type=int, metavar="N", help="instead: load each page so many times")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with PaperCollection.open(options.feed) as collection:
        desk = PapersDesk(collection)
        desk.warm_up()
        desk.field()
        paper = options.paper or desk.store.select(limit=1)[0].id
        pages = {
            "feed": "/?period=month",
            "trending": "/?period=month&order=trending",
            "for-me": "/?period=month&order=for-me",
            "search": f"/search?q={quote_plus(options.query)}",
            "paper": paper_url(paper),
            "similar": paper_url(paper) + "#similar",
            "interest": "/interest/me",
            "map": "/map",
            "subscriptions": "/subscriptions",
        }
        pages = {name: path for name, path in pages.items() if not options.only or name in options.only}
        with running(lambda port: create_papers_app(desk, port=port)) as port, chromium() as browser:
            base = f"http://127.0.0.1:{port}"
            if options.measure:
                measure(browser, base, pages, options.measure)
                return
            for size, (width, height) in SIZES.items():
                context = browser.new_context(
                    color_scheme=size.partition("-")[0],
                    viewport={"width": width, "height": height},
                    reduced_motion="reduce",
                )
                take(context.new_page(), base, pages, options.out, size)
                context.close()


def take(page, base, pages, out, size) -> None:
    for name, path in pages.items():
        page.goto(base + path)
        page.evaluate("document.fonts.ready.then(() => true)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)  # the map is drawn in the next frame
        page.screenshot(path=out / f"papers-{name}-{size}.png")


def measure(browser, base, pages, n) -> None:
    """Print, for each page, its processor time in this process and the times that the browser saw, in milliseconds.

    The processor time is the server's, and a little of the driver's; unlike the others it does not depend on what else
    the machine is doing.
    """
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'page':<14} {'processor':>9} {'answer p50':>11} {'p99':>7} {'load p50':>9} {'p99':>7} {'elements':>9}")
    for name, path in pages.items():
        found = []
        for _ in range(n + 1):
            before = time.process_time()
            page.goto(base + path, wait_until="load")
            page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
            found.append([1000 * (time.process_time() - before), *page.evaluate(LOAD)])
        processor, answers, loads, elements = zip(*found[1:], strict=True)  # the first one warms up
        row = [figure for times in (answers, loads) for figure in (statistics.median(times), percentile(times, 99))]
        print(
            f"{name:<14} {statistics.median(processor):>9.0f} {row[0]:>11.0f} {row[1]:>7.0f} {row[2]:>9.0f} "
            f"{row[3]:>7.0f} {elements[-1]:>9,}",
            flush=True,
        )


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


if __name__ == "__main__":
    main()
