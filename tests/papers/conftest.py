"""A feed folder of made papers, and the same with its index."""

from __future__ import annotations

import pytest
from made_papers import make_papers

from hash_encoder import HashEncoder
from sememe.papers import PaperStore
from sememe.papers.collection import PaperCollection


@pytest.fixture
def encoder() -> HashEncoder:
    return HashEncoder(48)


@pytest.fixture
def folder(tmp_path):
    """A feed folder of 80 papers that nobody has indexed."""
    with PaperStore.open(tmp_path / "papers.feed", create=True) as store:
        store.add(make_papers(80))
    return tmp_path / "papers.feed"


@pytest.fixture
def collection(folder, encoder):
    """The same, indexed."""
    with PaperCollection.open(folder, encoder=encoder) as opened:
        opened.catch_up()
        yield opened
