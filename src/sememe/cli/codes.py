"""`sememe train codes`: bits for every document from raw text alone; `sememe search CODES`: find documents by them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sememe.cli.flags import add_fields, add_json_flag, read_fields
from sememe.cli.output import print_facts, print_json, print_table, size
from sememe.corpus import ReadConfig
from sememe.errors import InputError
from sememe.objectives.paragraph_config import ParagraphConfig

NOT_OF_CODES = (
    "mode",
    "where",
    "atoms",
    "steer",
    "coarse",
    "feedback",
    "feedback_k",
    "like",
    "unlike",
    "rerank",
    "stages",
)
"""Options of `sememe search` that codes have no use for."""


def add_parser(kinds: Any) -> None:
    """Add the subcommand of `sememe train`."""
    parser = kinds.add_parser(
        "codes",
        help="a few bits for every document (binary paragraph vectors), from raw text, without a pretrained model",
        description="Learn binary paragraph vectors: codes of documents that predict their words.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  sememe train codes news.jsonl --variant real-binary --n-bits 28 --out news.codes\n"
        '  sememe search news.codes "oil prices rise"',
    )
    parser.add_argument("source", metavar="CORPUS", help="any source that sememe index takes")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    add_json_flag(parser)
    add_fields(parser.add_argument_group("learning"), ParagraphConfig)
    add_fields(parser.add_argument_group("reading the corpus"), ReadConfig)


def run_training(options: argparse.Namespace) -> int:
    """Learn, measure how the bits are used, save."""
    from sememe import artifact, read
    from sememe.objectives.paragraph_vectors import KIND, BinaryParagraphVector
    from sememe.search.coarse.hamming import bit_report

    artifact.check_replaceable(options.out, KIND)
    config = read_fields(options, ParagraphConfig)
    corpus = read(options.source, **asdict(read_fields(options, ReadConfig)))
    model = BinaryParagraphVector.fit(corpus, config=config)
    model.save(options.out)
    held = model.documents
    report = None if held.codes is None else bit_report(held.codes, config.n_bits)
    facts = {
        "documents": len(model.names),
        "without_known_words": int((held.n_words == 0).sum()),
        "words": model.card["n_words"],
        "vocabulary": len(model.vocabulary),
        "loss": model.card["losses"][-1],
        "code_bytes": 0 if held.codes is None else held.codes.nbytes,
        "vector_bytes": 0 if held.vectors is None else held.vectors.nbytes,
        "bits_used": None if report is None else report.bits_used,
        "dead_bits": None if report is None else report.dead,
    }
    if options.json:
        print_json({"path": str(options.out), **facts})
        return 0
    print_facts(
        [
            ("codes", f"{options.out}, {config.variant}"),
            ("documents", f"{facts['documents']:,}, {facts['without_known_words']:,} of them without a known word"),
            ("words", f"{facts['words']:,} of {facts['vocabulary']:,} kinds"),
            ("loss", f"{facts['loss']:.3f} nats a word in the last epoch, {model.card['losses'][0]:.3f} in the first"),
            ("size", " and ".join(_sizes(facts, config))),
            *([("bits", f"{report.bits_used:.1f} of {config.n_bits} used, {report.dead} dead")] if report else []),
        ]
    )
    print(f'Find documents with: sememe search {options.out} "..."')
    return 0


def run_search(options: argparse.Namespace) -> int:
    """Print the documents whose codes are nearest to the query's."""
    from sememe.objectives.paragraph_vectors import BinaryParagraphVector
    from sememe.search.paragraph_search import search_codes

    useless = [f"--{name.replace('_', '-')}" for name in NOT_OF_CODES if getattr(options, name)]
    if useless:
        raise InputError(
            f"holds codes of documents, which {', '.join(useless)} cannot be used with",
            where=str(options.index),
            hint="-k and --json can be used",
        )
    hits = search_codes(BinaryParagraphVector.load(options.index), options.query, options.k)
    if options.json:
        print_json({"query": options.query, "hits": [hit._asdict() for hit in hits]})
        return 0
    columns = ["rank"]
    columns += ["bits apart"] if hits and hits[0].distance is not None else []
    columns += ["cosine"] if hits and hits[0].score is not None else []
    rows = [
        [
            str(rank),
            *([] if hit.distance is None else [str(hit.distance)]),
            *([] if hit.score is None else [f"{hit.score:.3f}"]),
            hit.id,
            hit.title,
        ]
        for rank, hit in enumerate(hits, start=1)
    ]
    print_table([*columns, "document", "title"], rows, right=columns)
    return 0


def _sizes(facts: dict[str, Any], config: ParagraphConfig) -> list[str]:
    found = [f"codes {size(facts['code_bytes'])} ({config.n_bits} bits each)"] if facts["code_bytes"] else []
    return found + ([f"real vectors {size(facts['vector_bytes'])}"] if facts["vector_bytes"] else [])
