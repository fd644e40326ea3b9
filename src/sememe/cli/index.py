"""`sememe index`: make an index of either kind, or change one."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import PROMPTS, add_fields, add_json_flag, add_prompts, given_fields, new_parser, read_fields
from sememe.cli.output import duration, print_facts, print_json, size
from sememe.corpus import ReadConfig
from sememe.errors import InputError
from sememe.search.config import IndexConfig
from sememe.search.multi_vector.config import MultiVectorConfig

if TYPE_CHECKING:
    from sememe import Corpus, Index, MultiVectorIndex

ENCODER = "minilm"
LENGTHS = ("query_length", "document_length")
SHARED = ("dtype", "coarse")


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "index",
        "Read documents, encode them, and make them searchable. Without a source: show what an index holds.",
        "sememe index papers.jsonl --path my.index\n"
        "  sememe index python:stdlib --path docs.index --resume --coarse pq:48\n"
        "  sememe index papers.jsonl --path tokens.index --multi-vector --pruning C8x32\n"
        "  sememe index tune --path my.index --recall 0.98   (see sememe index tune --help)\n"
        "  sememe index optimize --path my.index --bytes 12\n"
        "  sememe index push my.index --to http://127.0.0.1:19530 --collection papers",
    )
    parser.add_argument("source", nargs="?", help="a file, a folder, a BEIR folder, -, python:NAME or a hub data set")
    parser.add_argument("--path", required=True, type=Path, help="the folder of the index")
    parser.add_argument("--encoder", help=f"a known name, a path or a hub id (default {ENCODER})")
    add_prompts(parser)
    parser.add_argument("--multi-vector", action="store_true", help="keep a vector for each token or cluster of them")
    parser.add_argument("--resume", action="store_true", help="go on with a build that was stopped")
    parser.add_argument("--add", action="store_true", help="add the source's documents to an index that is there")
    parser.add_argument("--replace", action="store_true", help="as --add, and replace documents with the same ids")
    parser.add_argument("--delete", nargs="+", metavar="ID", help="delete documents by their ids")
    parser.add_argument("--compact", action="store_true", help="take the space of deleted documents back")
    add_fields(parser.add_argument_group("reading"), ReadConfig)  # type: ignore[arg-type]
    add_fields(parser.add_argument_group("settings, fixed when an index is made"), IndexConfig)  # type: ignore[arg-type]
    many = parser.add_argument_group(
        "settings with --multi-vector", "--dtype is float16 by default, --coarse one of auto, exact and lists"
    )
    add_fields(many, MultiVectorConfig, leave_out=SHARED)  # type: ignore[arg-type]
    many.add_argument("--query-length", type=int, metavar="TOKENS", help="read so many tokens of a query")
    many.add_argument("--document-length", type=int, metavar="TOKENS", help="read so many tokens of a document")
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    _check(options)
    if options.source is None:
        return _change_or_show(options)
    from sememe import read
    from sememe.search import open_index

    corpus = read(options.source, **asdict(read_fields(options, ReadConfig)))
    if options.add or options.replace:
        with open_index(options.path, writable=True) as index:
            (index.replace if options.replace else index.add)(corpus)
            index.prepare()
            _report(index, corpus, time.perf_counter() - started, options.json)
        return 0
    with _built(corpus, options) as index:
        _report(index, corpus, time.perf_counter() - started, options.json)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse flags that would have no effect."""
    settings = {*given_fields(options, IndexConfig), *given_fields(options, MultiVectorConfig)}
    settings |= {name for name in (*LENGTHS, *PROMPTS, "encoder") if getattr(options, name) is not None}
    settings |= {"multi_vector"} if options.multi_vector else set()
    if options.source is None or options.add or options.replace:
        useless, why = settings, "settings are fixed when an index is made"
    elif options.multi_vector:
        useless = settings & ((_names(IndexConfig) - set(SHARED)) | set(PROMPTS))
        why = "a multi-vector index reads each text once, as the encoder does, and has no lexical part"
    else:
        useless = settings & ({*_names(MultiVectorConfig), *LENGTHS} - set(SHARED))
        why = "only a multi-vector index has them"
    if useless:
        flags = ", ".join(sorted("--" + name.replace("_", "-") for name in useless))
        hint = "Add --multi-vector" if why.startswith("only") else f"Leave {flags} out"
        raise InputError(f"cannot be used here: {why}", where=flags, hint=hint)


def _names(config: type) -> set[str]:
    return set(config.__dataclass_fields__)  # type: ignore[attr-defined]


def _built(corpus: Corpus, options: argparse.Namespace) -> Index | MultiVectorIndex:
    from sememe import Encoder, Index, MultiVectorEncoder, MultiVectorIndex

    name = options.encoder or ENCODER
    if not options.multi_vector:
        config = read_fields(options, IndexConfig)
        encoder = Encoder.load(name).with_prompts(options.query_prompt, options.document_prompt)
        return Index.build(corpus, encoder, options.path, config=config, resume=options.resume)
    lengths = {length: getattr(options, length) for length in LENGTHS}
    settings = read_fields(options, MultiVectorConfig)
    tokens = MultiVectorEncoder.load(name, **lengths)
    return MultiVectorIndex.build(corpus, tokens, options.path, config=settings, resume=options.resume)


def _change_or_show(options: argparse.Namespace) -> int:
    from sememe.search import open_index

    with open_index(options.path, writable=bool(options.delete or options.compact)) as index:
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
    facts = [("index", options.path), ("documents", f"{info['documents']:,} from {info['corpus']}")]
    print_facts([*facts, *_facts(info), ("on disk", size(info["bytes"]))])
    return 0


def _facts(info: dict[str, Any]) -> list[tuple[str, object]]:
    coarse, encoder = info["coarse"], info["encoder"]
    recall = f", recall@10 {coarse['recall@10']:.3f} measured" if coarse.get("recall@10") is not None else ""
    vectors = f"{info['vectors']:,} of {info['dimensions']} dimensions ({info['config']['dtype']})"
    name, memory = encoder["name"], ""
    name += "".join(f", {text!r} before a {of}" for of, text in sorted(encoder.get("prompts", {}).items()))
    if "tokens" in info:
        vectors += f", {_kept(info)}"
        name += f", {encoder['query_length']} tokens of a query and {encoder['document_length']} of a document"
        memory = f", {size(coarse['bytes'])} in memory" if "bytes" in coarse else ""
    learned = ""
    if "learned" in coarse:
        learned = f", {coarse['learned']['bytes']} bytes a vector from {coarse['learned']['pairs_learned']:,} pairs"
    return [("vectors", vectors), ("encoder", name), ("first stage", f"{coarse['kind']}{learned}{memory}{recall}")]


def _kept(info: dict[str, Any]) -> str:
    share = info["vectors"] / max(info["tokens"], 1)
    return f"{info['config']['pruning']} of {info['tokens']:,} tokens ({share:.2f})"


def _report(index: Index | MultiVectorIndex, corpus: Corpus, seconds: float, as_json: bool) -> None:
    info = index.info()
    if as_json:
        print_json(
            {
                "documents": info["documents"],
                "vectors": info["vectors"],
                "dimensions": info["dimensions"],
                "seconds": round(seconds, 3),
                "skipped": corpus.n_skipped,
            }
        )
        return
    print(
        f"{index.path}: {info['documents']:,} documents, {info['vectors']:,} vectors of {info['dimensions']} "
        f"dimensions, {size(info['bytes'])}, {duration(seconds)}"
    )
    if "tokens" in info:
        a_document = info["vectors"] * index.bank.row_bytes / max(info["documents"], 1)
        print(f"vectors kept: {_kept(info)}, {size(a_document)} a document")
    if corpus.n_skipped:
        print(f"{corpus.n_skipped:,} bad records skipped:")
        for skipped in corpus.skipped[:10]:
            print(f"  {skipped.place}: {skipped.reason}")
        if corpus.n_skipped > 10:
            print(f"  ... and {corpus.n_skipped - 10:,} more")
