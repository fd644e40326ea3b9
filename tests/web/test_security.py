"""The guard: headers on every answer, no foreign names or origins, limits, nothing outside the package."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from page_world import client_of
from running import running
from starlette.routing import Route

from sememe.web import create_app
from sememe.web.collection import Collection
from sememe.web.headers import CONTENT_SECURITY_POLICY, SECURITY_HEADERS
from sememe.web.patience import PatientProtocol

pytest_plugins = ["page_fixtures"]
OWN = "127.0.0.1:8765"
ADDRESSES = [
    "/",
    "/?q=red+cat",
    "/?q=red+cat&mode=hybrid",
    "/?q=red+cat&steer=3:0.5",
    "/atoms",
    "/atom/3",
    "/atlas",
    "/collection",
    "/document/d3",
    "/api/search?q=red",
    "/api/atom/3",
    "/healthz",
    "/static/page.css",
    "/static/page.js",
    "/static/source-sans-regular.otf",
    # and what goes wrong
    "/?q=red&mode=magic",
    "/?q=red&k=0",
    "/api/search",
    "/atom/999",
    "/atom/abc",
    "/document/none",
    "/nowhere",
    "/api/nowhere",
    "/static/none.css",
    "/docs",
    "/openapi.json",
    "/redoc",
]


def check_headers(response):
    for name, value in SECURITY_HEADERS.items():
        assert response.headers.get_list(name) == [value], name
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert not [name for name in response.headers if name.startswith("access-control-")]
    assert "server" not in response.headers
    assert response.headers["cache-control"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "TRACE"])
def test_every_answer_has_the_headers(client, method, address):
    response = client.request(method, address, headers={"origin": f"http://{OWN}"})
    check_headers(response)
    if method == "HEAD":
        assert response.content == b""
        assert response.status_code == client.get(address).status_code
    elif method != "GET":
        assert response.status_code in (404, 405)
    assert "Traceback" not in response.text


def test_all_routes_are_in_the_list(app):
    paths = {route.path.split("{")[0] for route in _routes(app)}
    assert paths == {
        "/",
        "/atoms",
        "/atom/",
        "/atlas",
        "/collection",
        "/document/",
        "/api/search",
        "/api/atom/",
        "/healthz",
        "/static/",
    }
    assert all(any(address.startswith(path) for address in ADDRESSES) for path in paths)


def _routes(app):
    return [route for route in _flat(app.router.routes) if isinstance(route, Route)]


def _flat(routes):
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if inner:
            yield from _flat(inner)
        else:
            yield route


@pytest.mark.parametrize("host", ["evil.com", "evil.com:8765", "localhost", "127.0.0.1:1", "localhost.evil.com:8765"])
@pytest.mark.parametrize("address", ["/", "/static/page.css", "/api/search?q=red", "/nowhere"])
def test_a_foreign_host_is_refused_everywhere(client, host, address):
    response = client.get(address, headers={"host": host, "origin": f"http://{host}"})
    assert response.status_code == 403
    assert "evil" not in response.text
    check_headers(response)


def test_no_preflight_is_answered(client):
    headers = {
        "origin": "http://evil.com",
        "access-control-request-method": "GET",
        "access-control-request-private-network": "true",
    }
    response = client.options("/api/search?q=red", headers=headers)
    assert response.status_code == 405
    check_headers(response)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.com"},
        {"origin": f"http://{OWN}.evil.com"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
    ],
)
def test_a_post_from_elsewhere_is_refused(client, headers):
    response = client.post("/", headers=headers)
    assert response.status_code == 403
    check_headers(response)


def test_too_much_is_refused(client):
    assert client.post("/", content=b"x" * (10 << 20)).status_code == 405
    large = client.post("/", content=b"x" * ((10 << 20) + 1))
    assert large.status_code == 413
    check_headers(large)
    streamed = client.post("/", content=iter([b"x" * (1 << 20)] * 11))
    assert streamed.status_code == 413
    assert client.post("/", headers={"content-length": "-5"}).status_code == 413
    long_address = client.get("/?q=" + "x" * 9000)
    assert long_address.status_code == 414
    check_headers(long_address)
    assert client.get("/?q=" + "x" * 2001).status_code == 400


TRAVERSALS = [
    prefix + middle + "etc/passwd"
    for prefix in ("/static/", "/static/x/", "/static//", "/document/", "/atom/", "/static/source-sans-regular.otf/")
    for middle in (
        "../" * 8,
        "..%2f" * 8,
        "%2e%2e/" * 8,
        "%2e%2e%2f" * 8,
        "..%252f" * 8,
        "%c0%ae%c0%ae/" * 8,
        "..%5c" * 8,
        "..%c1%9c" * 8,
        "/",
        "%00/",
        "C:%5c",
        "%5c%5chost%5c",
    )
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_the_package(server, path):
    # Over a socket: an HTTP client would tidy the path up before sending it.
    answer = talk(server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"root:" not in answer
    assert b"content-security-policy" in answer.lower()


def test_only_the_files_of_the_page_are_static(client):
    for name in (
        "..",
        ".",
        "%2e%2e",
        "page.css/..",
        "templates",
        "__init__.py",
        "../app.py",
        "page.css%00",
        "PAGE.CSS",
    ):
        response = client.get(f"/static/{name}")
        assert response.status_code in (200, 404)  # 200: the client itself has shortened it to another page
        assert "import" not in response.text


def talk(port, data, wait=5.0):
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


@pytest.mark.parametrize(
    "request_head",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}/../evil\r\n\r\n",
        "GET http://evil.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost@evil.com\r\n\r\n",
    ],
)
def test_malformed_requests_get_no_page(server, request_head):
    answer = talk(
        server, request_head.format(port=server).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode()
    )
    assert answer.split(b" ")[1] in (b"400", b"403")
    assert b"Search by meaning" not in answer


def test_only_the_loopback_address_is_bound(server):
    listening = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        if state == "0A" and int(local.split(":")[1], 16) == server:
            listening.append(local.split(":")[0])
    assert listening == ["0100007F"]


def test_slow_visitors_hold_nobody_up(web_index, web_atoms, monkeypatch):
    monkeypatch.setattr(PatientProtocol, "header_seconds", 1.0)
    with running(lambda port: create_app(web_index, web_atoms, port=port)) as port:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        try:
            for connection in slow:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
            started = time.monotonic()
            head = f"GET /?q=red+cat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            assert talk(port, head.encode()).startswith(b"HTTP/1.1 200")
            assert time.monotonic() - started < 1
            slow[0].settimeout(5)
            assert slow[0].recv(100) == b""  # closed by the server
        finally:
            for connection in slow:
                connection.close()


def test_asking_changes_nothing(client, web_index):
    def state():
        return {path: path.stat().st_mtime_ns for path in web_index.path.rglob("*")}

    before = state()
    for _ in range(2):
        for address in ADDRESSES:
            client.get(address)
    assert state() == before


def test_a_bug_of_ours_shows_no_traceback(web_index, web_atoms, monkeypatch):
    app = create_app(web_index, web_atoms, port=8765)

    def fail(*_, **__):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Collection, "search", fail)
    for address in ("/?q=red", "/api/search?q=red"):
        response = client_of(app).get(address)
        assert response.status_code == 500
        assert "secret detail" not in response.text
        assert "Traceback" not in response.text
        check_headers(response)


def test_ids_are_quoted_in_links(client):
    page = (
        client.get("/?q=" + quote("red cat river stone")).text
        + client.get("/document/folder%2Flong%20text%3F.txt").text
    )
    assert 'href="/document/folder/long' not in page
    assert client.get("/document/folder%2Flong%20text%3F.txt").status_code == 200
