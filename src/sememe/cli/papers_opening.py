"""A feed folder's papers, indexed up to now, for the commands that search and rank them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sememe.cli.flags import add_feed_flag, add_json_flag
from sememe.errors import LockedError
from sememe.papers.folder import feed_folder

if TYPE_CHECKING:
    from sememe.papers.collection import PaperCollection


def add_collection_flags(parser: argparse.ArgumentParser, act: Callable[[argparse.Namespace], int]) -> None:
    """The flags of an action that opens the collection, and the function that carries it out."""
    add_feed_flag(parser)
    add_encoder_flag(parser)
    add_json_flag(parser)
    parser.set_defaults(act=act)


def add_encoder_flag(parser: argparse.ArgumentParser) -> None:
    """The flag of every command that may have to make the index."""
    parser.add_argument(
        "--encoder", help="what makes the index when there is none yet (default minilm; wordllama is the fastest)"
    )


@contextmanager
def opened_collection(options: argparse.Namespace) -> Iterator[PaperCollection]:
    """The papers with their index brought up to date; one that another process is bringing up to date is used as is."""
    from sememe.papers.collection import PaperCollection

    with PaperCollection.open(feed_folder(options.feed), encoder=options.encoder) as collection:
        try:
            collection.catch_up()
        except LockedError as error:
            print(f"sememe papers: {error.message}; what it has not indexed yet is not found", file=sys.stderr)
        yield collection
