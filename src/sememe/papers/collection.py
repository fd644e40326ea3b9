"""A feed folder opened: the store of papers, the index that follows it, and the atoms that explain what it finds."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from sememe import disk
from sememe.errors import ArtifactError, InputError
from sememe.papers.catching_up import INDEX, INDEXED, catch_up, is_behind
from sememe.papers.features import Features
from sememe.papers.learning import learn
from sememe.papers.query_words import query_words
from sememe.papers.reasons import Reason, Score, reasons_for
from sememe.papers.selecting import Selection
from sememe.papers.similar import likeness
from sememe.papers.store import PaperStore
from sememe.search import Index

if TYPE_CHECKING:
    from sememe.atoms import Atoms
    from sememe.models import Encoder
    from sememe.papers.paper import Paper
    from sememe.search.hits import Explanation

ATOMS = "atoms"
DEFAULT_ENCODER = "minilm"
ENOUGH_FOR_ATOMS = 500
ORDERS = ("likeness", "date")


@dataclass(frozen=True, eq=False)
class PaperHit:
    """A paper that was found.

    Attributes:
        paper: the paper.
        score: what hits are ordered by.
        reasons: the strongest ones, atoms before words.
        explanation: the part of the score that comes from the paper's vector, by atoms; None without atoms.

    """

    paper: Paper
    score: float
    reasons: Sequence[Reason]
    explanation: Explanation | None = None


class PaperCollection:
    """The papers of a feed folder, searched by meaning and by words. Open it with `PaperCollection.open`.

    It may be used from several threads. What another process indexes is seen after `catch_up`.

    Attributes:
        store: the papers and what a reader keeps with them.
        folder: the feed folder.

    """

    def __init__(self, store: PaperStore, folder: Path, encoder: str | Encoder | None) -> None:
        self.store, self.folder = store, folder
        self._name = encoder if isinstance(encoder, str) else None
        self._loaded = None if isinstance(encoder, str) else encoder
        self._lock = threading.RLock()
        self._index: Index | None = None
        self._previous: Index | None = None
        self._standing: object = None
        self._features: Features | None = None
        self._atoms: Atoms | None = None
        self._atoms_standing: object = None
        self._open_index()

    @classmethod
    def open(cls, folder: str | Path, *, encoder: str | Encoder | None = None) -> PaperCollection:
        """Open a feed folder. Nothing is encoded before `catch_up`.

        Args:
            folder: the feed folder.
            encoder: what makes the index; by default the one that made it, or MiniLM for a new one.

        Raises:
            ArtifactError: there is no store, or the store or the index is damaged.

        """
        folder = Path(folder)
        store = PaperStore.open(folder)
        try:
            return cls(store, folder, encoder)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close the files."""
        for index in (self._index, self._previous):
            if index is not None:
                index.close()
        self._index = self._previous = None
        self.store.close()

    def __enter__(self) -> PaperCollection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of papers that are indexed."""
        return 0 if self._index is None else len(self._index)

    def catch_up(self) -> int:
        """Index what the store has and the index has not; return how many papers were encoded.

        It is resumed after a kill and ends the same. An abstract that has changed replaces its vectors.

        Raises:
            LockedError: another process is catching up.
            ModelError: the encoder is not the one that made the index.

        """
        with self._lock:
            encoded = catch_up(self.store, self.folder, self._encoder()) if is_behind(self.store, self.folder) else 0
            self._open_index()
        return encoded

    # What it is searched with

    @property
    def index(self) -> Index:
        """The index.

        Raises:
            ArtifactError: nothing was indexed yet.

        """
        if self._index is None:
            raise ArtifactError("has no index yet", where=str(self.folder), hint="Bring it up to date: catch_up()")
        return self._index

    @property
    def features(self) -> Features:
        """What its papers are compared by."""
        with self._lock:
            if self._features is None:
                self._features = Features.of(self.index)
            return self._features

    @property
    def atoms(self) -> Atoms | None:
        """The atoms that explain scores, from the folder `atoms`; None when none were learned.

        Raises:
            ArtifactError: they are damaged, or of vectors of another width.

        """
        from sememe.atoms import Atoms

        path = self.folder / ATOMS
        with self._lock:
            standing = disk.standing(path)
            if standing != self._atoms_standing:
                self._atoms = None if standing is None else Atoms.load(path)
                self._atoms_standing = standing
            found = self._atoms
        if found is not None and self._index is not None and found.dimensions != self._index.bank.dimensions:
            hint = f"Learn them again: sememe atoms learn {self.folder / INDEX} --path {path}"
            raise ArtifactError("are atoms of vectors of another width", where=str(path), hint=hint)
        return found

    @property
    def note(self) -> str:
        """What a reader is told about the reasons that are shown; empty when atoms are among them."""
        if self.atoms is not None:
            return ""
        if len(self) < ENOUGH_FOR_ATOMS:
            return f"Reasons are words only: atoms need about {ENOUGH_FOR_ATOMS} papers, and there are {len(self)}."
        command = f"sememe atoms learn {self.folder / INDEX} --path {self.folder / ATOMS}"
        return f"Reasons are words only until atoms are learned: {command}"

    # Searching

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        mode: str = "hybrid",
        since: datetime.date | None = None,
        until: datetime.date | None = None,
        mark: str | None = None,
        tag: str | None = None,
    ) -> list[PaperHit]:
        """The papers that answer a query best; hidden ones are left out unless they are asked for.

        Args:
            query: what is looked for.
            k: how many hits.
            mode: hybrid (meaning and words, fused by rank), dense or lexical.
            since: the first day, included.
            until: the last day, included.
            mark: only papers with this mark, such as `saved`.
            tag: only papers with this tag.

        Raises:
            InputError: the query is empty, or an argument cannot be used.

        """
        selection = Selection(since, until, mark, None if mark == "hidden" else "hidden", tag)
        restricted = selection != Selection(unmarked="hidden") or bool(self.store.marked("hidden"))
        where = {"id": self.store.ids(selection)} if restricted else None
        if self._index is None:
            if not query.strip():
                raise InputError("is empty", where="query")
            return []
        atoms = self.atoms if mode != "lexical" else None
        hits = self.index.search(query, k, mode=mode, where=where, explain=atoms)
        terms = query_words(self.index, query, [hit.document.id for hit in hits])
        papers = self.store.papers([hit.document.id for hit in hits])
        return [
            PaperHit(
                paper, hit.score, reasons_for(paper, hit.explanation, of_hit, language=self._language), hit.explanation
            )
            for hit, paper, of_hit in zip(hits, papers, terms, strict=True)
        ]

    def similar(self, id: str, k: int = 10, *, order: str = "likeness") -> list[PaperHit]:
        """The papers most like a given one, with what they share; hidden ones are left out.

        Args:
            id: the paper.
            k: how many.
            order: the k most alike by `likeness`, or the newest of them first by `date`.

        Raises:
            InputError: the paper is unknown or not indexed, or there is no such order.

        """
        own = self.store.paper(id).id
        score = likeness(self.features, self.features.row(own))
        return _ordered(self.best(score, k, without=[own]), order)

    def more_like(
        self, liked: Iterable[str], disliked: Iterable[str] = (), k: int = 10, *, order: str = "likeness"
    ) -> list[PaperHit]:
        """More like some papers, less like others; those and hidden ones are left out. Any number of marks will do.

        Args:
            liked: ids, at least one.
            disliked: ids.
            k: how many.
            order: as in `similar`.

        Raises:
            InputError: nothing is liked, a paper is unknown, or both liked and disliked, or there is no such order.

        """
        plus = [paper.id for paper in self.store.papers(liked)]
        minus = [paper.id for paper in self.store.papers(disliked)]
        return _ordered(self.best(learn(self.features, plus, minus), k, without=[*plus, *minus]), order)

    def best(self, score: Score, k: int, *, without: Sequence[str] = ()) -> list[PaperHit]:
        """The papers with the highest scores, hidden ones and those of `without` left out; ties in order of adding."""
        if k < 1:
            raise InputError(f"cannot find {k} papers", hint="Ask for 1 or more")
        features = self.features
        scores = score.of(features, np.arange(len(features)), self.atoms)
        scores[features.rows(features.known([*without, *self.store.marked("hidden")]))] = -np.inf
        rows = np.argsort(-scores, kind="stable")[:k]
        return self.explained(score, rows[np.isfinite(scores[rows])])

    def explained(self, score: Score, rows: np.ndarray) -> list[PaperHit]:
        """Papers, given by their rows in `features`, as hits with their reasons."""
        features, atoms = self.features, self.atoms
        scores = score.of(features, rows, atoms)
        papers = self.store.papers([features.ids[row] for row in rows])
        explanations = [None] * len(rows) if atoms is None else score.explained(features, rows, atoms)
        return [
            PaperHit(
                paper,
                float(scores[place]),
                reasons_for(paper, explanations[place], score.terms(features, int(row)), language=features.language),
                explanations[place],
            )
            for place, (row, paper) in enumerate(zip(rows, papers, strict=True))
        ]

    # Private

    @property
    def _language(self) -> str:
        return self.index.config.language

    def _encoder(self) -> Encoder:
        """What encodes new papers: as asked for, or the index's own, or the default for a new index."""
        from sememe.models import Encoder

        if self._loaded is None:
            if self._name is None and self._index is not None:
                self._loaded = self._index.encoder
            else:
                self._loaded = Encoder.load(self._name or DEFAULT_ENCODER)
        return self._loaded

    def _open_index(self) -> None:
        """Open the index as it now is; the one before stays open for searches that go on in other threads."""
        standing = disk.standing(self.folder / INDEXED)
        if standing is None or standing == self._standing or not Index.is_index(self.folder / INDEX):
            return
        opened = Index.open(self.folder / INDEX, encoder=self._loaded)
        if self._previous is not None:
            self._previous.close()
        self._previous, self._index, self._standing, self._features = self._index, opened, standing, None


def _ordered(hits: list[PaperHit], order: str) -> list[PaperHit]:
    if order not in ORDERS:
        raise InputError(f"cannot be ordered by {order!r}", hint=f"Use one of {', '.join(ORDERS)}")
    if order == "date":
        hits.sort(key=lambda hit: hit.paper.date or datetime.date.min, reverse=True)
    return hits
