"""`sememe index`: make an index, or change one."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sememe.cli.flags import add_fields, add_json_flag, new_parser, read_fields
from sememe.cli.output import duration, print_facts, print_json, size
from sememe.corpus import ReadConfig
from sememe.search.config import IndexConfig

if TYPE_CHECKING:
    from sememe import Corpus, Index


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "index",
        "Read documents, encode them, and make them searchable. Without a source: show what an index holds.",
        "sememe index papers.jsonl --path my.index\n"
        "  sememe index python:stdlib --path docs.index --resume --coarse pq:48\n"
        "  sememe index tune --path my.index --recall 0.98   (see sememe index tune --help)\n"
        "  sememe index push my.index --to http://127.0.0.1:19530 --collection papers",
    )
    parser.add_argument("source", nargs="?", help="a file, a folder, a BEIR folder, -, python:NAME or a hub data set")
    parser.add_argument("--path", required=True, type=Path, help="the folder of the index")
    parser.add_argument("--encoder", default="minilm", help="a known name, a path or a hub id (default minilm)")
    parser.add_argument("--resume", action="store_true", help="go on with a build that was stopped")
    parser.add_argument("--add", action="store_true", help="add the source's documents to an index that is there")
    parser.add_argument("--replace", action="store_true", help="as --add, and replace documents with the same ids")
    parser.add_argument("--delete", nargs="+", metavar="ID", help="delete documents by their ids")
    parser.add_argument("--compact", action="store_true", help="take the space of deleted documents back")
    add_fields(parser.add_argument_group("reading"), ReadConfig)  # type: ignore[arg-type]
    add_fields(parser.add_argument_group("settings, fixed when an index is made"), IndexConfig)  # type: ignore[arg-type]
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    if options.source is None:
        return _change_or_show(options)
    from sememe import Encoder, Index, read

    corpus = read(options.source, **asdict(read_fields(options, ReadConfig)))
    if options.add or options.replace:
        with Index.open(options.path, writable=True) as index:
            (index.replace if options.replace else index.add)(corpus)
            index.prepare()
            _report(index, corpus, time.perf_counter() - started, options.json)
        return 0
    encoder = Encoder.load(options.encoder)
    with Index.build(
        corpus, encoder, options.path, config=read_fields(options, IndexConfig), resume=options.resume
    ) as index:
        _report(index, corpus, time.perf_counter() - started, options.json)
    return 0


def _change_or_show(options: argparse.Namespace) -> int:
    from sememe import Index

    with Index.open(options.path, writable=bool(options.delete or options.compact)) as index:
        if options.delete:
            deleted = index.delete(options.delete)
            if not options.json:
                print(f"{deleted} of {len(options.delete)} documents deleted")
        if options.compact:
            index.compact()
        if options.delete or options.compact:
            index.prepare()
        info = index.info()
        if options.json:
            print_json(info)
            return 0
        coarse = info["coarse"]
        recall = f", recall@10 {coarse['recall@10']:.3f} measured" if coarse.get("recall@10") is not None else ""
        print_facts(
            [
                ("index", options.path),
                ("documents", f"{info['documents']:,} from {info['corpus']}"),
                ("vectors", f"{info['vectors']:,} of {info['dimensions']} dimensions ({info['config']['dtype']})"),
                ("encoder", info["encoder"]["name"]),
                ("first stage", f"{coarse['kind']}{recall}"),
                ("on disk", size(info["bytes"])),
            ]
        )
    return 0


def _report(index: Index, corpus: Corpus, seconds: float, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "documents": len(index),
                "vectors": len(index.bank),
                "dimensions": index.bank.dimensions,
                "seconds": round(seconds, 3),
                "skipped": corpus.n_skipped,
            }
        )
        return
    print(
        f"{index.path}: {len(index):,} documents, {len(index.bank):,} vectors of {index.bank.dimensions} dimensions, "
        f"{size(index.info()['bytes'])}, {duration(seconds)}"
    )
    if corpus.n_skipped:
        print(f"{corpus.n_skipped:,} bad records skipped:")
        for skipped in corpus.skipped[:10]:
            print(f"  {skipped.place}: {skipped.reason}")
        if corpus.n_skipped > 10:
            print(f"  ... and {corpus.n_skipped - 10:,} more")
