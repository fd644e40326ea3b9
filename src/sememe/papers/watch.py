"""Keeping a feed going: sources are imported on a schedule, the index follows, digests leave when they are due.

Everything that must last is in the store, so a watch may be killed at any moment and started again. One thing that goes
wrong is reported, does not stop the others, and is tried again later.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from sememe.errors import SememeError
from sememe.papers.adding import Imported
from sememe.papers.collection import PaperCollection
from sememe.papers.digest import choose
from sememe.papers.importing import ImportConfig, PaperSource
from sememe.papers.sending import Carrier, Sent, send_digest
from sememe.papers.store import PaperStore
from sememe.papers.subscriptions import Subscription
from sememe.papers.watch_config import WatchConfig

Kind = Literal["imported", "indexed", "sent", "failed"]
TICK_SECONDS, RETRY_SECONDS = 30.0, 900.0
_DAYS = {"daily": 1, "weekly": 7}


@dataclass(frozen=True)
class Event:
    """Something that the watch did, or that went wrong: a sentence for its log."""

    kind: Kind
    text: str


class Watch:
    """Runs until it is told to stop.

    Args:
        collection: the papers.
        sources: what to import, as `sememe papers import` takes it.
        carrier: what takes the digests; None sends none.
        sender: the From address.
        config: how often.
        report: called with each event.
        now: the time, by this machine's clock and zone.
    """

    def __init__(
        self,
        collection: PaperCollection,
        *,
        sources: Sequence[str],
        carrier: Carrier | None,
        sender: str,
        config: WatchConfig,
        report: Callable[[Event], object],
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now().astimezone(),
    ) -> None:
        self._collection, self._sources, self._carrier = collection, sources, carrier
        self._sender, self._config, self._report, self._now = sender, config, report, now
        self._next_import = 0.0
        self._not_before: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what has been begun is finished first."""
        while not stop.is_set():
            self.once(stop)
            stop.wait(TICK_SECONDS)

    def once(self, stop: threading.Event | None = None) -> bool:
        """Do what is due now; whether all of it went well."""
        stop, well = stop or threading.Event(), True
        if time.monotonic() >= self._next_import:
            well = self._import(stop) and well
            self._next_import = time.monotonic() + 60 * self._config.every
        if self._carrier is not None:
            for subscription in self._collection.store.subscriptions():
                if not stop.is_set() and self._is_time(subscription):
                    well = self._send(subscription, self._carrier) and well
        return well

    def _import(self, stop: threading.Event) -> bool:
        well = True
        for source in self._sources:
            if stop.is_set():
                return well
            well = self._tried(source, partial(self._take_in, source, stop)) and well
        return self._tried("the index", self._catch_up) and well

    def _take_in(self, source: str, stop: threading.Event) -> None:
        counts = Imported()
        for batch in self._collection.store.add_batches(PaperSource(source, ImportConfig(on_error="skip"))):
            counts += batch
            if stop.is_set():  # what was read is kept; the rest is read next time
                break
        self._say("imported", f"{source}: {counts.imported:,} new, {counts.updated:,} updated")

    def _catch_up(self) -> None:
        encoded = self._collection.catch_up()
        if encoded:
            self._say("indexed", f"{encoded:,} papers indexed")

    def _is_time(self, subscription: Subscription) -> bool:
        waiting = self._not_before.get(subscription.address, 0.0) > time.monotonic()
        return not waiting and is_due(self._collection.store, subscription, self._now(), self._config.time)

    def _send(self, subscription: Subscription, carrier: Carrier) -> bool:
        # Also after there was nothing to send: a later import may bring something for today.
        self._not_before[subscription.address] = time.monotonic() + RETRY_SECONDS
        return self._tried(subscription.address, partial(self._send_to, subscription, carrier))

    def _send_to(self, subscription: Subscription, carrier: Carrier) -> None:
        digest = choose(self._collection, subscription, day=self._now().date())
        base_url = self._config.base_url
        sent: Sent | None = send_digest(self._collection.store, digest, carrier, sender=self._sender, base_url=base_url)
        if sent is not None:
            self._say("sent", f"{subscription.address}: {len(sent.papers)} papers, to {sent.place}")

    def _tried(self, what: str, do: Callable[[], None]) -> bool:
        try:
            do()
        except SememeError as error:
            self._say("failed", f"{what}: {' '.join(str(error).split())}")
            return False
        return True

    def _say(self, kind: Kind, text: str) -> None:
        self._report(Event(kind, text))


def is_due(store: PaperStore, subscription: Subscription, now: datetime.datetime, at: datetime.time) -> bool:
    """Whether a subscriber's next digest should leave.

    A daily one leaves once after `at` of each day, a weekly one once in seven days, from its subscription on.

    Args:
        store: knows what was sent.
        subscription: whose.
        now: the time, with its zone.
        at: the time of day.
    """
    begun = datetime.datetime.combine(now.date(), at, now.tzinfo)
    if now < begun:
        return False
    promised = [digest.claimed for digest in store.sent(subscription.address) if digest.papers]
    if not promised:
        return True
    last = max(promised).astimezone(now.tzinfo)
    return last < begun - datetime.timedelta(days=_DAYS[subscription.every] - 1)
