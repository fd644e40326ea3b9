"""`sememe papers feed` and `interest`: the papers of a day, a week or a month, and what is for me."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sememe.cli.output import console, print_facts, print_json, print_table
from sememe.cli.papers_opening import add_collection_flags, opened_collection
from sememe.cli.papers_printing import paper_as_dict, print_paper
from sememe.cli.papers_selection import day
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.papers.feed import Feed
    from sememe.papers.for_me import Driver, Learned

SHOWN_DRIVERS = 12
LISTS = ("liked", "disliked", "authors", "require", "forbid")


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    _add_feed(actions)
    _add_interest(actions)


def _add_feed(actions: Any) -> None:
    parser = actions.add_parser(
        "feed",
        help="the papers of a day, a week or a month",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  sememe papers feed --period week --order trending\n"
        "  sememe papers feed --period month --order for-me --unread",
    )
    parser.add_argument("--period", default="day", choices=("day", "week", "month", "all"), help="default day")
    parser.add_argument("--day", type=day, help="a day of the period (default: that of the newest paper)")
    parser.add_argument("--order", default="newest", choices=("newest", "trending", "for-me"), help="default newest")
    parser.add_argument("--interest", default="me", metavar="NAME", help="whose interest for-me means (default me)")
    parser.add_argument("--unread", action="store_true", help="leave out what is marked read")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many papers (default 20)")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="how many to pass over first")
    add_collection_flags(parser, _feed)


def _add_interest(actions: Any) -> None:
    parser = actions.add_parser(
        "interest",
        help="what a for-me feed is made from, and what was learned; change it",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  sememe papers interest --like arxiv:2405.12522 --pin 'Ada Lovelace' --forbid blockchain\n"
        "  sememe papers interest robots --weight 812:0.5",
    )
    parser.add_argument("name", nargs="?", default="me", help="its name (default me)")
    for flag, metavar, what in (
        ("like", "ID", "a paper to show more of"),
        ("unlike", "ID", "a paper to show less of"),
        ("pin", "AUTHOR", "an author whose papers come first; a part of the name will do"),
        ("require", "WORD", "a paper must have one of the required keywords"),
        ("forbid", "WORD", "a paper must not have it"),
    ):
        parser.add_argument(f"--{flag}", action="append", default=[], metavar=metavar, help=what)
    parser.add_argument(
        "--weight", action="append", default=[], metavar="ATOM:WEIGHT", help="set the weight of an atom"
    )
    parser.add_argument(
        "--learned", action="append", default=[], type=int, metavar="ATOM", help="as it was learned again"
    )
    parser.add_argument("--drop", action="append", default=[], metavar="WHAT", help="take a paper, author or word out")
    parser.add_argument("--remove", action="store_true", help="forget the interest")
    add_collection_flags(parser, _interest)


def _feed(options: argparse.Namespace) -> int:
    from sememe.papers.feed import feed

    with opened_collection(options) as collection:
        found = feed(
            collection,
            period=options.period,
            day=options.day,
            order=options.order,
            interest=options.interest,
            unread=options.unread,
            limit=options.limit,
            offset=options.offset,
        )
    if options.json:
        print_json(_feed_as_dict(found))
        return 0
    out = console()
    days = f"{found.since} to {found.until}" if found.since != found.until else str(found.since or "all papers")
    papers = "1 paper" if found.total == 1 else f"{found.total:,} papers"
    out.print(f"{days}: {papers}; {found.formula}", style="dim")
    for number, entry in enumerate(found.entries, start=options.offset + 1):
        score = "" if found.order == "newest" else f"{entry.score:.2f}"
        print_paper(number, entry.paper, score, entry.reasons, list(entry.marks))
    if found.note:
        out.print(found.note, style="dim")
    return 0


def _feed_as_dict(found: Feed) -> dict[str, Any]:
    return {
        "since": found.since.isoformat() if found.since else None,
        "until": found.until.isoformat() if found.until else None,
        "order": found.order,
        "formula": found.formula,
        "total": found.total,
        "note": found.note,
        "entries": [
            {**paper_as_dict(entry.paper, entry.score, entry.reasons), "marks": list(entry.marks)}
            for entry in found.entries
        ],
    }


def _interest(options: argparse.Namespace) -> int:
    from sememe.papers.editing import Edit, edit_interest
    from sememe.papers.for_me import drivers, learn_interest, weighable_atoms

    edit = Edit(
        like=options.like,
        unlike=options.unlike,
        pin=options.pin,
        require=options.require,
        forbid=options.forbid,
        weights=_weights(options.weight),
        learned=options.learned,
        drop=options.drop,
    )
    with opened_collection(options) as collection:
        if options.remove:
            collection.store.remove_interest(options.name)
        else:
            if edit.weights:
                weighable_atoms(collection, edit.weights)
            edit_interest(collection.store, options.name, edit)
        learned = learn_interest(collection, options.name)
        found, note = drivers(collection, learned, SHOWN_DRIVERS), collection.note
    if options.json:
        print_json(_interest_as_dict(learned, found, note))
    else:
        _print_interest(learned, found, note)
    return 0


def _weights(texts: list[str]) -> dict[int, float]:
    weights = {}
    for text in texts:
        atom, _, weight = text.partition(":")
        try:
            weights[int(atom)] = float(weight)
        except ValueError:
            raise InputError(f"is not ATOM:WEIGHT: {text!r}", where="--weight", hint="Write it like 12:0.5") from None
    return weights


def _interest_as_dict(learned: Learned, found: list[Driver], note: str) -> dict[str, Any]:
    interest = learned.interest
    atoms = [
        {
            "atom": one.atom,
            "label": one.label,
            "weight": one.weight,
            "learned": one.learned,
            "contribution": one.part,
        }
        for one in found
    ]
    lists = {field: list(getattr(interest, field)) for field in LISTS}
    state = {"ready": learned.score is not None, "marks": learned.note, "note": note}
    return {"name": interest.name, **lists, **state, "atoms": atoms}


def _print_interest(learned: Learned, found: list[Driver], note: str) -> None:
    interest = learned.interest
    facts = {
        "interest": interest.name,
        "marks": learned.note,
        "pinned": ", ".join(interest.authors),
        "required": ", ".join(interest.require),
        "forbidden": ", ".join(interest.forbid),
    }
    print_facts((name, value) for name, value in facts.items() if value)
    if found:
        print()
        rows = [
            (one.atom, one.label, f"{one.part:+.3f}", f"{one.weight:+.3f}", "yours" if one.is_edited else "")
            for one in found
        ]
        print_table(["atom", "label", "adds", "weight", ""], rows, right=["atom", "adds", "weight"])
    elif note and learned.score is not None:
        console().print(note, style="dim")
