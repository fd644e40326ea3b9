"""The token: needed beyond the loopback address, asked for once, never set by a GET."""

from __future__ import annotations

import re

import pytest
from page_world import PORT, client_of

from sememe.errors import InputError
from sememe.web import create_app, serve

pytest_plugins = ["page_fixtures"]
TOKEN = "correct-horse-battery-staple"
HOST = f"192.168.1.5:{PORT}"
CLOSED = ["/", "/?q=red", "/atoms", "/atom/3", "/atlas", "/collection", "/document/d1", "/nowhere"]


@pytest.fixture(scope="module")
def guarded(web_index, web_atoms):
    return create_app(web_index, web_atoms, token=TOKEN, host="192.168.1.5", port=PORT)


@pytest.fixture
def visitor(guarded):
    return client_of(guarded, HOST)


def form_of(page):
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_exposed_address_needs_a_token(web_index, web_atoms, host):
    with pytest.raises(InputError, match="other machines"):
        create_app(web_index, web_atoms, host=host)
    with pytest.raises(InputError, match="other machines"):
        serve("/nowhere", host=host, port=0)


def test_a_short_token_is_refused(web_index, web_atoms):
    with pytest.raises(InputError, match="16 characters"):
        create_app(web_index, web_atoms, token="short")


@pytest.mark.parametrize("address", CLOSED)
def test_everything_asks_for_the_token(visitor, address):
    response = visitor.get(address)
    assert response.status_code == 401
    assert 'name="token"' in response.text
    assert "Title" not in response.text
    assert "set-cookie" not in response.headers


def test_programs_get_json_and_send_a_header(visitor):
    response = visitor.get("/api/search?q=red")
    assert response.status_code == 401
    assert response.json()["error"]["message"]
    assert visitor.get("/api/search?q=red", headers={"authorization": f"Bearer {TOKEN}"}).json()["hits"]
    assert visitor.get("/api/search?q=red", headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert visitor.get("/healthz").json() == {"status": "ok"}


def test_the_form_sets_a_cookie_and_leads_on(visitor):
    page = visitor.get("/atom/3?x=1").text
    response = visitor.post("/login", data={**form_of(page), "token": TOKEN}, headers={"origin": f"http://{HOST}"})
    assert response.status_code == 303
    assert response.headers["location"] == "/atom/3?x=1"
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert visitor.get("/atom/3").status_code == 200


def test_a_token_in_the_address_only_fills_in_the_form(visitor):
    response = visitor.get(f"/?token={TOKEN}")
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert form_of(response.text) == {**form_of(response.text), "token": TOKEN, "onward": "/"}
    assert f'value="{TOKEN}"' in visitor.get(f"/login?token={TOKEN}").text
    # A browser sends `Origin: null` under our own referrer policy; the form's key stands in for it.
    sent = visitor.post("/login", data=form_of(response.text), headers={"origin": "null"})
    assert sent.status_code == 303


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\u2603"])
def test_a_wrong_token_opens_nothing(visitor, token):
    page = visitor.get("/").text
    response = visitor.post("/login", data={**form_of(page), "token": token})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert visitor.get("/").status_code == 401


def test_a_form_of_another_site_opens_nothing(visitor):
    assert visitor.post("/login", data={"token": TOKEN, "onward": "/"}).status_code == 403
    fields = {**form_of(visitor.get("/").text), "token": TOKEN}
    assert visitor.post("/login", data=fields, headers={"origin": "http://evil.com"}).status_code == 403
    assert visitor.post("/login", data=fields, headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "x" * 64, "é", "=;", '"', TOKEN])
def test_a_made_up_cookie_opens_nothing(visitor, cookie):
    header = f"sememe-{PORT}={cookie}".encode()
    assert visitor.get("/", headers={"cookie": header}).status_code == 401


@pytest.mark.parametrize(
    "onward", ["//evil.com", "/\\evil.com", "http://evil.com", "javascript:alert(1)", "/a\r\nx: y", "", "evil"]
)
def test_the_form_leads_to_no_other_site(visitor, onward):
    fields = {**form_of(visitor.get("/").text), "token": TOKEN, "onward": onward}
    response = visitor.post("/login", data=fields)
    assert response.headers["location"] == "/"
    assert "x" not in response.headers


def test_there_is_no_form_without_a_token(client):
    assert client.get("/login").status_code == 404
    assert client.post("/login").status_code == 404


def test_the_token_is_in_no_answer_and_no_log(visitor, caplog):
    with caplog.at_level("DEBUG"):
        for address in [*CLOSED, "/login", "/api/search"]:
            assert TOKEN not in visitor.get(address).text
    assert TOKEN not in caplog.text
