"""The flags that say which papers are meant, shared by the actions that show and write them."""

from __future__ import annotations

import argparse
import datetime
from typing import Any

from sememe.cli.flags import add_feed_flag
from sememe.papers.marking import MARKS
from sememe.papers.selecting import ORDERS


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Conditions, order and number."""
    parser.add_argument("--since", type=day, metavar="DAY", help="from this day on, such as 2025-01-31")
    parser.add_argument("--until", type=day, metavar="DAY", help="up to and with this day")
    parser.add_argument("--mark", choices=MARKS, help="only papers with this mark")
    parser.add_argument("--unmarked", choices=MARKS, help="only papers without this mark")
    parser.add_argument("--tag", help="only papers with this tag")
    parser.add_argument("--author", metavar="NAME", help="only papers by somebody whose name holds this")
    parser.add_argument("--venue", metavar="NAME", help="only papers whose venue's name holds this")
    parser.add_argument("--category", metavar="NAME", help="only papers of this category, such as cs.CL")
    parser.add_argument("--order", choices=tuple(ORDERS), default="date", help="default date")
    parser.add_argument("--limit", type=int, help="at most so many papers")
    parser.add_argument("--offset", type=int, default=0, help="pass over so many first")
    add_feed_flag(parser)


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """The conditions as `Selection` has them."""
    names = ("since", "until", "mark", "unmarked", "tag", "author", "venue", "category")
    return {name: getattr(options, name) for name in names}


def day(text: str) -> datetime.date:
    """A day as it is typed: `2025-01-31`, `today` or `yesterday`."""
    today = datetime.date.today()  # the reader's own day
    if text in ("today", "yesterday"):
        return today - datetime.timedelta(days=text == "yesterday")
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a day such as 2025-01-31, not {text!r}") from None
