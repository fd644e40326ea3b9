"""A paper with what its reader keeps with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sememe.papers.paper import Paper

if TYPE_CHECKING:
    from sememe.papers.store import PaperStore


@dataclass(frozen=True, slots=True)
class Kept:
    """What is written out: a paper, the names of its marks, its tags and its note."""

    paper: Paper
    marks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    note: str = ""


def kept(store: PaperStore, papers: Iterable[Paper]) -> Iterator[Kept]:
    """Papers of a store with what is kept with each."""
    for paper in papers:
        marks = tuple(sorted(store.marks([paper.id])[paper.id]))
        yield Kept(paper, marks, store.tags(paper.id), store.note(paper.id))
