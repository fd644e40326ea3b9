"""A server in a thread on a free loopback port, and Chromium, for tests and for the screenshots."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time

import uvicorn

from sememe.web.serving import server_config

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def running(make_app):
    """Serve what `make_app(port)` returns; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(server_config(make_app(port)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join(10)


def find_chromium():
    """What is missing for a browser test, or None; and the browser's path."""
    path = shutil.which("chromium")
    if path is None:
        return "needs the program chromium (Debian: apt install chromium)", None
    try:
        import playwright.sync_api  # noqa: F401
    except ModuleNotFoundError:
        return "needs the package playwright (the dev extra)", None
    return None, path


@contextlib.contextmanager
def chromium():
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    _, path = find_chromium()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
