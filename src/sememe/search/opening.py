"""Opening an index of either kind by its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sememe.search.index import Index
from sememe.search.manifest import is_multi_vector

if TYPE_CHECKING:
    from sememe.search.multi_vector import MultiVectorIndex


def open_index(path: str | Path, *, writable: bool = False) -> Index | MultiVectorIndex:
    """Open whichever kind of index a folder holds.

    Raises:
        ArtifactError: it holds none, or one that is damaged or half-built.
        LockedError: `writable`, and another process is writing.

    """
    if not is_multi_vector(path):
        return Index.open(path, writable=writable)
    from sememe.search.multi_vector import MultiVectorIndex

    return MultiVectorIndex.open(path, writable=writable)
