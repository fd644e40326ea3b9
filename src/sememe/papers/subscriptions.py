"""Subscriptions, and the outbox: which papers were promised to whom, so that nobody gets one twice.

A digest is sent in three steps: its papers are claimed in one transaction, the mail is handed to the server, and the
outcome is written down. A crash between the second and the third leaves a claim without an outcome. The mail may or may
not have left, so these papers are never claimed again for that address: at most once, not at least once.
"""

from __future__ import annotations

import datetime
import re
import sqlite3
from dataclasses import dataclass, field
from typing import Literal, cast

from sememe.errors import InputError
from sememe.papers.rows import moment, now

Every = Literal["daily", "weekly"]
EVERY: tuple[Every, ...] = ("daily", "weekly")
MAX_PAPERS = 500
# No spaces, no control characters, nothing that ends a header or begins another address.
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f-\x9f<>()\[\]\\,;:\"@]{1,64}@[^\s\x00-\x1f\x7f-\x9f<>()\\,;\"@]{1,190}")


def _now() -> datetime.datetime:
    return moment(now())


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who gets which digest.

    Args:
        address: an e-mail address.
        interest: the name of an interest, or None for what is trending.
        every: how often.
        at_most: how many papers a digest may have.
        created: since when.

    """

    address: str
    interest: str | None = None
    every: Every = "daily"
    at_most: int = 20
    created: datetime.datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class SentDigest:
    """A digest for which papers were claimed.

    Args:
        id: its own id.
        address: who it is for.
        papers: ids, in the order in which the store got them.
        claimed: when.
        finished: when its outcome became known; None after a crash, or while it is being sent.
        ok: whether the mail was handed over; None as long as nobody knows.

    """

    id: str
    address: str
    papers: tuple[str, ...]
    claimed: datetime.datetime
    finished: datetime.datetime | None = None
    ok: bool | None = None


def require_address(text: str) -> str:
    """`text`, if it is one e-mail address.

    Raises:
        InputError: it is not; line breaks, lists and names beside the address are refused.

    """
    if not _ADDRESS.fullmatch(text):
        raise InputError(f"is not an e-mail address: {text[:80]!r}", hint="Write it like me@example.org")
    return text


def read_subscriptions(connection: sqlite3.Connection, address: str | None = None) -> list[Subscription]:
    """All subscriptions, or the one of an address, whatever its case."""
    sql = "SELECT address, interest, every, at_most, created FROM subscriptions"
    condition, values = (" WHERE address=?", (address,)) if address is not None else ("", ())
    rows = connection.execute(f"{sql}{condition} ORDER BY created, address", values)
    return [
        Subscription(found, interest, cast(Every, every), at_most, moment(created))
        for found, interest, every, at_most, created in rows
    ]


def write_subscription(connection: sqlite3.Connection, subscription: Subscription) -> None:
    """Keep a subscription in the place of the one of its address.

    Raises:
        InputError: a field cannot be used.

    """
    require_address(subscription.address)
    if subscription.every not in EVERY:
        raise InputError(f"cannot be sent {subscription.every!r}", hint=f"Use one of {', '.join(EVERY)}")
    if not 1 <= subscription.at_most <= MAX_PAPERS:
        raise InputError(f"cannot have {subscription.at_most} papers", hint=f"Use 1 to {MAX_PAPERS}")
    connection.execute("DELETE FROM subscriptions WHERE address=?", (subscription.address,))
    connection.execute(
        "INSERT INTO subscriptions VALUES (?, ?, ?, ?, ?)",
        (
            subscription.address,
            subscription.interest,
            subscription.every,
            subscription.at_most,
            subscription.created.astimezone(datetime.UTC).isoformat(timespec="microseconds"),
        ),
    )


def claim(connection: sqlite3.Connection, address: str, numbers: dict[str, int], digest: str) -> list[str]:
    """Promise papers to an address, those that it was not promised before; return their names in order.

    Raises:
        InputError: the digest is another address's, or is finished.

    """
    require_address(address)
    found = connection.execute("SELECT address=?, finished FROM digests WHERE id=?", (address, digest)).fetchone()
    if found is not None and (not found[0] or found[1] is not None):
        raise InputError("was made for another address, or is finished", where=f"digest {digest}")
    connection.execute("INSERT OR IGNORE INTO digests VALUES (?, ?, ?, NULL, NULL)", (digest, address, now()))
    return [
        name
        for name, number in numbers.items()
        if connection.execute("INSERT OR IGNORE INTO outbox VALUES (?, ?, ?)", (address, number, digest)).rowcount
    ]


def finish(connection: sqlite3.Connection, digest: str, ok: bool) -> None:
    """Write down what came of a digest; one that certainly never left gives its papers back.

    Raises:
        InputError: there is no such digest, or it is finished otherwise.

    """
    found = connection.execute("SELECT ok FROM digests WHERE id=?", (digest,)).fetchone()
    if found is None or found[0] not in (None, int(ok)):
        raise InputError("is unknown" if found is None else "is finished", where=f"digest {digest}")
    connection.execute("UPDATE digests SET finished=?, ok=? WHERE id=?", (now(), int(ok), digest))
    if not ok:
        connection.execute("DELETE FROM outbox WHERE digest=?", (digest,))


def read_sent(connection: sqlite3.Connection, address: str) -> list[SentDigest]:
    """The digests for an address, the first one first."""
    rows = connection.execute(
        "SELECT id, address, claimed, finished, ok FROM digests WHERE address=? ORDER BY claimed, id", (address,)
    ).fetchall()
    return [
        SentDigest(
            digest,
            found,
            _papers_of(connection, digest),
            moment(claimed),
            moment(finished) if finished else None,
            None if ok is None else bool(ok),
        )
        for digest, found, claimed, finished, ok in rows
    ]


def _papers_of(connection: sqlite3.Connection, digest: str) -> tuple[str, ...]:
    sql = "SELECT papers.id FROM outbox JOIN papers ON papers.number=outbox.paper WHERE digest=? ORDER BY papers.number"
    return tuple(identity for (identity,) in connection.execute(sql, (digest,)))
