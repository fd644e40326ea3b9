"""Sending a digest so that no paper reaches a subscriber twice, whatever crashes when.

Its papers are claimed in the store before anything is handed over, and the outcome is written down afterwards. A crash
in between leaves a claim without an outcome: it is reported, and never sent again.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

from sememe.errors import InputError
from sememe.papers.interests import Interest
from sememe.papers.mail import UncertainDelivery
from sememe.papers.message import DigestEntry, Letter, write_message
from sememe.papers.store import PaperStore
from sememe.papers.subscriptions import SentDigest, Subscription
from sememe.papers.unsubscribing import SECRET_NAME, unsubscribe_url


class Carrier(Protocol):
    """What takes a message: a mail server or a folder (see `sememe.papers.mail`)."""

    def send(self, message: EmailMessage, name: str) -> str:
        """Take a message; returns where it went."""


@dataclass(frozen=True)
class Digest:
    """What a subscriber would be sent.

    Attributes:
        subscription: whose digest it is.
        entries: the papers in their order, with reasons.
        title, order: what they have in common and how they are ordered, in words.
        day: the last day of its period.
    """

    subscription: Subscription
    entries: Sequence[DigestEntry]
    title: str
    order: str
    day: datetime.date


@dataclass(frozen=True)
class Sent:
    """A digest that was handed over: its id, its papers, and where it went."""

    digest_id: str
    papers: Sequence[str]
    place: str


def send_digest(store: PaperStore, digest: Digest, carrier: Carrier, *, sender: str, base_url: str) -> Sent | None:
    """Send those papers of a digest that its subscriber was never promised; None when there are none.

    Raises:
        UncertainDelivery: nobody knows whether it arrived; its papers stay claimed and are not sent again.
        SememeError: it was certainly not sent; its papers may be sent another time.
    """
    address = digest.subscription.address
    digest_id = f"{digest.day:%Y%m%d}-{secrets.token_hex(8)}"
    claimed = set(store.claim_for_sending(address, [entry.paper.id for entry in digest.entries], digest_id))
    kept = [entry for entry in digest.entries if entry.paper.id in claimed]
    if not kept:
        store.finish_sending(digest_id, ok=False)
        return None
    try:
        letter = _letter(store, digest, kept, digest_id=digest_id, sender=sender, base_url=base_url)
        place = carrier.send(write_message(letter), digest_id)
    except UncertainDelivery:
        raise
    except Exception:
        store.finish_sending(digest_id, ok=False)
        raise
    store.finish_sending(digest_id, ok=True)
    return Sent(digest_id, [entry.paper.id for entry in kept], place)


def unconfirmed(store: PaperStore, address: str) -> list[SentDigest]:
    """The digests that may or may not have arrived: a crash, or a server that fell silent, left their fate unknown."""
    return [digest for digest in store.sent(address) if digest.finished is None and digest.papers]


def require_interest(store: PaperStore, name: str | None) -> None:
    """Let an interest pass that a subscription may be for: none, the default one, or one that was saved.

    Raises:
        InputError: there is no such interest; a misspelt name would otherwise bring the newest papers without a word.
    """
    names = [Interest().name, *(interest.name for interest in store.interests() if interest.name != Interest().name)]
    if name is not None and name not in names:
        raise InputError(f"there is no interest {name!r}", where="--interest", hint=f"Use one of {', '.join(names)}")


def require_subscription(store: PaperStore, wanted: Subscription) -> Subscription:
    """The subscription of an address, as it is wanted; made when the address was never sent anything.

    Raises:
        InputError: the address has ended its subscription, which only a new `subscribe` may undo; or there is no such
            interest.
    """
    require_interest(store, wanted.interest)
    found = store.subscription(wanted.address)
    if found is None and store.sent(wanted.address):
        hint = "If the reader wants it again: sememe papers subscribe"
        raise InputError("has unsubscribed, so nothing is sent there", where=wanted.address, hint=hint)
    if found != wanted:
        store.subscribe(wanted)
    return wanted


_EVERY = {"daily": "day", "weekly": "week"}


def _letter(
    store: PaperStore, digest: Digest, entries: Sequence[DigestEntry], *, digest_id: str, sender: str, base_url: str
) -> Letter:
    subscription = digest.subscription
    about = f"your interest “{subscription.interest}”" if subscription.interest else "what is trending"
    return Letter(
        digest_id,
        entries,
        title=digest.title,
        order=digest.order,
        why=f"You get this every {_EVERY[subscription.every]} because {subscription.address} subscribed to {about}.",
        sender=sender,
        recipient=subscription.address,
        base_url=base_url,
        unsubscribe=unsubscribe_url(subscription.address, store.secret(SECRET_NAME), base_url),
        written=datetime.datetime.now(datetime.UTC),
    )
