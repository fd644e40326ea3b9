"""Which Host headers are answered."""

from __future__ import annotations

import pytest

from sememe.web.hosts import Hosts, is_loopback

GOOD = [b"127.0.0.1:8765", b"localhost:8765", b"[::1]:8765", b"LocalHost:8765"]
BAD = [
    b"evil.com",
    b"evil.com:8765",
    b"localhost.evil.com:8765",
    b"127.0.0.1.nip.io:8765",
    b"",
    b":8765",
    b"localhost@evil.com:8765",
    b"evil.com@localhost:8765",
    b"localhost.:8765",
    b"127.0.0.1.:8765",
    b"127.0.0.1",
    b"127.0.0.1:80",
    b"127.0.0.1:08765",
    b"127.0.0.1:8765:8765",
    b"127.1:8765",
    b"2130706433:8765",
    b"0x7f.0.0.1:8765",
    b"0.0.0.0:8765",
    b"[::]:8765",
    b"[::ffff:127.0.0.1]:8765",
    b"::1:8765",
    b"[::1]8765",
    b"[::1%lo]:8765",
    b"127.0.0.1:8765/evil",
    b"127.0.0.1:8765?x",
    b"127.0.0.1:8765#x",
    b" 127.0.0.1:8765",
    b"127.0.0.1:8765\t",
    b"127.0.0.1\x00:8765",
    "１２７.0.0.1:8765".encode(),
    b"localhost:8765, evil.com",
    b"192.168.1.5:8765",
]


@pytest.mark.parametrize("host", GOOD)
def test_our_names_are_allowed(host):
    assert Hosts("127.0.0.1", 8765).allow([(b"host", host)])


@pytest.mark.parametrize("host", BAD)
def test_all_others_are_not(host):
    assert not Hosts("127.0.0.1", 8765).allow([(b"host", host)])


def test_exactly_one_header_is_needed():
    hosts = Hosts("127.0.0.1", 8765)
    assert not hosts.allow([])
    assert not hosts.allow([(b"host", GOOD[0]), (b"host", GOOD[0])])
    assert not hosts.allow([(b"host", GOOD[0]), (b"Host", b"evil.com")])


def test_the_default_port_may_be_left_out():
    assert Hosts("127.0.0.1", 80).allow([(b"host", b"localhost")])


def test_an_explicit_address_is_allowed_too():
    assert Hosts("192.168.1.5", 8765).allow([(b"host", b"192.168.1.5:8765")])
    assert Hosts("fd00::5", 8765).allow([(b"host", b"[fd00::5]:8765")])
    assert not Hosts("192.168.1.5", 8765).allow([(b"host", b"192.168.1.6:8765")])


def test_a_server_on_every_address_takes_addresses_but_no_foreign_names():
    hosts = Hosts("0.0.0.0", 8765)
    assert hosts.allow([(b"host", b"10.1.2.3:8765")])
    assert hosts.allow([(b"host", b"[fd00::5]:8765")])
    for name in (b"evil.com:8765", b"10.1.2.3.nip.io:8765", b"10.1.2.3:80", b"[10.1.2.3.4]:8765"):
        assert not hosts.allow([(b"host", name)])


def test_loopback_is_told_from_the_rest():
    assert all(map(is_loopback, ["127.0.0.1", "localhost", "::1", "127.0.0.2"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "localhost.evil.com"]))
