"""`sememe papers digest` against a real mail server, end to end, and processes that are killed while they send."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from mail_server import Mailbox, mail_server, make_certificate

from sememe.cli import main
from sememe.papers import PaperStore, Subscription
from sememe.papers.collection import PaperCollection
from sememe.papers.mail import Outbox
from sememe.papers.message import DigestEntry
from sememe.papers.sending import Digest, send_digest, unconfirmed

ME, CANARY = "me@example.org", "canary-90d2-password"
DAY = "2026-01-20"


@pytest.fixture
def digest(collection, folder, encoder, monkeypatch, capfd):
    """Run the command on the made papers; returns its exit code, its JSON, and all that it printed."""
    # The encoder of the made papers has no name to load it by.
    opened = PaperCollection.open.__func__
    monkeypatch.setattr(
        PaperCollection, "open", classmethod(lambda cls, place, **_: opened(cls, place, encoder=encoder))
    )

    def run(*words):
        code = main(["papers", "digest", "--to", ME, "--day", DAY, "--feed", str(folder), "--json", *words])
        said = capfd.readouterr()
        return code, json.loads(said.out), said.out + said.err

    return run


def test_a_digest_over_starttls_with_a_login(digest, tmp_path, monkeypatch):
    monkeypatch.setenv("SEMEME_SMTP_PASSWORD", CANARY)
    pem, context = make_certificate(tmp_path, "127.0.0.1")
    with mail_server(Mailbox(), starttls=context, password=CANARY) as mailbox:
        mail = ["--smtp", f"127.0.0.1:{mailbox.port}", "--user", "papers@example.org", "--ca-file", str(pem)]
        code, answer, said = digest("--weekly", "--at-most", "4", *mail)
        assert (code, answer["sent"], answer["place"]) == (0, 4, "127.0.0.1")
        code, again, _ = digest("--at-most", "50", *mail)
        assert (code, again["sent"]) == (0, 14)
        assert not set(again["papers"]) & set(answer["papers"])
        code, nothing, _ = digest(*mail)
        assert (code, nothing["sent"], nothing["place"]) == (0, 0, None)
    assert [recipients for recipients, _ in mailbox.messages] == [[ME], [ME]]
    assert mailbox.secure == [True, True]
    assert CANARY not in said
    assert all(CANARY not in message.as_string() for _, message in mailbox.messages)


def test_a_server_that_falls_silent_is_reported_and_nothing_goes_twice(digest):
    with mail_server(Mailbox(die="after")) as mailbox:
        mail = ["--smtp", f"127.0.0.1:{mailbox.port}", "--security", "none", "--sender", "papers@example.org"]
        code, answer, said = digest("--at-most", "2", *mail)
        assert (code, answer["error"]["kind"]) == (2, "uncertain-delivery")
        assert "not sent again" in answer["error"]["hint"]
        assert "Traceback" not in said
        mailbox.die = ""
        code, answer, _ = digest("--at-most", "50", *mail)
        assert (code, answer["sent"]) == (0, 4)
        (lost,) = answer["unconfirmed"]
        assert len(lost["papers"]) == 2
        assert not set(lost["papers"]) & set(answer["papers"])


def test_a_refusal_gives_the_papers_back(digest):
    with mail_server(Mailbox(refuse="rcpt")) as mailbox:
        mail = ["--smtp", f"127.0.0.1:{mailbox.port}", "--security", "none", "--sender", "papers@example.org"]
        code, answer, _ = digest(*mail)
        assert (code, answer["error"]["kind"]) == (2, "remote")
        mailbox.refuse = ""
        code, answer, _ = digest(*mail)
        assert (code, answer["sent"], answer["unconfirmed"]) == (0, 6, [])


def test_a_dry_run_changes_nothing(digest, folder, tmp_path):
    code, answer, _ = digest("--dry-run")
    assert code == 0
    assert len(answer["papers"]) == 6
    with PaperStore.open(folder) as store:
        assert store.subscriptions() == []
        assert store.sent(ME) == []


SENDER = """
import datetime, sys
from sememe.papers import PaperStore, Subscription
from sememe.papers.mail import MailConfig, SmtpServer
from sememe.papers.message import DigestEntry
from sememe.papers.sending import Digest, send_digest

folder, address, port = sys.argv[1:]
with PaperStore.open(folder) as store:
    entries = [DigestEntry(paper) for paper in store.select(limit=5)]
    digest = Digest(Subscription(address), entries, "Papers", "The newest first.", datetime.date(2026, 1, 20))
    server = SmtpServer(MailConfig(f"127.0.0.1:{port}", security="none"))
    send_digest(store, digest, server, sender="papers@example.org", base_url="http://127.0.0.1:8765")
print("recorded")
"""


@pytest.mark.parametrize("moment", ["RCPT", "DATA"])
def test_a_process_that_is_killed_while_it_sends(folder, tmp_path, moment):
    """The server itself kills the sender, at that very command: no lucky timing is needed."""

    class Deadly(Mailbox):
        process = None

        def kill(self):
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

        async def handle_RCPT(self, server, session, envelope, address, options):
            if moment == "RCPT":
                self.kill()
            return await super().handle_RCPT(server, session, envelope, address, options)

        async def handle_DATA(self, server, session, envelope):
            answer = await super().handle_DATA(server, session, envelope)
            if moment == "DATA":
                self.kill()
            return answer

    with mail_server(Deadly()) as mailbox:
        command = [sys.executable, "-c", SENDER, str(folder), ME, str(mailbox.port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        mailbox.process = process
        out, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert b"recorded" not in out
    assert len(mailbox.messages) == (1 if moment == "DATA" else 0)
    with PaperStore.open(folder) as store:
        (lost,) = unconfirmed(store, ME)
        assert len(lost.papers) == 5
        entries = [DigestEntry(paper) for paper in store.select(limit=7)]
        rest = Digest(Subscription(ME), entries, "Papers", "The newest first.", entries[0].paper.date)
        sent = send_digest(store, rest, Outbox(tmp_path), sender="papers@example.org", base_url="http://x.example")
        assert len(sent.papers) == 2
        assert not set(sent.papers) & set(lost.papers)
