"""The watch: what it does when, that one failure does not stop the rest, and that it ends when it is told to."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sememe.errors import InputError, RemoteError
from sememe.papers import PaperStore, Subscription
from sememe.papers import watch as watch_module
from sememe.papers.mail import Outbox
from sememe.papers.schedules import cron_line, systemd_unit
from sememe.papers.watch import Watch, WatchConfig, is_due

ME = "me@example.org"
BERLIN = datetime.timezone(datetime.timedelta(hours=1))
MORNING = datetime.datetime(2026, 1, 20, 8, tzinfo=BERLIN)
PAGE = """Jan 20

A Paper of the Page

We study the page, and we find that it is a page with a paper.

  • 2 authors
·
Jan 20, 2026
"""


@pytest.fixture
def made(collection, tmp_path):
    """A watch on the made papers that writes to a folder, and what it reported."""
    events, clock = [], [MORNING]

    def make(*sources, carrier=None, **options):
        return Watch(
            collection,
            sources=[str(source) for source in sources],
            carrier=carrier or Outbox(tmp_path / "out"),
            sender="papers@example.org",
            config=WatchConfig(**options),
            report=events.append,
            now=lambda: clock[0],
        )

    make.events, make.clock, make.out = events, clock, tmp_path / "out"
    return make


def kinds(make):
    return [event.kind for event in make.events]


def test_a_round_imports_indexes_and_sends(made, collection, tmp_path):
    page = tmp_path / "page.txt"
    page.write_text(PAGE)
    collection.store.subscribe(Subscription(ME, at_most=50))
    watch = made(page)
    assert watch.once()
    assert kinds(made) == ["imported", "indexed", "sent"]
    assert len(collection) == 81
    (letter,) = made.out.glob("*.eml")
    assert b"A Paper of the Page" in letter.read_bytes()
    assert watch.once()  # nothing is due
    assert kinds(made) == ["imported", "indexed", "sent"]


def test_one_failure_does_not_stop_the_rest(made, collection, tmp_path):
    page = tmp_path / "page.txt"
    page.write_text(PAGE)
    collection.store.subscribe(Subscription("a@example.org"))
    collection.store.subscribe(Subscription("b@example.org"))

    class Moody(Outbox):
        def send(self, message, name):
            if message["To"] == "a@example.org":
                raise RemoteError("no such user", where="a@example.org")
            return super().send(message, name)

    watch = made(tmp_path / "nothing", page, carrier=Moody(made.out))
    assert not watch.once()
    assert kinds(made) == ["failed", "imported", "indexed", "failed", "sent"]
    assert len(list(made.out.glob("*.eml"))) == 1


def test_a_failed_digest_is_tried_again_later(made, collection, monkeypatch):
    collection.store.subscribe(Subscription(ME))
    refusals = [True]

    class Moody(Outbox):
        def send(self, message, name):
            if refusals:
                refusals.pop()
                raise RemoteError("not now")
            return super().send(message, name)

    watch = made(carrier=Moody(made.out))
    assert not watch.once()
    assert watch.once()  # too soon: nothing is tried
    assert list(made.out.glob("*.eml")) == []
    monkeypatch.setattr(watch_module.time, "monotonic", lambda now=watch_module.time.monotonic: now() + 1000)
    assert watch.once()
    assert len(list(made.out.glob("*.eml"))) == 1


@pytest.mark.parametrize(
    ("every", "last", "now", "due"),
    [
        ("daily", None, "2026-01-20T06:59", False),
        ("daily", None, "2026-01-20T07:00", True),
        ("daily", "2026-01-20T07:00", "2026-01-20T23:59", False),
        ("daily", "2026-01-20T07:00", "2026-01-21T06:59", False),
        ("daily", "2026-01-20T07:00", "2026-01-21T07:00", True),
        ("daily", "2026-01-20T23:59", "2026-01-21T07:00", True),
        ("weekly", "2026-01-19T07:05", "2026-01-25T23:00", False),
        ("weekly", "2026-01-19T07:05", "2026-01-26T07:00", True),
        ("weekly", "2026-01-01T07:05", "2026-01-20T07:00", True),
    ],
)
def test_when_a_digest_is_due(collection, monkeypatch, every, last, now, due):
    from sememe.papers import subscriptions

    store, subscription = collection.store, Subscription(ME, every=every)

    def moment(text):
        return datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN)

    if last is not None:
        at = moment(last).astimezone(datetime.UTC).isoformat(timespec="microseconds")
        monkeypatch.setattr(subscriptions, "now", lambda: at)
        store.claim_for_sending(ME, [store.select(limit=1)[0].id], "d1")
    assert is_due(store, subscription, moment(now), datetime.time(7)) is due


def test_it_stops_when_it_is_told_to(made):
    watch, stop = made(), threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_settings_are_checked():
    assert WatchConfig(at="06:30").time == datetime.time(6, 30)
    for options in ({"at": "25:00"}, {"at": "soon"}, {"every": 0}):
        with pytest.raises(InputError):
            WatchConfig(**options)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_cleanly(tmp_path, number):
    """A real process: it says that it watches, gets the signal, and ends with 0 after what it had begun."""
    with PaperStore.open(tmp_path / "feed", create=True):
        pass
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "sememe", "papers", "watch", "--feed", str(tmp_path / "feed"), "--every", "600"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline().startswith("watching ")
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    assert "Traceback" not in out


def test_lines_for_schedulers():
    command = ["/usr/bin/sememe", "papers", "watch", "https://example.org/a%20b?x=$y", "--feed", "/home/me/my papers"]
    line = cron_line(command, datetime.time(6, 5))
    assert line.startswith("5 6 * * * ")
    told = line.removeprefix("5 6 * * * ").replace("\\%", "%")
    assert shlex.split(told) == [*command, "--once"]
    assert "%" not in line.replace("\\%", "")
    unit = systemd_unit(command, "/home/me", "SEMEME_SMTP_PASSWORD")
    (start,) = [row for row in unit.splitlines() if row.startswith("ExecStart=")]
    assert start.endswith('https://example.org/a%%20b?x=$$y --feed "/home/me/my papers"')
    assert "[Install]" in unit


def test_the_examples_are_in_the_help(capsys):
    from sememe.cli import main

    for action in ("digest", "subscribe", "unsubscribe", "watch"):
        assert main(["papers", action, "--help"]) == 0
        assert f"sememe papers {action}" in capsys.readouterr().out


def test_the_password_is_in_nothing_that_is_printed(tmp_path, capfd, monkeypatch):
    from sememe.cli import main

    canary = "canary-51c9-password"
    monkeypatch.setenv("SEMEME_SMTP_PASSWORD", canary)
    monkeypatch.chdir(tmp_path)
    with PaperStore.open(tmp_path / "papers.feed", create=True) as store:
        store.subscribe(Subscription(ME))
    mail = ["--smtp", "127.0.0.1:1", "--user", ME, "--feed", "papers.feed"]
    runs = [
        ["papers", "watch", *mail, "--print", "systemd"],
        ["papers", "watch", *mail, "--print", "cron", "--json"],
        ["papers", "watch", *mail, "--once", "--at", "00:00", "--encoder", "nothing-of-that-name"],
        ["papers", "digest", "--to", ME, *mail, "--base-url", "nowhere"],
        ["papers", "digest", "--to", ME, *mail, "--json", "--encoder", "nothing-of-that-name"],
        ["papers", "subscribe", "--feed", "papers.feed", "--json"],
    ]
    for words in runs:
        main(words)
    said = capfd.readouterr()
    assert said.out
    assert said.err
    assert canary not in said.out + said.err
    kept = b"".join(path.read_bytes() for path in Path(tmp_path).rglob("*") if path.is_file())
    assert canary.encode() not in kept


def test_commands_on_subscriptions(tmp_path, capsys):
    from sememe.cli import main

    feed = ["--feed", str(tmp_path / "feed")]
    with PaperStore.open(tmp_path / "feed", create=True):
        pass

    def told(*words):
        code = main(["papers", *words, *feed, "--json"])
        return code, json.loads(capsys.readouterr().out)

    code, answer = told("subscribe", "Me@Example.org", "--weekly", "--interest", "me", "--at-most", "5")
    assert code == 0
    expected = {"address": "Me@example.org", "interest": "me", "every": "weekly", "at_most": 5, "sent": 0}
    assert answer == {"subscriptions": [expected]}
    code, answer = told("subscribe", "me@example.org", "--daily", "--trending")
    assert answer["subscriptions"] == [{**expected, "interest": None, "every": "daily"}]
    assert told("unsubscribe", "ME@example.org") == (0, {"address": "ME@example.org", "ended": True})
    assert told("unsubscribe", "me@example.org") == (0, {"address": "me@example.org", "ended": False})
    for words, message in (
        (["subscribe", "nobody"], "no e-mail address"),
        (["subscribe", ME, "--at-most", "0"], "0 papers"),
        (["subscribe", ME, "--interest", "mee"], "no interest 'mee'"),
        (["digest", "--to", ME], "nobody to hand"),
        (["digest", "--to", ME, "--out", "x", "--smtp", "y"], "cannot be combined"),
        (["digest", "--to", ME, "--smtp", "mail.example.org"], "needs a sender"),
        (["watch", "--at", "99:00"], "no time of day"),
    ):
        code, answer = told(*words)
        assert code == 2
        assert message in answer["error"]["message"], words
