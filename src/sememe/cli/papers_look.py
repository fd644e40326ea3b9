"""`sememe papers list` and `show`: which papers there are, and everything about one."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_feed_flag, add_json_flag
from sememe.cli.output import PLAIN_WIDTH, counted, print_facts, print_json, print_table
from sememe.cli.papers_selection import add_selection_flags, conditions
from sememe.papers.folder import feed_folder

if TYPE_CHECKING:
    from sememe.papers import Paper, PaperStore

SHOWN = 30


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    listing = actions.add_parser("list", help="the papers, the newest first")
    add_selection_flags(listing)
    add_json_flag(listing)
    listing.set_defaults(act=_list)
    show = actions.add_parser("show", help="one paper: abstract, versions, marks, tags and note")
    show.add_argument("id", help="an id as in the list, an arXiv id, a DOI or an address")
    add_feed_flag(show)
    add_json_flag(show)
    show.set_defaults(act=_show)


def paper_json(paper: Paper) -> dict[str, Any]:
    """A paper as `--json` prints it."""
    return {
        "id": paper.id,
        "title": paper.title,
        "abstract": paper.abstract,
        "authors": paper.authors,
        "n_authors": paper.author_count,
        "date": paper.date.isoformat() if paper.date else None,
        "votes": paper.votes,
        "url": paper.url,
        "venue": paper.venue,
        "categories": paper.categories,
        "keywords": paper.keywords,
        "version": paper.version,
        "identities": paper.identities,
    }


def people(paper: Paper) -> str:
    """Who wrote a paper, in a few words."""
    if len(paper.authors) == 1 and (paper.author_count or 1) == 1:
        return paper.authors[0]
    if paper.authors:
        return f"{paper.authors[0]} et al." if (paper.author_count or 2) > 2 else " and ".join(paper.authors)
    count = paper.author_count
    return "" if count is None else counted(count, "author")


def _list(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore, Selection

    limit = options.limit if options.limit is not None or options.json else SHOWN
    with PaperStore.open(feed_folder(options.feed)) as store:
        asked = conditions(options)
        papers = store.select(**asked, order=options.order, limit=limit, offset=options.offset)
        total = store.count(Selection(**asked))
    if options.json:
        print_json({"papers": [paper_json(paper) for paper in papers], "total": total})
        return 0
    rows = [(paper.date or "", paper.title, people(paper), paper.id) for paper in papers]
    print_table(["date", "title", "authors", "id"], rows)
    if total > len(papers):
        print(f"{len(papers)} of {total:,}; --limit shows more")
    elif not papers:
        print("no papers")
    return 0


def _show(options: argparse.Namespace) -> int:
    from sememe.papers import PaperStore

    with PaperStore.open(feed_folder(options.feed)) as store:
        paper = store.paper(options.id)
        if options.json:
            print_json({**paper_json(paper), **_kept_json(store, paper)})
        else:
            _print_paper(store, paper)
    return 0


def _kept_json(store: PaperStore, paper: Paper) -> dict[str, Any]:
    versions = [
        {
            "version": version.paper.version,
            "title": version.paper.title,
            "source": version.paper.source,
            "added": version.added.isoformat(),
        }
        for version in store.versions(paper.id)
    ]
    marks = {kind: at.isoformat() for kind, at in store.marks([paper.id])[paper.id].items()}
    return {"marks": marks, "tags": store.tags(paper.id), "note": store.note(paper.id), "versions": versions}


def _print_paper(store: PaperStore, paper: Paper) -> None:
    print(paper.title)
    print()
    facts = [
        ("authors", ", ".join(paper.authors) or people(paper)),
        ("date", paper.date),
        ("venue", paper.venue),
        ("votes", paper.votes),
        ("categories", ", ".join(paper.categories)),
        ("keywords", ", ".join(paper.keywords)),
        ("address", paper.url),
        ("id", paper.id),
        ("also", ", ".join(paper.identities)),
        ("source", paper.source),
        ("marks", ", ".join(store.marks([paper.id])[paper.id])),
        ("tags", ", ".join(store.tags(paper.id))),
    ]
    print_facts([(name, value) for name, value in facts if value not in (None, "")])
    for paragraph in filter(None, paper.abstract.split("\n\n")):
        print()
        print(textwrap.fill(paragraph, PLAIN_WIDTH))
    versions = store.versions(paper.id)
    if len(versions) > 1:
        print()
        rows = [(v.paper.version, v.added.date(), v.paper.title, v.paper.source) for v in versions]
        print_table(["version", "known since", "title", "source"], rows, right=["version"])
    if note := store.note(paper.id):
        print(f"\nnote: {note}")
