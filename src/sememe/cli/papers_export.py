"""`sememe papers export` and `backup`: get everything out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sememe.cli.flags import add_feed_flag, add_json_flag
from sememe.cli.output import counted, print_json, size
from sememe.cli.papers_selection import add_selection_flags, conditions
from sememe.errors import InputError
from sememe.papers.exporting import EXPORTS, export, format_of, kept
from sememe.papers.folder import feed_folder


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    writing = actions.add_parser(
        "export",
        help="write papers as BibTeX, RIS, CSV, Markdown or JSON lines",
        epilog="example:\n  sememe papers export --mark saved --to saved.bib\n"
        "  sememe papers export arxiv:2405.12522 --format ris",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    writing.add_argument("ids", nargs="*", metavar="ID", help="these papers (default: all that meet the conditions)")
    writing.add_argument("--to", type=Path, metavar="FILE", help="a file; its name says the format (default: print it)")
    writing.add_argument("--format", choices=tuple(EXPORTS), help="default: what the name of the file says")
    add_selection_flags(writing)
    add_json_flag(writing)
    writing.set_defaults(act=_export)
    backup = actions.add_parser("backup", help="write a checked copy of everything to one file")
    backup.add_argument("file", type=Path, help="the copy; it holds subscribers' addresses and keys, so keep it safe")
    add_feed_flag(backup)
    add_json_flag(backup)
    backup.set_defaults(act=_backup)


def _export(options: argparse.Namespace) -> int:
    from sememe import disk
    from sememe.papers import PaperStore

    asked = {name: value for name, value in conditions(options).items() if value is not None}
    if options.ids and asked:
        flags = ", ".join(f"--{name}" for name in asked)
        raise InputError("cannot be combined with ids of papers", where=flags, hint="Leave one of them out")
    if options.to is None and (options.format is None or options.json):
        raise InputError("there is no file to write to", where="--to", hint="Add --to FILE, or --format to print it")
    form = options.format or format_of(options.to)
    with PaperStore.open(feed_folder(options.feed)) as store:
        if options.ids:
            papers = store.papers(options.ids)
        else:
            papers = store.select(**asked, order=options.order, limit=options.limit, offset=options.offset)
        text = "".join(export(kept(store, papers), form))
    if options.to is None:
        sys.stdout.write(text)
        return 0
    disk.write_file(options.to, text.encode())
    if options.json:
        print_json({"papers": len(papers), "file": str(options.to), "format": form})
    else:
        print(f"{options.to}: {counted(len(papers), 'paper')} as {form}, {size(len(text.encode()))}")
    return 0


def _backup(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore

    with PaperStore.open(feed_folder(options.feed)) as store:
        store.backup(options.file)
        n_papers = len(store)
    n_bytes = options.file.stat().st_size
    if options.json:
        print_json({"papers": n_papers, "file": str(options.file), "bytes": n_bytes})
    else:
        print(f"{options.file}: {counted(n_papers, 'paper')} and what you keep with them, {size(n_bytes)}")
        print(f"To restore: make an empty feed folder and copy {options.file} to papers.db in it")
    return 0
