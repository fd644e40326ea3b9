"""Signed links: genuine ones name their address, all others are refused."""

from __future__ import annotations

import pytest

from sememe.errors import InputError
from sememe.papers.addresses import address_of
from sememe.papers.safe_text import body_text, header_text, shortened, xml_text
from sememe.papers.unsubscribing import address_in, checked_base_url, unsubscribe_token, unsubscribe_url

KEY = b"k" * 32


def test_a_token_names_its_address():
    token = unsubscribe_token("me@example.org", KEY)
    assert address_in(token, KEY) == "me@example.org"
    assert "me@" not in token
    url = unsubscribe_url("me@example.org", KEY, "https://papers.example.org")
    assert url == f"https://papers.example.org/unsubscribe?token={token}"


def test_no_other_token_is_taken():
    token = unsubscribe_token("me@example.org", KEY)
    other = unsubscribe_token("you@example.org", KEY)
    body, _, signature = token.partition(".")
    forged = [
        "",
        ".",
        token[:-1],
        token + "A",
        token + "=",
        body,
        f"{body}.",
        f".{signature}",
        token.upper(),
        "é",
        "x" * 10_000,
        f"{other.partition('.')[0]}.{signature}",
        unsubscribe_token("me@example.org", b"other" * 8),
        token + "\n",
        f"{body}=.{signature}",
    ]
    forged += [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    for text in forged:
        with pytest.raises(InputError):
            address_in(text, KEY)


@pytest.mark.parametrize(
    "address", ["a@b", "first.last+tag@Sub.Example.org", "o'neil@example.org", "x@münchen.example", " me@example.org "]
)
def test_addresses(address):
    found = address_of(address, where="--to")
    assert found.isascii()
    assert found.count("@") == 1
    assert address_of(found, where="--to") == found


BAD_ADDRESSES = [
    "",
    "a",
    "@",
    "a@",
    "@b",
    "a b@c",
    "a@b c",
    "a@b\r\nBcc: x@y",
    "a\n@b",
    "<a@b>",
    "a@b>",
    "a@b,c@d",
    "a@b;c@d",
    '"a"@b',
    "a..b@c",
    ".a@b",
    "a.@b",
    "a@-b",
    "a@b-",
    "a@b..c",
    "é@example.org",
    "a@" + "b" * 300,
    "a" * 65 + "@b",
    "a@b\x00",
    "a@[1.2.3.4]",
    "a\u202e@b",
    "a@b/../c",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match="no e-mail address"):
        address_of(address, where="--to")


def test_texts_for_headers_bodies_and_xml():
    assert header_text("a\r\nBcc: x\u2028y\x00\x1b[31m \u202eb") == "a Bcc: x y [31m b"
    assert header_text("👩\u200d🔬 שלום") == "👩\u200d🔬 שלום"
    assert len(header_text("word " * 100)) <= 200
    assert body_text("a\n\n b \u202e\u2066c\x00d\ud800") == "a b c d"
    assert xml_text("a\x00\x0b\ufffe\ud800\n") == "a" + "\ufffd" * 4 + "\n"
    assert shortened("one two three", 9) == "one two…"
    assert shortened("x" * 20, 9) == "x" * 8 + "…"
    assert shortened("short", 9) == "short"


def test_base_urls():
    assert checked_base_url("http://127.0.0.1:8765/") == "http://127.0.0.1:8765"
    assert checked_base_url("https://example.org/papers") == "https://example.org/papers"
    for text in (
        "",
        "example.org",
        "ftp://a",
        "javascript:alert(1)",
        "http://a?b",
        "http://a#b",
        "http://a\r\nb",
        "http://a<b",
    ):
        with pytest.raises(InputError):
            checked_base_url(text)
