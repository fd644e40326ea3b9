"""A small index, small random atoms, and the page on them.

Not a conftest.py: a second module of that name would hide the one that all rooms import from.
"""

from __future__ import annotations

import pytest
from page_world import DIMENSIONS, PORT, client_of, make_atoms, make_documents
from running import chromium, find_chromium, running

from hash_encoder import HashEncoder
from sememe import Index
from sememe.web import create_app


@pytest.fixture(scope="session")
def web_index(tmp_path_factory):
    with Index.build(make_documents(), HashEncoder(DIMENSIONS), tmp_path_factory.mktemp("web") / "i") as built:
        yield built


@pytest.fixture(scope="session")
def web_atoms():
    return make_atoms()


@pytest.fixture(scope="session")
def app(web_index, web_atoms):
    return create_app(web_index, web_atoms, port=PORT)


@pytest.fixture(scope="session")
def client(app):
    return client_of(app)


@pytest.fixture(scope="session")
def server(web_index, web_atoms):
    """The port of a real server."""
    with running(lambda port: create_app(web_index, web_atoms, port=port)) as port:
        yield port


@pytest.fixture(scope="session")
def browser():
    missing, _ = find_chromium()
    if missing is not None:
        pytest.skip(missing)
    with chromium() as started:
        yield started
