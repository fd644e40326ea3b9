"""`sememe papers search` and `similar`: find papers by meaning, and papers like others."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sememe.cli.output import console, print_json
from sememe.cli.papers_opening import add_collection_flags, opened_collection
from sememe.cli.papers_printing import paper_as_dict, print_paper
from sememe.cli.papers_selection import day
from sememe.papers.marking import MARKS

if TYPE_CHECKING:
    from sememe.papers.collection import PaperHit


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    search = actions.add_parser(
        "search",
        help="find papers by meaning and by words, and see why",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example:\n  sememe papers search "robots that fold laundry" --since 2026-01-01 --mark saved',
    )
    search.add_argument("query", help="what you look for")
    search.add_argument("-k", type=int, default=10, help="how many papers (default 10)")
    search.add_argument("--mode", default="hybrid", choices=("hybrid", "dense", "lexical"), help="default hybrid")
    search.add_argument("--since", type=day, metavar="DAY", help="the first day, such as 2026-01-31")
    search.add_argument("--until", type=day, metavar="DAY", help="the last day")
    search.add_argument("--mark", choices=MARKS, help="only papers with this mark")
    search.add_argument("--tag", help="only papers with this tag")
    add_collection_flags(search, _search)
    similar = actions.add_parser(
        "similar",
        help="papers like one, or like some and unlike others, and what they share",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  sememe papers similar arxiv:2405.12522 --order date\n"
        "  sememe papers similar arxiv:2405.12522 arxiv:2405.10725 --unlike arxiv:2405.12970",
    )
    similar.add_argument("ids", nargs="+", metavar="ID", help="the papers to find others like")
    similar.add_argument("--unlike", action="append", default=[], metavar="ID", help="a paper to find others unlike")
    similar.add_argument("-k", type=int, default=10, help="how many papers (default 10)")
    similar.add_argument(
        "--order",
        default="likeness",
        choices=("likeness", "date"),
        help="of the K papers most alike (default likeness)",
    )
    add_collection_flags(similar, _similar)


def _search(options: argparse.Namespace) -> int:
    with opened_collection(options) as collection:
        hits = collection.search(
            options.query,
            options.k,
            mode=options.mode,
            since=options.since,
            until=options.until,
            mark=options.mark,
            tag=options.tag,
        )
        note, n_papers = collection.note, len(collection)
    _show({"query": options.query}, hits, note, n_papers, as_json=options.json)
    return 0


def _similar(options: argparse.Namespace) -> int:
    with opened_collection(options) as collection:
        if len(options.ids) == 1 and not options.unlike:
            hits = collection.similar(options.ids[0], options.k, order=options.order)
        else:
            hits = collection.more_like(options.ids, options.unlike, options.k, order=options.order)
        note, n_papers = collection.note, len(collection)
    _show({"like": options.ids, "unlike": options.unlike}, hits, note, n_papers, as_json=options.json)
    return 0


def _show(asked: dict[str, Any], hits: Sequence[PaperHit], note: str, n_papers: int, *, as_json: bool) -> None:
    if as_json:
        found = [
            {
                **paper_as_dict(hit.paper, hit.score, hit.reasons),
                "explanation": hit.explanation.as_dict() if hit.explanation is not None else None,
            }
            for hit in hits
        ]
        print_json({**asked, "hits": found, "note": note})
        return
    for number, hit in enumerate(hits, start=1):
        print_paper(number, hit.paper, f"{hit.score:.3f}", hit.reasons)
    out = console()
    if not hits:
        out.print(f"Nothing found in {n_papers:,} papers.")
    if note:
        out.print(note, style="dim")
