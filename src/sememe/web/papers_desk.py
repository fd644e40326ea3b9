"""What the pages of a feed folder are about: its papers, indexed, and kept up with while they are served."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sememe.errors import ArtifactError, InputError, LockedError, SememeError
from sememe.papers import Paper, PaperStore
from sememe.papers.catching_up import is_behind
from sememe.papers.collection import PaperCollection, PaperHit
from sememe.papers.features import Features
from sememe.papers.feed import Feed, Period, feed
from sememe.papers.for_me import learn_interest
from sememe.papers.map import FieldMap, field_map
from sememe.papers.reasons import Reason, Score
from sememe.papers.selecting import Selection
from sememe.papers.similar import likeness
from sememe.papers.store import FILE
from sememe.papers.unsubscribing import SECRET_NAME
from sememe.web.papers_asked import PER_PAGE, FeedAsked, SearchAsked

ENOUGH_TO_READ = 5
LOOK_SECONDS, LEAVE_SECONDS = 20.0, 3.0
MOST_HITS = 300
_log = logging.getLogger("sememe.web")

Found = tuple[Paper, Sequence[Reason], float | None]


def is_feed(folder: str | Path) -> bool:
    """Whether a folder is a feed folder: it has a store of papers."""
    return (Path(folder) / FILE).is_file()


class PapersDesk:
    """A feed folder for the pages. Requests are answered by several threads; one of them encodes at a time."""

    def __init__(self, collection: PaperCollection) -> None:
        self.collection = collection
        self.store: PaperStore = collection.store
        # Read once: the first reading makes it, and to look at a page must change nothing.
        self.unsubscribe_key = collection.store.secret(SECRET_NAME)
        self._lock, self._map_lock = threading.Lock(), threading.Lock()
        self._map: tuple[object, FieldMap] | None = None

    def feed(self, asked: FeedAsked) -> tuple[FeedAsked, Feed]:
        """A page of the feed, and what was asked for with the period that was chosen.

        Raises:
            InputError: the interest cannot be used.
        """
        periods: Sequence[Period] = ("day", "week", "month", "all") if asked.period is None else (asked.period,)
        for period in periods:
            found = feed(
                self.collection if asked.order == "for-me" else self.store,
                period=period,
                day=asked.day,
                order=asked.order,
                interest=asked.interest,
                unread=asked.unread,
                limit=PER_PAGE,
                offset=(asked.page - 1) * PER_PAGE,
            )
            if found.total >= ENOUGH_TO_READ:
                break
        return asked, found

    def search(self, asked: SearchAsked) -> tuple[list[Found], int]:
        """The papers of a page of a search, and how many it has in all, as far as it was followed.

        Raises:
            InputError: a paper that was marked is not there, or a filter cannot be used.
        """
        start, end = (asked.page - 1) * PER_PAGE, asked.page * PER_PAGE
        if asked.is_listing:
            selection = Selection(asked.since, asked.until, asked.mark or None, None, asked.tag or None)
            return self._list(asked, PER_PAGE, start), self.store.count(selection)
        found = self._find(asked, min(MOST_HITS, end + 1))
        return found[start:end], len(found)

    def everything(self, asked: SearchAsked) -> list[Found]:
        """All papers of a search, not only those of a page; of what is ordered by likeness the first 300.

        Raises:
            InputError: as `search`.
        """
        return self._list(asked, None, 0) if asked.is_listing else self._find(asked, MOST_HITS)

    def _list(self, asked: SearchAsked, limit: int | None, offset: int) -> list[Found]:
        papers = self.store.select(
            since=asked.since,
            until=asked.until,
            mark=asked.mark or None,
            tag=asked.tag or None,
            limit=limit,
            offset=offset,
        )
        return [(paper, (), None) for paper in papers]

    def _find(self, asked: SearchAsked, k: int) -> list[Found]:
        with self._lock:
            hits = self.collection.more_like(asked.like, asked.unlike, k) if asked.like else self._search(asked, k)
        return [(hit.paper, hit.reasons, hit.score) for hit in hits]

    def _search(self, asked: SearchAsked, k: int) -> list[PaperHit]:
        return self.collection.search(
            asked.query,
            k,
            mode=asked.mode,
            since=asked.since,
            until=asked.until,
            mark=asked.mark or None,
            tag=asked.tag or None,
        )

    def similar(self, id: str, k: int, order: str) -> tuple[list[Found], str]:
        """The papers like one, or none and why there are none."""
        try:
            with self._lock:
                hits = self.collection.similar(id, k, order=order)
        except (InputError, ArtifactError) as error:
            return [], error.message
        return [(hit.paper, hit.reasons, hit.score) for hit in hits], ""

    def about(self, id: str) -> Sequence[Reason]:
        """What a paper is about: the parts of its likeness to itself. Empty before it is indexed."""
        return self._explained(id, lambda features: likeness(features, features.row(id)))

    def for_me(self, id: str) -> Sequence[Reason]:
        """What of a paper fits the reader's own interest. Empty as long as nothing was learned."""
        try:
            score = learn_interest(self.collection).score
        except SememeError:  # nothing is indexed, or weights of atoms that are gone: its own page says so
            return []
        return [] if score is None else self._explained(id, lambda _: score)

    def _explained(self, id: str, make_score: Callable[[Features], Score]) -> Sequence[Reason]:
        if not len(self.collection) or not self.collection.features.known([id]):
            return []
        features = self.collection.features
        (hit,) = self.collection.explained(make_score(features), features.rows([id]))
        return hit.reasons

    def field(self) -> FieldMap:
        """The map of the papers as they are indexed now; laid out again only when they have changed.

        Raises:
            ArtifactError: nothing is indexed yet.
        """
        with self._map_lock:
            state = (self.collection.features, tuple(self.store.marked("hidden")))
            if self._map is None or self._map[0] != state:
                self._map = (state, field_map(self.collection))
            return self._map[1]

    def catch_up(self) -> int:
        """Index what is new; how many papers were encoded. Another process that does so already is left to it."""
        try:
            return self.collection.catch_up()
        except LockedError:
            return 0

    def keep_up(self) -> None:
        """Index what is new while requests are answered: with a collection of its own, so that none of them waits.

        Raises:
            SememeError: the store or the index cannot be used.
        """
        if is_behind(self.store, self.collection.folder):
            with PaperCollection.open(self.collection.folder) as other:
                PapersDesk(other).catch_up()
        self.catch_up()  # by now it only has to be opened

    def warm_up(self) -> None:
        """Load the encoder and what papers are compared by, so that the first visitor does not wait for them."""
        if len(self.collection):
            with self._lock:
                self.collection.search("warm up", 1)
                _ = self.collection.features.covariance

    @contextmanager
    def following(self) -> Iterator[None]:
        """Keep up with the store while the block runs: papers that another process imports are indexed here."""
        stop = threading.Event()
        thread = threading.Thread(target=self._follow, args=(stop,), name="sememe-following", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(LEAVE_SECONDS)  # a map that is being laid out is not waited for

    def _follow(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.keep_up()
                if len(self.collection):
                    self.field()  # takes seconds the first time: nobody should wait for it
            except SememeError as error:
                # Reading goes on with what is indexed; the next look tries again.
                _log.warning("the index is not kept up with: %s", error)
            stop.wait(LOOK_SECONDS)
