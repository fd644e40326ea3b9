"""A digest is sent once: whatever the server, the disk or the process does."""

from __future__ import annotations

import datetime
import email
import email.policy
import random
from html.parser import HTMLParser

import pytest
from mail_server import Mailbox, mail_server

from sememe.errors import ArtifactError, InputError, RemoteError
from sememe.papers import Paper, PaperStore, Subscription
from sememe.papers import sending as sending_module
from sememe.papers.mail import MailConfig, Outbox, SmtpServer, UncertainDelivery
from sememe.papers.message import DigestEntry
from sememe.papers.sending import Digest, require_subscription, send_digest, unconfirmed
from sememe.papers.unsubscribing import SECRET_NAME, address_in

ME, DAY = "me@example.org", datetime.date(2026, 11, 26)
SENDER = {"sender": "papers@example.org", "base_url": "http://127.0.0.1:8765"}
PAPERS = [
    Paper(
        f"arxiv:2611.0000{i}",
        f"Paper {i} on $\\ell_{i}$ norms",
        abstract=f"We study the number {i}. " * 60,
        authors=("Ada Lovelace", "Émilie du Châtelet") if i % 2 else (),
        n_authors=None if i % 2 else 5,
        date=DAY,
        votes=i,
        url=f"https://arxiv.org/abs/2611.0000{i}",
    )
    for i in range(1, 7)
]


@pytest.fixture
def store(tmp_path):
    with PaperStore.open(tmp_path / "feed", create=True) as store:
        store.add(PAPERS)
        store.subscribe(Subscription(ME))
        yield store


def digest(papers=PAPERS, address=ME, reasons=("shared: norms",)):
    entries = [DigestEntry(paper, reasons) for paper in papers]
    return Digest(Subscription(address), entries, "Papers of 26 November 2026", "Most votes first.", DAY)


def server_of(mailbox):
    return SmtpServer(MailConfig(f"127.0.0.1:{mailbox.port}", security="none", sender=SENDER["sender"]))


def papers_in(message):
    return [paper.id for paper in PAPERS if paper.title in message.get_body(("plain",)).get_content()]


def test_an_e_mail_as_a_server_gets_it(store):
    with mail_server(Mailbox()) as mailbox:
        sent = send_digest(store, digest(), server_of(mailbox), **SENDER)
    ((recipients, message),) = mailbox.messages
    assert recipients == [ME]
    assert sent.papers == [paper.id for paper in PAPERS]
    assert message["From"] == "Sememe papers <papers@example.org>"
    assert message["To"] == ME
    assert message["Subject"] == "Paper 1 on $\\ell_1$ norms and 5 more papers"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = message["List-Unsubscribe"].strip("<>")
    assert address_in(link.partition("token=")[2], store.secret(SECRET_NAME)) == ME
    assert message["Message-ID"] == f"<{sent.digest_id}@example.org>"
    assert message.get_content_type() == "multipart/alternative"
    text, page = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    for expected in ("Most votes first.", "Paper 1 on $\\ell_1$ norms", "Ada Lovelace, Émilie du Châtelet", link):
        assert expected in " ".join(text.split())
        assert expected in page
    assert "5 authors · 26 November 2026 · 2 votes" in " ".join(text.split())
    assert "Why: shared: norms" in text
    assert max(map(len, text.splitlines())) <= 78 or "http" in max(text.splitlines(), key=len)
    (record,) = store.sent(ME)
    assert record.ok is True


def test_the_link_is_whole_on_the_wire(store):
    seen = []

    class Wire:
        def send(self, message, name):
            seen.append(message.as_bytes())
            return "nowhere"

    send_digest(store, digest(), Wire(), **SENDER)
    (line,) = [line for line in seen[0].split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    assert line.startswith(b"List-Unsubscribe: <http://127.0.0.1:8765/unsubscribe?token=")
    assert line.endswith(b">")
    assert all(len(line) <= 998 for line in seen[0].split(b"\r\n"))
    assert b"\n" not in seen[0].replace(b"\r\n", b"")


def test_nothing_is_sent_twice(store, tmp_path):
    carrier = Outbox(tmp_path / "out")
    assert send_digest(store, digest(PAPERS[:3]), carrier, **SENDER).papers == [p.id for p in PAPERS[:3]]
    assert send_digest(store, digest(PAPERS), carrier, **SENDER).papers == [p.id for p in PAPERS[3:]]
    assert send_digest(store, digest(PAPERS), carrier, **SENDER) is None
    assert len(list((tmp_path / "out").glob("*.eml"))) == 2
    assert len(send_digest(store, digest(address="you@example.org"), carrier, **SENDER).papers) == 6


def test_a_server_that_dies_with_the_message_is_not_asked_again(store):
    with mail_server(Mailbox(die="after")) as mailbox:
        with pytest.raises(UncertainDelivery):
            send_digest(store, digest(PAPERS[:4]), server_of(mailbox), **SENDER)
        mailbox.die = ""
        assert [d.papers for d in unconfirmed(store, ME)] == [tuple(p.id for p in PAPERS[:4])]
        assert send_digest(store, digest(), server_of(mailbox), **SENDER).papers == [p.id for p in PAPERS[4:]]
    assert [papers_in(message) for _, message in mailbox.messages] == [
        [p.id for p in PAPERS[:4]],
        [p.id for p in PAPERS[4:]],
    ]


@pytest.mark.parametrize("trouble", [{"die": "before"}, {"refuse": "rcpt"}, {"refuse": "data"}])
def test_what_was_certainly_not_sent_is_sent_later(store, trouble):
    with mail_server(Mailbox(**trouble)) as mailbox:
        with pytest.raises(RemoteError):
            send_digest(store, digest(), server_of(mailbox), **SENDER)
        assert unconfirmed(store, ME) == []
        mailbox.die = mailbox.refuse = ""
        assert len(send_digest(store, digest(), server_of(mailbox), **SENDER).papers) == 6
    assert len(mailbox.messages) == 1


class Killed(BaseException):
    """The process ends here: nothing of ours may catch it."""


POINTS = ("claimed", "written", "before the server", "in the server", "after the server", "recorded")


def test_200_crashes_send_nothing_twice(store, monkeypatch):
    """A crash at a random point, then another try, until everything was promised: each paper arrives at most once."""
    rng, arrived = random.Random(7), []

    class Crashing:
        def send(self, message, name):
            crash("before the server")
            arrived.append(papers_in(message))
            crash("in the server")
            return "there"

    point = [""]

    def crash(here):
        if point[0] == here:
            raise Killed

    def wrapped(function, here):
        def call(*arguments, **options):
            result = function(*arguments, **options)
            crash(here)
            return result

        return call

    monkeypatch.setattr(PaperStore, "claim_for_sending", wrapped(PaperStore.claim_for_sending, "claimed"))
    monkeypatch.setattr(PaperStore, "finish_sending", wrapped(PaperStore.finish_sending, "recorded"))
    monkeypatch.setattr(sending_module, "write_message", wrapped(sending_module.write_message, "written"))
    crashes = reader = 0
    while crashes < 200:
        reader += 1
        address, before = f"reader{reader}@example.org", len(arrived)
        for _ in range(6):
            point[0] = rng.choice([*POINTS, ""])
            some = rng.sample(PAPERS, rng.randint(1, len(PAPERS)))
            try:
                send_digest(store, digest(some, address), Crashing(), **SENDER)
            except Killed:
                crashes += 1
        got = [paper for papers in arrived[before:] for paper in papers]
        assert len(got) == len(set(got)), address
        promised = {paper for one in store.sent(address) for paper in one.papers}
        assert set(got) <= promised  # what arrived is known to have been promised
        lost = promised - set(got)
        assert lost <= {
            paper for one in unconfirmed(store, address) for paper in one.papers
        }  # and the rest is reported


def test_a_full_disk_gives_the_papers_back(store, tmp_path, monkeypatch):
    from sememe import disk

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "write", fail)
        with pytest.raises(ArtifactError):
            send_digest(store, digest(), Outbox(tmp_path / "out"), **SENDER)
    assert list((tmp_path / "out").glob("*.eml")) == []
    assert len(send_digest(store, digest(), Outbox(tmp_path / "out"), **SENDER).papers) == 6


def test_a_file_that_is_there_although_its_writing_failed_counts_as_uncertain(store, tmp_path, monkeypatch):
    from sememe import disk

    def fail(_):
        raise OSError(5, "Input/output error")

    disk.make_folder(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync_folder", fail)
        with pytest.raises(UncertainDelivery):
            send_digest(store, digest(), Outbox(tmp_path / "out"), **SENDER)
    assert send_digest(store, digest(), Outbox(tmp_path / "out"), **SENDER) is None
    assert len(list((tmp_path / "out").glob("*.eml"))) == 1


def test_who_unsubscribed_is_sent_nothing(store, tmp_path):
    wanted = Subscription(ME, every="weekly")
    assert require_subscription(store, wanted) == wanted
    send_digest(store, digest(), Outbox(tmp_path), **SENDER)
    store.unsubscribe(ME)
    with pytest.raises(InputError, match="has unsubscribed"):
        require_subscription(store, wanted)
    new = Subscription("new@example.org")
    assert require_subscription(store, new) == new
    assert store.subscription("new@example.org") == new


INJECTIONS = [
    f"{before}{end}{header}"
    for before in ("A title", "")
    for end in ("\r\n", "\n", "\r", "\u2028", "\x0b", "\x85")
    for header in ("Bcc: victim@example.org", " Bcc: x@y", "\r\n\r\n<script>alert(1)</script>")
]


def raw(paper, **fields):
    """A paper with texts that the store itself would refuse: the e-mail must not rely on it."""
    for name, value in fields.items():
        object.__setattr__(paper, name, value)
    return paper


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_title_adds_no_header(store, text):
    seen = []

    class Wire:
        def send(self, message, name):
            seen.append(message.as_bytes())
            return "nowhere"

    import dataclasses

    nasty = raw(dataclasses.replace(PAPERS[0]), title=text, authors=(text,), abstract=text, venue=text, url=text)
    send_digest(store, digest([nasty], reasons=(text,)), Wire(), **SENDER)
    message = email.message_from_bytes(seen[0], policy=email.policy.SMTP)
    assert set(message.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"),
        *("Auto-Submitted", "MIME-Version", "Content-Type"),
    }
    assert len(message.keys()) == 10
    assert message["To"] == ME
    assert "script" not in tags_of(message.get_body(("html",)).get_content())


def tags_of(page):
    class Tags(HTMLParser):
        found: set

        def handle_starttag(self, tag, attributes):
            self.found.add(tag)
            assert not any(name.startswith("on") for name, _ in attributes)
            for name, value in attributes:
                assert name not in ("href", "src") or value.startswith(("http://", "https://")), value

    parser = Tags()
    parser.found = set()
    parser.feed(page)
    return parser.found
