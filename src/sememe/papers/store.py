"""The store of a feed: papers and what a reader keeps with them, in one SQLite file.

Every method that changes something has committed it, on disk, when it returns. Readers see the last commit and never
wait; several processes may write in turn. One object may be used from several threads.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from sememe import disk
from sememe.errors import InputError
from sememe.papers import adding, interests, marking, subscriptions
from sememe.papers.adding import Imported, next_batch
from sememe.papers.database import Database
from sememe.papers.history import PaperVersion, read_versions
from sememe.papers.identity import known_identities, meant_identity
from sememe.papers.interests import Interest
from sememe.papers.paper import Paper
from sememe.papers.rows import COLUMNS, number_of, numbers_of, read_papers, require_numbers, to_paper
from sememe.papers.selecting import Selection, order_sql
from sememe.papers.subscriptions import SentDigest, Subscription

FILE = "papers.db"
BATCH = 500
"""Records a transaction: a kill loses at most those in flight, and other writers wait for one batch at most."""


class PaperStore:
    """The papers of a feed folder. Open it with `PaperStore.open`; it is a context manager."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self._database = database

    @classmethod
    def open(cls, folder: str | Path, *, create: bool = False) -> PaperStore:
        """Open a feed folder's store.

        Args:
            folder: the feed folder; its file is `papers.db`.
            create: make it when it is missing.

        Raises:
            ArtifactError: it is missing, damaged, no store, or from a newer version.
            LockedError: it must be migrated while another process writes.

        """
        folder = Path(folder)
        if create:
            disk.make_folder(folder)
        return cls(folder, Database(folder / FILE, create=create))

    def close(self) -> None:
        """Close the file. Everything was committed before."""
        self._database.close()

    def __enter__(self) -> PaperStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Papers

    def add(self, papers: Iterable[Paper]) -> Imported:
        """Take records in; each becomes a new paper, or tells more about one that is there, or is known already.

        They are committed in batches. When `papers` itself fails, the records before that are committed. Taking the
        same records in again changes nothing.

        Raises:
            InputError: a record's id is of no known kind; also whatever `papers` raises.
            ArtifactError: the store cannot be written.

        """
        counts = Imported()
        for batch in self.add_batches(papers):
            counts += batch
        return counts

    def add_batches(self, papers: Iterable[Paper]) -> Iterator[Imported]:
        """As `add`, and tell what came of each batch as soon as it is on disk."""
        records = iter(papers)
        while True:
            # Read before the transaction begins: a slow source must not keep other writers waiting.
            batch, failure = next_batch(records, BATCH)
            if batch:
                with self._database.writing() as connection:
                    counts = adding.add_papers(connection, batch)
                yield counts
            if failure is not None:
                raise failure
            if len(batch) < BATCH:
                return

    def __len__(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM papers").fetchone()[0])

    def paper(self, id: str) -> Paper:
        """The paper that is known by an id, an identity, an address or its whole title.

        Raises:
            InputError: there is none.

        """
        return self.papers([id])[0]

    def papers(self, ids: Iterable[str]) -> list[Paper]:
        """The papers that are known by `ids`, in their order.

        Raises:
            InputError: one is unknown.

        """
        asked = list(ids)
        with self._database.reading() as connection:
            numbers = require_numbers(connection, asked)
            found = read_papers(connection, numbers.values())
        return [found[numbers[name]] for name in asked]

    def find(self, text: str) -> str | None:
        """The id of the paper that is known by an id, an identity, an address or its title; None when there is none."""
        with self._database.reading() as connection:
            numbers = numbers_of(connection, {text, meant_identity(text)})
            return next((paper.id for paper in read_papers(connection, numbers.values()).values()), None)

    def select(
        self,
        *,
        since: datetime.date | None = None,
        until: datetime.date | None = None,
        mark: str | None = None,
        unmarked: str | None = None,
        tag: str | None = None,
        author: str | None = None,
        venue: str | None = None,
        category: str | None = None,
        order: str = "date",
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Paper]:
        """The papers that meet all conditions (see `Selection`).

        Args:
            since: the first day, included.
            until: the last day, included.
            mark: a mark that they have.
            unmarked: a mark that they do not have.
            tag: a tag that they have.
            author: a part of an author's name.
            venue: a part of the venue's name.
            category: one of their categories.
            order: date and added (newest first), votes (most first), title.
            limit: how many at most.
            offset: how many to pass over first.

        Raises:
            InputError: there is no such mark or order, or a number is negative.

        """
        condition, values = Selection(since, until, mark, unmarked, tag, author, venue, category).where()
        if offset < 0 or (limit is not None and limit < 0):
            raise InputError(f"cannot show {limit} papers from number {offset}")
        sql = f"SELECT {COLUMNS} FROM papers WHERE {condition} ORDER BY {order_sql(order)} LIMIT ? OFFSET ?"  # noqa: S608
        with self._database.reading() as connection:
            rows = connection.execute(sql, [*values, -1 if limit is None else limit, offset]).fetchall()
        return [to_paper(row) for row in rows]

    def ids(self, selection: Selection | None = None, *, order: str = "date") -> list[str]:
        """The ids of the papers that meet the conditions; order and errors as `select`."""
        condition, values = (selection or Selection()).where()
        sql = f"SELECT papers.id FROM papers WHERE {condition} ORDER BY {order_sql(order)}"  # noqa: S608
        with self._database.reading() as connection:
            return [identity for (identity,) in connection.execute(sql, values)]

    def count(self, selection: Selection | None = None) -> int:
        """How many papers meet the conditions."""
        condition, values = (selection or Selection()).where()
        with self._database.reading() as connection:
            return int(connection.execute(f"SELECT count(*) FROM papers WHERE {condition}", values).fetchone()[0])  # noqa: S608

    def versions(self, id: str) -> list[PaperVersion]:
        """What was known of a paper, the earliest version first; the last one is what is known now.

        Raises:
            InputError: the paper is unknown.

        """
        with self._database.reading() as connection:
            return read_versions(connection, number_of(connection, id))

    def identities(self, id: str) -> list[str]:
        """What a paper is known by beside its title, the strongest first.

        Raises:
            InputError: the paper is unknown.

        """
        return known_identities(self.paper(id))

    def changed_since(self, revision: int) -> tuple[int, list[str]]:
        """The store's revision now, and the papers added since `revision` or changed in what a search reads.

        A change of votes or of the address alone does not count. Papers that have become one with another are in
        `removed_since`.
        """
        with self._database.reading() as connection:
            now = int(connection.execute("SELECT value FROM counters WHERE name='revision'").fetchone()[0])
            rows = connection.execute("SELECT id FROM papers WHERE revision>? ORDER BY revision, number", (revision,))
            return now, [identity for (identity,) in rows]

    def removed_since(self, revision: int) -> list[str]:
        """The ids that have ended since `revision`, because two papers turned out to be one."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT id FROM merged WHERE revision>? ORDER BY id", (revision,))
            return [identity for (identity,) in rows]

    # What a reader keeps with a paper

    def mark(self, id: str, kind: str, on: bool = True) -> None:
        """Set one of `MARKS`, or take it away; liked and disliked exclude each other.

        Raises:
            InputError: the paper or the mark is unknown.

        """
        with self._database.writing() as connection:
            marking.set_mark(connection, number_of(connection, id), kind, on)

    def marks(self, ids: Iterable[str]) -> dict[str, dict[str, datetime.datetime]]:
        """The marks of papers: for each id, when each of its marks was set.

        Raises:
            InputError: a paper is unknown.

        """
        with self._database.reading() as connection:
            return marking.read_marks(connection, require_numbers(connection, ids))

    def marked(self, kind: str) -> list[str]:
        """The ids of the papers with a mark, the last marked one first.

        Raises:
            InputError: the mark is unknown.

        """
        with self._database.reading() as connection:
            return marking.read_marked(connection, kind)

    def note(self, id: str) -> str:
        """The note on a paper, or an empty text.

        Raises:
            InputError: the paper is unknown.

        """
        with self._database.reading() as connection:
            return marking.read_note(connection, number_of(connection, id))

    def set_note(self, id: str, text: str) -> None:
        """Keep a note on a paper; an empty text takes it away.

        Raises:
            InputError: the paper is unknown, or the note cannot be kept.

        """
        with self._database.writing() as connection:
            marking.set_note(connection, number_of(connection, id), text)

    def tags(self, id: str) -> tuple[str, ...]:
        """The tags of a paper, sorted.

        Raises:
            InputError: the paper is unknown.

        """
        with self._database.reading() as connection:
            return marking.read_tags(connection, number_of(connection, id))

    def set_tags(self, id: str, tags: Iterable[str]) -> None:
        """Replace the tags of a paper.

        Raises:
            InputError: the paper is unknown, or a tag cannot be used.

        """
        with self._database.writing() as connection:
            marking.set_tags(connection, number_of(connection, id), tags)

    def all_tags(self) -> dict[str, int]:
        """All tags and how many papers have each."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY tag").fetchall())

    # Interests

    def interests(self) -> list[Interest]:
        """All interests, by name."""
        with self._database.reading() as connection:
            return interests.read_interests(connection)

    def interest(self, name: str = "me") -> Interest:
        """An interest; one that was never saved is empty.

        Its papers are known by the ids that the store uses, also after two papers turned out to be one.
        """
        with self._database.reading() as connection:
            return interests.read_interest(connection, name) or Interest(name)

    def save_interest(self, interest: Interest) -> None:
        """Keep an interest in the place of the one of its name.

        Raises:
            InputError: it cannot be kept: see `write_interest`.

        """
        with self._database.writing() as connection:
            interests.write_interest(connection, interest)

    def remove_interest(self, name: str) -> None:
        """Forget an interest. Forgetting one that is not there does nothing."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM interests WHERE name=?", (name,))

    # Subscriptions and what was sent

    def subscriptions(self) -> list[Subscription]:
        """All subscriptions, the oldest first."""
        with self._database.reading() as connection:
            return subscriptions.read_subscriptions(connection)

    def subscription(self, address: str) -> Subscription | None:
        """The subscription of an address, or None."""
        with self._database.reading() as connection:
            return next(iter(subscriptions.read_subscriptions(connection, address)), None)

    def subscribe(self, subscription: Subscription) -> None:
        """Keep a subscription in the place of the one of its address.

        Raises:
            InputError: a field cannot be used.

        """
        with self._database.writing() as connection:
            subscriptions.write_subscription(connection, subscription)

    def unsubscribe(self, address: str) -> bool:
        """End a subscription; whether there was one. What was sent stays known."""
        with self._database.writing() as connection:
            return connection.execute("DELETE FROM subscriptions WHERE address=?", (address,)).rowcount > 0

    def claim_for_sending(self, address: str, ids: Iterable[str], digest_id: str) -> list[str]:
        """Promise papers to an address in a digest: those of `ids` that it was never promised, in their order.

        One transaction. A paper that was claimed is never claimed again for that address, unless its digest is
        finished with `ok=False`: so it reaches the address at most once, whatever crashes when.

        Raises:
            InputError: a paper is unknown, or the digest is another one's or finished.

        """
        with self._database.writing() as connection:
            return subscriptions.claim(connection, address, require_numbers(connection, ids), digest_id)

    def finish_sending(self, digest_id: str, ok: bool) -> None:
        """Write down what came of a digest.

        Args:
            digest_id: what it was claimed with.
            ok: True: the mail was handed over, or may have been. False: it certainly was not; its papers may be
                claimed again.

        Raises:
            InputError: there is no such digest, or it has another outcome already.

        """
        with self._database.writing() as connection:
            subscriptions.finish(connection, digest_id, ok)

    def sent(self, address: str) -> list[SentDigest]:
        """The digests for an address, the first one first."""
        with self._database.reading() as connection:
            return subscriptions.read_sent(connection, address)

    def secret(self, name: str) -> bytes:
        """32 random bytes, made when they are first asked for. They are never printed or exported."""
        with self._database.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, secrets.token_bytes(32)))
            row = connection.execute("SELECT value FROM secrets WHERE name=?", (name,)).fetchone()
        return bytes(row[0])

    def backup(self, path: str | Path) -> None:
        """Write a checked copy of the whole store to the file `path`, in one step.

        It holds everything, subscribers' addresses and signing keys too, and only its owner may read it. To restore,
        copy it to `papers.db` in an empty feed folder.

        Raises:
            ArtifactError: it cannot be written, or the store is damaged.

        """
        path = Path(path)
        if path.resolve() == self._database.path.resolve():
            raise InputError("is the store itself", where=str(path), hint="Choose another file")
        self._database.backup(path)
