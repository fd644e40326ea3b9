"""`sememe papers digest`, `subscribe`, `unsubscribe` and `watch`: papers by e-mail."""

from __future__ import annotations

import argparse
import datetime
import shutil
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_feed_flag, add_fields, add_json_flag, given_fields, read_fields
from sememe.cli.output import print_json, print_table
from sememe.cli.papers_opening import add_encoder_flag, opened_collection
from sememe.cli.papers_selection import day
from sememe.errors import InputError
from sememe.papers.addresses import address_of
from sememe.papers.folder import feed_folder
from sememe.papers.mail import MailConfig, Outbox, SmtpServer
from sememe.papers.subscriptions import EVERY, Subscription
from sememe.papers.watch_config import WatchConfig

if TYPE_CHECKING:
    from sememe.papers.sending import Carrier, Digest
    from sememe.papers.store import PaperStore
    from sememe.papers.watch import Event

LOCAL_SENDER = "papers@localhost"
BASE_URL = "http://127.0.0.1:8765"


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    digest = _parser(
        actions,
        "digest",
        "send an address the papers that it was not sent before, or write them to a file",
        "sememe papers digest --to me@example.org --daily --smtp mail.example.org --user me@example.org\n"
        "  sememe papers digest --to me@example.org --weekly --out digests",
    )
    digest.add_argument("--to", required=True, metavar="ADDRESS", help="who gets it; is subscribed by the first one")
    _add_subscription_flags(digest)
    digest.add_argument("--day", type=day, help="the last day of its papers (default today)")
    digest.add_argument("--since", type=day, metavar="DAY", help="the first one (default: 3 days, weekly 9)")
    digest.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    digest.add_argument("--base-url", default=BASE_URL, metavar="URL", help=f"where the pages are (default {BASE_URL})")
    _add_mail_flags(digest)
    digest.set_defaults(act=_digest)

    subscribe = _parser(
        actions,
        "subscribe",
        "subscribe an address to digests, or list who is subscribed",
        "sememe papers subscribe me@example.org --weekly --interest me",
    )
    subscribe.add_argument("address", nargs="?", metavar="ADDRESS", help="without one: list all")
    _add_subscription_flags(subscribe)
    subscribe.set_defaults(act=_subscribe)

    unsubscribe = _parser(actions, "unsubscribe", "end a subscription", "sememe papers unsubscribe me@example.org")
    unsubscribe.add_argument("address", metavar="ADDRESS")
    unsubscribe.set_defaults(act=_unsubscribe)

    watch = _parser(
        actions,
        "watch",
        "import sources on a schedule and send the digests that are due, until it is stopped",
        "sememe papers watch https://rss.arxiv.org/rss/cs.CL --at 07:00 --smtp mail.example.org --user me@example.org\n"
        "  sememe papers watch page.txt --out digests --once\n"
        "  sememe papers watch https://rss.arxiv.org/rss/cs.CL --out digests --print systemd",
    )
    watch.add_argument("sources", nargs="*", metavar="SOURCE", help="what sememe papers import takes")
    add_fields(watch, WatchConfig)
    watch.add_argument("--once", action="store_true", help="do what is due, then end; 1 if something went wrong")
    watch.add_argument("--print", dest="schedule", choices=("cron", "systemd"), help="only print a line or a unit")
    _add_mail_flags(watch)
    watch.set_defaults(act=_watch)
    for parser in (digest, watch):
        add_encoder_flag(parser)


def _parser(actions: Any, name: str, help: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=help, epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_feed_flag(parser)
    add_json_flag(parser)
    return parser


def _add_subscription_flags(parser: argparse.ArgumentParser) -> None:
    often = parser.add_mutually_exclusive_group()
    for every in EVERY:
        often.add_argument(f"--{every}", dest="every", action="store_const", const=every, help=f"a {every} digest")
    parser.add_argument("--interest", metavar="NAME", help="papers for this interest, such as me (default: trending)")
    parser.add_argument("--trending", action="store_true", help="trending papers again, not those of an interest")
    parser.add_argument("--at-most", type=int, metavar="N", help="papers in a digest (default 20)")


def _add_mail_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("mail")
    group.add_argument("--out", type=Path, metavar="FOLDER", help="write .eml files there instead of sending")
    add_fields(group, MailConfig)  # type: ignore[arg-type]


def _digest(options: argparse.Namespace) -> int:
    from sememe.papers.digest import choose
    from sememe.papers.sending import require_subscription, send_digest, unconfirmed
    from sememe.papers.unsubscribing import checked_base_url

    address, base_url = address_of(options.to, where="--to"), checked_base_url(options.base_url)
    carrier, sender = (None, LOCAL_SENDER) if options.dry_run else _carrier(options)
    with opened_collection(options) as collection:
        store = collection.store
        wanted = _wanted(store, address, options)
        last = options.day or datetime.date.today()
        if options.since is not None and options.since > last:
            raise InputError("is after the last day", where="--since", hint="Give an earlier one, or a later --day")
        if carrier is None:
            digest = choose(collection, wanted, day=last, since=options.since)
            return _show(digest, options.json)
        digest = choose(collection, require_subscription(store, wanted), day=last, since=options.since)
        open_before = unconfirmed(store, address)
        sent = send_digest(store, digest, carrier, sender=sender, base_url=base_url) if digest.entries else None
    if options.json:
        papers = list(sent.papers) if sent else []
        print_json(
            {
                "to": address,
                "sent": len(papers),
                "papers": papers,
                "place": sent.place if sent else None,
                "unconfirmed": [{"digest": one.id, "papers": list(one.papers)} for one in open_before],
            }
        )
        return 0
    print(f"{address}: {len(sent.papers)} papers, to {sent.place}" if sent else f"{address}: nothing new")
    for one in open_before:
        print(
            f"The digest of {one.claimed:%Y-%m-%d} with {len(one.papers)} papers was not confirmed; it may have "
            "arrived, so it is not sent again"
        )
    return 0


def _show(digest: Digest, as_json: bool) -> int:
    if as_json:
        papers = [{"id": e.paper.id, "title": e.paper.title, "reasons": list(e.reasons)} for e in digest.entries]
        print_json({"to": digest.subscription.address, "title": digest.title, "order": digest.order, "papers": papers})
        return 0
    print(f"{digest.title}, to {digest.subscription.address}\n{digest.order}")
    print_table(["paper", "title"], [(entry.paper.id, entry.paper.title) for entry in digest.entries])
    return 0


def _wanted(store: PaperStore, address: str, options: argparse.Namespace) -> Subscription:
    """The subscription of an address with what was asked for now; the rest stays as it is."""
    before = store.subscription(address) or Subscription(address)
    return Subscription(
        before.address,
        None if options.trending else options.interest or before.interest,
        options.every or before.every,
        options.at_most if options.at_most is not None else before.at_most,
        before.created,
    )


def _carrier(options: argparse.Namespace) -> tuple[Carrier, str]:
    """What takes the messages, and the From address."""
    given = given_fields(options, MailConfig)
    if options.out is not None:
        extra = [name for name in given if name != "sender"]
        if extra:
            raise InputError("cannot be combined with a mail server", where="--out", hint="Leave one of them out")
        return Outbox(options.out), address_of(getattr(options, "sender", "") or LOCAL_SENDER, where="--sender")
    if "smtp" not in given:
        raise InputError("nobody to hand e-mails to", where="--smtp", hint="Add --smtp HOST[:PORT], or --out FOLDER")
    config = read_fields(options, MailConfig)
    if config.user:
        config.password()  # a missing one is said now, not after an hour of importing
    return SmtpServer(config), config.from_address


def _subscribe(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore
    from sememe.papers.sending import require_interest

    with PaperStore.open(feed_folder(options.feed)) as store:
        if options.address is not None:
            wanted = _wanted(store, address_of(options.address, where="ADDRESS"), options)
            require_interest(store, wanted.interest)
            store.subscribe(wanted)
        found = store.subscriptions()
        sent = {one.address: sum(1 for digest in store.sent(one.address) if digest.ok) for one in found}
    if options.json:
        rows = [
            {
                "address": s.address,
                "interest": s.interest,
                "every": s.every,
                "at_most": s.at_most,
                "sent": sent[s.address],
            }
            for s in found
        ]
        print_json({"subscriptions": rows})
        return 0
    print_table(
        ["address", "every", "papers", "at most", "sent"],
        [(s.address, s.every, s.interest or "trending", s.at_most, sent[s.address]) for s in found],
        right=["at most", "sent"],
    )
    return 0


def _unsubscribe(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore

    with PaperStore.open(feed_folder(options.feed)) as store:
        ended = store.unsubscribe(options.address.strip())
    if options.json:
        print_json({"address": options.address, "ended": ended})
    else:
        print(f"{options.address}: {'unsubscribed' if ended else 'was not subscribed'}")
    return 0


def _watch(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore
    from sememe.papers.unsubscribing import checked_base_url
    from sememe.papers.watch import Watch

    config = read_fields(options, WatchConfig)
    checked_base_url(config.base_url)
    if options.schedule is not None:
        return _print_schedule(options, config.time)
    wants_mail = options.out is not None or "smtp" in given_fields(options, MailConfig)
    carrier, sender = _carrier(options) if wants_mail else (None, LOCAL_SENDER)
    PaperStore.open(feed_folder(options.feed), create=True).close()
    events: list[Event] = []
    stop = threading.Event()

    def end(*_: object) -> None:
        if stop.is_set():  # asked twice: at once, which loses nothing either
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with opened_collection(options) as collection:
            watch = Watch(
                collection,
                sources=options.sources,
                carrier=carrier,
                sender=sender,
                config=config,
                report=events.append if options.json else _log,
            )
            if not options.once:
                print(f"watching {feed_folder(options.feed)}  (stop with Ctrl-C)", flush=True)
            if options.once:
                well = watch.once(stop)
            else:
                watch.run(stop)
                well = True
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if options.json:
        print_json({"events": [{"kind": event.kind, "text": event.text} for event in events]})
    return 0 if well else 1


def _log(event: Event) -> None:
    print(f"{datetime.datetime.now():%Y-%m-%d %H:%M} {event.kind:<8} {event.text}", flush=True)


def _print_schedule(options: argparse.Namespace, at: datetime.time) -> int:
    from sememe.papers.schedules import cron_line, systemd_unit

    # A scheduler starts it somewhere else, so files are named in full.
    sources = [str(Path(source).absolute()) if Path(source).is_file() else source for source in options.sources]
    command = [shutil.which("sememe") or "sememe", "papers", "watch", *sources]
    command += ["--feed", str(feed_folder(options.feed).absolute())]
    if options.out is not None:
        command += ["--out", str(options.out.absolute())]
    for config in (WatchConfig, MailConfig):
        for name in given_fields(options, config):
            value = str(getattr(options, name))
            in_full = str(Path(value).absolute()) if name in ("ca_file", "password_file") else value
            command += [f"--{name.replace('_', '-')}", in_full]
    variable = getattr(options, "password_env", MailConfig.password_env)
    text = cron_line(command, at) if options.schedule == "cron" else systemd_unit(command, str(Path.cwd()), variable)
    if options.json:
        print_json({options.schedule: text})
    else:
        print(text.rstrip("\n"))
    return 0
