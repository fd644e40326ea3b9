"""The tables of a store, version by version. A released migration is never changed; a change is a new one."""

from __future__ import annotations

APPLICATION_ID = 0x53656D65
"""In the header of the file: what tells a store from another program's SQLite database."""

_FIRST = (
    """CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID""",
    """INSERT INTO counters VALUES ('revision', 0)""",
    """CREATE TABLE papers (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        abstract TEXT NOT NULL,
        authors TEXT NOT NULL,
        n_authors INTEGER,
        date TEXT,
        votes INTEGER,
        url TEXT NOT NULL,
        venue TEXT NOT NULL,
        categories TEXT NOT NULL,
        keywords TEXT NOT NULL,
        version INTEGER NOT NULL,
        source TEXT NOT NULL,
        identities TEXT NOT NULL,
        added TEXT NOT NULL,
        changed TEXT NOT NULL,
        revision INTEGER NOT NULL)""",
    """CREATE INDEX papers_by_date ON papers (date)""",
    """CREATE INDEX papers_by_revision ON papers (revision)""",
    # A title may be that of several papers; everything else is one paper's. Ids that a merge ended are here too.
    """CREATE TABLE identities (
        identity TEXT NOT NULL,
        paper INTEGER NOT NULL REFERENCES papers (number),
        PRIMARY KEY (identity, paper)) WITHOUT ROWID""",
    """CREATE INDEX identities_by_paper ON identities (paper)""",
    # Every record that was ever taken in, by a hash of what it says: what was seen once brings nothing new.
    """CREATE TABLE records (digest BLOB PRIMARY KEY) WITHOUT ROWID""",
    """CREATE TABLE history (
        number INTEGER PRIMARY KEY,
        paper INTEGER NOT NULL REFERENCES papers (number),
        body TEXT NOT NULL,
        added TEXT NOT NULL)""",
    """CREATE INDEX history_by_paper ON history (paper)""",
    """CREATE TABLE merged (id TEXT PRIMARY KEY, into_id TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE marks (
        paper INTEGER NOT NULL REFERENCES papers (number),
        kind TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (paper, kind)) WITHOUT ROWID""",
    """CREATE INDEX marks_by_kind ON marks (kind, at)""",
    """CREATE TABLE notes (
        paper INTEGER PRIMARY KEY REFERENCES papers (number),
        text TEXT NOT NULL,
        at TEXT NOT NULL)""",
    """CREATE TABLE tags (
        paper INTEGER NOT NULL REFERENCES papers (number),
        tag TEXT NOT NULL,
        PRIMARY KEY (paper, tag)) WITHOUT ROWID""",
    """CREATE INDEX tags_by_tag ON tags (tag)""",
    """CREATE TABLE interests (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE subscriptions (
        address TEXT PRIMARY KEY COLLATE NOCASE,
        interest TEXT,
        every TEXT NOT NULL,
        at_most INTEGER NOT NULL,
        created TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE digests (
        id TEXT PRIMARY KEY,
        address TEXT NOT NULL COLLATE NOCASE,
        claimed TEXT NOT NULL,
        finished TEXT,
        ok INTEGER) WITHOUT ROWID""",
    """CREATE INDEX digests_by_address ON digests (address, claimed)""",
    """CREATE TABLE outbox (
        address TEXT NOT NULL COLLATE NOCASE,
        paper INTEGER NOT NULL REFERENCES papers (number),
        digest TEXT NOT NULL REFERENCES digests (id),
        PRIMARY KEY (address, paper)) WITHOUT ROWID""",
    """CREATE INDEX outbox_by_digest ON outbox (digest)""",
    """CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""Step N takes a store from version N to N + 1. Each is one transaction."""

VERSION = len(MIGRATIONS)
