"""`sememe papers mark`, `note` and `tag`: what a reader keeps with papers."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sememe.cli.flags import add_feed_flag, add_json_flag
from sememe.cli.output import print_json, print_table
from sememe.errors import InputError
from sememe.papers.folder import feed_folder
from sememe.papers.marking import MARKS


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    mark = actions.add_parser("mark", help="mark papers as read, saved, liked, disliked or hidden")
    mark.add_argument("kind", choices=MARKS)
    mark.add_argument("ids", nargs="+", metavar="ID")
    mark.add_argument("--off", action="store_true", help="take the mark away")
    mark.set_defaults(act=_mark)
    note = actions.add_parser("note", help="show the note on a paper, or write it")
    note.add_argument("id")
    note.add_argument("text", nargs="?", help="what the note says from now on; - reads it from standard input")
    note.add_argument("--clear", action="store_true", help="take the note away")
    note.set_defaults(act=_note)
    tag = actions.add_parser("tag", help="show all tags, or those of a paper; add or remove some")
    tag.add_argument("id", nargs="?")
    tag.add_argument("tags", nargs="*", metavar="TAG", help="tags to add")
    tag.add_argument("--remove", nargs="+", default=[], metavar="TAG", help="tags to take away")
    tag.set_defaults(act=_tag)
    for parser in (mark, note, tag):
        add_feed_flag(parser)
        add_json_flag(parser)


def _mark(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore

    with PaperStore.open(feed_folder(options.feed)) as store:
        ids = [paper.id for paper in store.papers(options.ids)]  # all are looked up before one is changed
        for identity in ids:
            store.mark(identity, options.kind, on=not options.off)
        marks = {identity: sorted(kinds) for identity, kinds in store.marks(ids).items()}
    if options.json:
        print_json({"marks": marks})
    else:
        print_table(["paper", "marks"], [(identity, ", ".join(kinds)) for identity, kinds in marks.items()])
    return 0


def _note(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore

    if options.clear and options.text is not None:
        raise InputError("cannot be both cleared and written", where="--clear", hint="Leave one of them out")
    with PaperStore.open(feed_folder(options.feed)) as store:
        identity = store.paper(options.id).id
        if options.clear:
            store.set_note(identity, "")
        elif options.text is not None:
            store.set_note(identity, sys.stdin.read().strip() if options.text == "-" else options.text)
        note = store.note(identity)
    if options.json:
        print_json({"id": identity, "note": note})
    else:
        print(note or "no note")
    return 0


def _tag(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore

    with PaperStore.open(feed_folder(options.feed)) as store:
        if options.id is None:
            tags = store.all_tags()
            if options.json:
                print_json({"tags": tags})
            else:
                print_table(["tag", "papers"], tags.items(), right=["papers"])
            return 0
        identity = store.paper(options.id).id
        if options.tags or options.remove:
            store.set_tags(identity, {*store.tags(identity), *options.tags} - set(options.remove))
        kept = store.tags(identity)
    if options.json:
        print_json({"id": identity, "tags": kept})
    else:
        print(", ".join(kept) or "no tags")
    return 0
