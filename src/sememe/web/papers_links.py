"""Where a paper can be read: at its publisher, by what it is known as there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from sememe.papers import Paper
from sememe.papers.message import web_link

_PLACES = {
    "arxiv": ("arXiv", "https://arxiv.org/abs/{}"),
    "doi": ("DOI", "https://doi.org/{}"),
    "acl": ("ACL Anthology", "https://aclanthology.org/{}"),
    "openreview": ("OpenReview", "https://openreview.net/forum?id={}"),
}


class Link(NamedTuple):
    """A place: its name, what the paper is called there, and the address."""

    place: str
    name: str
    address: str


def links(paper: Paper, identities: Sequence[str]) -> list[Link]:
    """The places of a paper, each address once; the one that its source gave comes last."""
    found = []
    for identity in identities:
        kind, _, name = identity.partition(":")
        if kind in _PLACES:
            place, address = _PLACES[kind]
            found.append(Link(place, name, address.format(quote(name, safe="/;()"))))
    own = web_link(paper.url)
    if own and own not in [link.address for link in found]:
        host = urlsplit(own).hostname or own
        found.append(Link("Source", host, own))
    return found
