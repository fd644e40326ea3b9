"""`sememe index push`: move an index to a Milvus server, or bring what is there up to date."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sememe.cli.flags import add_fields, add_json_flag, new_parser, read_fields
from sememe.cli.output import duration, print_facts, print_json
from sememe.errors import InputError
from sememe.search.milvus.address import is_address, make_address, parse_address
from sememe.search.milvus.config import MilvusConfig

_TAKEN_FROM_INDEX = ("overlap", "language")
_MAPPINGS = ("parameters", "search_parameters")


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "index push",
        "Send an index to a Milvus server. Running it again sends what has changed since, and nothing else.",
        "sememe index push my.index --to http://127.0.0.1:19530 --collection papers\n"
        "  sememe search milvus://127.0.0.1:19530/papers 'how do I shrink an index?'\n"
        "A user and password, or a key, is read from the variable SEMEME_MILVUS_TOKEN.",
    )
    parser.add_argument("path", type=Path, help="the folder of the index")
    parser.add_argument(
        "--to", required=True, metavar="URI", help="http://HOST:PORT, FILE.db, or milvus://HOST:PORT/NAME"
    )
    parser.add_argument("--collection", metavar="NAME", help="its name on the server")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds to wait for an answer (default 30)")
    settings = parser.add_argument_group("settings, fixed when a collection is made")
    add_fields(settings, MilvusConfig, leave_out=(*_TAKEN_FROM_INDEX, *_MAPPINGS))  # type: ignore[arg-type]
    settings.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=NUMBER", help="of the server's index, such as M=32"
    )
    settings.add_argument(
        "--search-parameter", action="append", default=[], metavar="NAME=NUMBER", help="of searches, such as ef=400"
    )
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    from sememe import Index
    from sememe.search.milvus import MilvusIndex
    from sememe.search.milvus.agreement import SAMPLED_QUERIES, agreement

    started = time.perf_counter()
    if options.collection is None and not is_address(options.to):
        raise InputError("needs --collection, the name on the server", hint="Or give --to milvus://HOST:PORT/NAME")
    place = parse_address(options.to) if options.collection is None else make_address(options.to, options.collection)
    with Index.open(options.path) as index:
        config = replace(
            read_fields(options, MilvusConfig),
            parameters=_numbers(options.parameter, "--parameter"),
            search_parameters=_numbers(options.search_parameter, "--search-parameter"),
        )
        with MilvusIndex.build(
            index,
            uri=place.uri,
            collection=place.collection,
            config=None if config == MilvusConfig() else config,  # without flags, as the collection was made
            resume=True,
            timeout=options.timeout,
        ) as remote:
            written, info = remote.written, remote.info()
            recall = agreement(index, remote)
    assert written is not None
    seconds = time.perf_counter() - started
    if options.json:
        print_json({**written._asdict(), **info, "recall@10": recall, "seconds": round(seconds, 3)})
        return 0
    print_facts(
        [
            ("collection", info["address"]),
            ("server", f"Milvus {info['server']}, index {info['config']['index']}"),
            ("documents", f"{info['documents']:,} in {info['vectors']:,} rows of {info['dimensions']} dimensions"),
            ("sent", f"{written.sent:,}, unchanged {written.unchanged:,}, deleted {written.deleted:,}"),
            ("by words", "yes" if info["lexical"] else "no: the server has no BM25"),
            ("recall@10", f"{recall:.3f} of an exact scan of the index ({SAMPLED_QUERIES} queries)"),
            ("time", duration(seconds)),
        ]
    )
    return 0


def _numbers(texts: Sequence[str], flag: str) -> dict[str, int]:
    numbers = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name or not number.isascii() or not number.isdigit():
            raise InputError(f"is not NAME=NUMBER: {text!r}", where=flag, hint="Write it like M=32")
        numbers[name] = int(number)
    return numbers
