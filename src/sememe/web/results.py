"""A search made ready to be shown: hits with their excerpts, bars and moves, and the atoms to steer with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sememe.corpus import Document
from sememe.search import Hit, Hits
from sememe.search.second_search import AtomChange
from sememe.search.stages import StageReport
from sememe.web.asked import Asked
from sememe.web.bars import Bar, Part, Scale, bar, table
from sememe.web.collection import Collection
from sememe.web.highlight import Highlighter, Piece

COMPARED_RANKS = 100  # how far down the unsteered order is known
N_KNOBS = 8
N_CHANGES = 4
MAX_FACTS = 3
MAX_FACT_CHARACTERS = 32


@dataclass(frozen=True)
class Knob:
    """An atom that can be turned up or down.

    Attributes:
        in_query: its activation in the query, 0 when it is not active there.
        in_hits: its part in the scores of the unsteered hits, summed.
        amount: how far the query is moved along it.
    """

    atom: int
    label: str
    in_query: float
    in_hits: float
    amount: float


@dataclass(frozen=True)
class ShownHit:
    """A hit as the page shows it.

    Attributes:
        name: its title as plain text.
        moved: by how many ranks steering has raised it; None when it was below the ranks that are known.
        parts, bar: the score taken apart, when there are atoms.
    """

    hit: Hit
    name: str
    title: Sequence[Piece]
    excerpt: Sequence[Piece]
    facts: Sequence[str]
    moved: int | None
    parts: Sequence[Part]
    bar: Bar | None


@dataclass(frozen=True)
class Mark:
    """A document that the query is drawn to (`like`) or pushed away from (`unlike`)."""

    kind: str
    document: Document
    title: str


@dataclass(frozen=True)
class ShownStage:
    """A stage of the search, as the library reports it, and in words."""

    report: StageReport
    meaning: str


@dataclass(frozen=True)
class Results:
    """The answer to a search.

    Attributes:
        left: hits of the plain order that steering and marks have pushed out, with their old ranks.
        marks: the documents that the visitor marked.
        raised, lowered: the atoms that the marks raised and lowered most.
        stages: what each stage of the search did.
        milliseconds: how long it took.
    """

    asked: Asked
    hits: Sequence[ShownHit]
    knobs: Sequence[Knob]
    left: Sequence[tuple[int, Document]]
    marks: Sequence[Mark]
    raised: Sequence[AtomChange]
    lowered: Sequence[AtomChange]
    stages: Sequence[ShownStage]
    milliseconds: float
    residual_share: float | None


def answer(collection: Collection, asked: Asked) -> Results:
    """Run a search.

    Raises:
        InputError: something about it cannot be used.
    """
    started = time.perf_counter()
    if asked.mode == "lexical":
        asked = asked.plain()  # words have no atoms
    hits = collection.search(asked)
    plain = hits if asked.is_plain else collection.search(asked.plain(), max(COMPARED_RANKS, asked.k), explain=False)
    explanations = [hit.explanation for hit in hits if hit.explanation is not None]
    show = _Shower(collection, asked, hits, {hit.document.id: hit.rank for hit in plain}, Scale.of(explanations))
    present = {hit.document.id for hit in hits}
    marked = [(kind, collection.index.document(document)) for kind, document in asked.marks]
    fed = hits.feedback
    return Results(
        asked=asked,
        hits=[show(hit) for hit in hits],
        knobs=_knobs(collection, asked, plain[: asked.k]) if asked.mode != "lexical" else [],
        left=[(hit.rank, hit.document) for hit in plain[: asked.k] if hit.document.id not in present],
        marks=[Mark(kind, document, title_of(document)) for kind, document in marked],
        raised=fed.raised(N_CHANGES) if fed is not None else [],
        lowered=fed.lowered(N_CHANGES) if fed is not None else [],
        stages=[ShownStage(report, meaning_of(report.stage)) for report in hits.stages],
        milliseconds=1000 * (time.perf_counter() - started),
        residual_share=float(np.mean([e.residual_share for e in explanations])) if explanations else None,
    )


MEANINGS = {
    "encode": "the encoder turns the query into a vector",
    "feedback": "the marked documents move that vector",
    "filter": "few documents pass the filter, so all of them are scored",
    "exact": "every vector is compared with the query’s",
    "lexical": "documents with the query’s words, by BM25",
    "fine": "the vectors of what was proposed are read and scored exactly",
    "fuse": "both rankings are joined by rank",
    "read": "the documents are read",
    "explain": "the scores are taken apart into atoms",
}


def meaning_of(stage: str) -> str:
    """What a stage does, in words; whatever is not known here is a first stage of codes."""
    return MEANINGS.get(stage, "codes in memory propose documents")


def title_of(document: Document) -> str:
    """Its title, or the beginning of its text, or its id."""
    text = " ".join((document.title or document.text[:400]).split())
    return (text if len(text) <= 160 else text[:160].rsplit(" ", 1)[0] + " …") or document.id


def facts_of(document: Document) -> list[str]:
    """The first few short values of its metadata."""
    values = [str(value) for value in document.metadata.values() if isinstance(value, str | int | float)]
    return [value for value in values if 0 < len(value) <= MAX_FACT_CHARACTERS][:MAX_FACTS]


class _Shower:
    """Makes hits of one search ready to be shown."""

    def __init__(
        self, collection: Collection, asked: Asked, hits: Hits[Hit], before: Mapping[str, int], scale: Scale
    ) -> None:
        self._book, self._before, self._scale = collection.book, before, scale
        self._highlighter = Highlighter(asked.query, collection.language)
        self._vector = hits.vector

    def __call__(self, hit: Hit) -> ShownHit:
        # BM25 scores whole documents, so its words may stand anywhere in the text.
        text = hit.document.text if set(hit.parts) == {"lexical"} else hit.passage
        rank, name = self._before.get(hit.document.id), title_of(hit.document)
        parts: Sequence[Part] = []
        drawn = None
        if hit.explanation is not None and self._book is not None and self._vector is not None:
            parts = table(hit.explanation, self._book.atoms.decoder, self._vector)
            drawn = bar(hit.explanation, self._scale)
        return ShownHit(
            hit,
            name,
            self._highlighter.pieces(name),
            self._highlighter.excerpt(text),
            facts_of(hit.document),
            rank - hit.rank if rank is not None else None,
            parts,
            drawn,
        )


def _knobs(collection: Collection, asked: Asked, plain: Sequence[Hit]) -> list[Knob]:
    """The query's own atoms, then those that carry its hits; steering never changes their order."""
    book = collection.book
    if book is None:
        return []
    query = collection.vector(asked.query)
    in_query = book.code_of_query(query)
    in_hits = book.carried(query, collection.index.bank[[hit.row for hit in plain]]) if plain else {}
    carrying = sorted(in_hits, key=lambda atom: -abs(in_hits[atom]))
    order = list(dict.fromkeys([*list(in_query)[: N_KNOBS - 3], *carrying]))[:N_KNOBS]
    order += [atom for atom in asked.steer if atom not in order]
    return [
        Knob(atom, book.label(atom), in_query.get(atom, 0.0), in_hits.get(atom, 0.0), asked.steer.get(atom, 0.0))
        for atom in order
    ]
