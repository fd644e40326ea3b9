"""What a verb is given to search: the folder of an index, or the address of a collection on a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sememe.errors import InputError
from sememe.search.milvus.address import is_address

if TYPE_CHECKING:
    from sememe.search.multi_vector import MultiVectorIndex
    from sememe.search.searchable import Searchable

PLACE_HELP = "the folder of an index, or milvus://HOST:PORT/NAME"


def place(text: str) -> str | Path:
    """The type of an argument: an address stays a text, everything else is a path."""
    return text if is_address(text) else Path(text)


def open_place(where: str | Path, coarse: str | None = None) -> Searchable | MultiVectorIndex:
    """Open what `place` gave.

    Args:
        where: a folder or an address.
        coarse: another first stage for this search.

    Raises:
        InputError: a collection on a server cannot be searched with another first stage.

    """
    if isinstance(where, str):
        from sememe.search.milvus import MilvusIndex

        if coarse:
            raise InputError(
                "a collection on a server has the index that it was made with",
                where="--coarse",
                hint="Make another collection with: sememe index push IDX --to URI --collection NAME --index KIND",
            )
        return MilvusIndex.open(where)
    from sememe.search import open_index

    index = open_index(where)
    return index.using(coarse) if coarse else index


def folder(where: str | Path | None, verb: str) -> Path | None:
    """The folder that was given, for what needs an index on disk.

    Raises:
        InputError: it is an address.

    """
    if isinstance(where, str):
        raise InputError(f"{verb} needs an index on disk", where=where, hint="Give the folder of an index")
    return where
