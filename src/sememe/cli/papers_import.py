"""`sememe papers import`: take papers in."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_feed_flag, add_fields, add_json_flag, read_fields
from sememe.cli.output import counted, duration, print_json
from sememe.papers.folder import feed_folder
from sememe.papers.importing import ImportConfig, PaperSource
from sememe.progress import progress

if TYPE_CHECKING:
    from sememe.papers import Imported, PaperStore


def add_parsers(actions: Any) -> None:
    """Add the action to the verb's parser."""
    parser = actions.add_parser(
        "import",
        help="take papers in; importing them again changes nothing",
        epilog="example:\n  sememe papers import page.txt refs.bib papers.jsonl.gz\n"
        "  sememe papers import https://rss.arxiv.org/rss/cs.CL\n"
        "  sememe papers import arxiv:2405.12522,2509.20784",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a file (also .gz, .zip), - , an http(s) address, or arxiv:QUERY"
    )
    add_fields(parser, ImportConfig)
    add_feed_flag(parser)
    add_json_flag(parser)
    parser.set_defaults(act=_import)


def _import(options: argparse.Namespace) -> int:
    from sememe.papers import Imported, PaperStore

    started = time.perf_counter()
    config = read_fields(options, ImportConfig)
    sources = [PaperSource(source, config) for source in options.sources]
    counts = Imported()
    with PaperStore.open(feed_folder(options.feed), create=True) as store:
        with progress("importing", unit="papers") as bar:
            for source in sources:
                for batch in store.add_batches(source):
                    counts += batch
                    bar.advance(batch.imported + batch.updated + batch.skipped)
        _report(store, sources, counts, time.perf_counter() - started, options.json)
    return 0


def _report(store: PaperStore, sources: list[PaperSource], counts: Imported, seconds: float, as_json: bool) -> None:
    left_out = sum(source.n_skipped for source in sources)
    if as_json:
        print_json(
            {
                "imported": counts.imported,
                "updated": counts.updated,
                "skipped": counts.skipped + left_out,
                "bad": left_out,
                "papers": len(store),
                "seconds": round(seconds, 3),
            }
        )
        return
    print(
        f"{store.folder}: {counts.imported:,} imported, {counts.updated:,} updated, "
        f"{counts.skipped:,} known already; {counted(len(store), 'paper')}, {duration(seconds)}"
    )
    if left_out:
        listed = [skipped for source in sources for skipped in source.skipped]
        print(f"{counted(left_out, 'record')} left out:")
        for skipped in listed[:10]:
            print(f"  {skipped.place}: {skipped.reason}")
        if left_out > 10:
            print(f"  ... and {left_out - 10:,} more")
