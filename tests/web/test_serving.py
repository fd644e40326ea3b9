"""`serve`: where it listens, what it says, and what it refuses."""

from __future__ import annotations

import contextlib
import socket

import pytest
import uvicorn

from sememe import Atoms, Index
from sememe.errors import ArtifactError, InputError
from sememe.web import serve

pytest_plugins = ["page_fixtures"]


@pytest.fixture
def started(monkeypatch, web_index, web_atoms):
    """Call `serve` on the small collection without answering anything; returns what it was about to do."""
    # The encoder of the small index has no name to load it by.
    monkeypatch.setattr(Index, "open", classmethod(lambda *_: contextlib.nullcontext(web_index)))
    monkeypatch.setattr(Atoms, "load", classmethod(lambda *_: web_atoms))

    def start(**options):
        seen = {"announced": []}

        def run(server, sockets):
            seen.update(config=server.config, address=sockets[0].getsockname())

        monkeypatch.setattr(uvicorn.Server, "run", run)
        serve("index", "atoms", announce=seen["announced"].append, **options)
        return seen

    return start


def test_it_listens_on_the_loopback_address_and_says_where(started):
    seen = started(port=0)
    host, port = seen["address"]
    assert host == "127.0.0.1"
    assert seen["announced"] == [f"http://127.0.0.1:{port}/"]
    config = seen["config"]
    assert (config.server_header, config.proxy_headers, config.access_log, config.ws) == (False, False, False, "none")


def test_it_listens_elsewhere_only_when_told(started):
    seen = started(port=0, host="0.0.0.0", token="a long enough token")
    assert seen["address"][0] == "0.0.0.0"


def test_a_taken_port_is_named(started):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError) as caught:
            started(port=port)
    assert caught.value.where == f"127.0.0.1:{port}"
    with pytest.raises(InputError):
        started(port=70000)
    with pytest.raises(InputError):
        started(port=0, host="256.1.1.1", token="a long enough token")


def test_a_missing_index_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        serve(tmp_path / "nothing", port=0)
