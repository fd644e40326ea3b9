"""`sememe train feedback`: a query encoder that reads what a first search found, trained for an index."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from sememe.cli.flags import add_fields, add_json_flag, read_fields
from sememe.cli.output import print_facts, print_json, print_table
from sememe.errors import InputError
from sememe.objectives.ance_prf import AncePrfConfig
from sememe.training.config import TrainingConfig

LEARNING_RATE = 1e-5
_UNUSED = ("held_out",)


def add_parser(kinds: Any) -> None:
    """Add the subcommand."""
    parser = kinds.add_parser(
        "feedback",
        help="a query encoder that reads the passages of a first search, for an index that stays as it is",
        description="Train a feedback encoder (ANCE-PRF) for an index and measure it on queries that are held out.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  sememe train feedback my.index --queries queries.jsonl --qrels train.tsv --out my-prf",
    )
    parser.add_argument("index", type=Path, metavar="INDEX", help="the folder of the index")
    parser.add_argument("--queries", type=Path, required=True, metavar="FILE", help="JSON lines with _id and text")
    parser.add_argument(
        "--qrels", type=Path, required=True, metavar="FILE", help="query id, document id and relevance, by tabs"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    parser.add_argument("--k", type=int, default=3, help="passages that it reads (default 3)")
    parser.add_argument("--tokens", type=int, metavar="N", help="tokens that it reads (default: what the model can)")
    parser.add_argument("--lowercase", action="store_true", help="lower-case texts first; ANCE needs it")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of the queries that measure (default 0.2)")
    add_json_flag(parser)
    add_fields(parser.add_argument_group("objective"), AncePrfConfig)
    add_fields(parser.add_argument_group("training"), TrainingConfig, leave_out=_UNUSED)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand."""
    from sememe import Index
    from sememe.evaluation.collection import read_qrels, read_queries
    from sememe.search.feedback_training import train_feedback
    from sememe.search.optimizing import judged_pairs

    given = {name: getattr(options, name) for name in ("learning_rate",) if hasattr(options, name)}
    training = dataclasses.replace(
        read_fields(options, TrainingConfig, held_out=0), learning_rate=given.get("learning_rate", LEARNING_RATE)
    )
    with Index.open(options.index) as index:
        pairs, missing = judged_pairs(index, read_queries(options.queries), read_qrels(options.qrels))
        texts = [(query, document) for query, document in pairs if isinstance(query, str)]
        if not texts:
            raise InputError("no judged document is in the index", where=str(options.qrels))
        found = train_feedback(
            index,
            texts,
            options.out,
            k=options.k,
            window=options.tokens,
            lowercase=options.lowercase,
            held_out=options.held_out,
            objective=read_fields(options, AncePrfConfig),
            training=training,
        )
    if options.json:
        print_json({**dataclasses.asdict(found), "path": str(found.path), "pairs_left_out": missing})
        return 0
    print_facts(
        [
            ("encoder", f"{found.path}, reads {options.k} passages"),
            ("pairs", f"{found.queries:,} trained on, {missing:,} left out, whose documents are not in the index"),
            ("steps", f"{found.steps[0]:,}; the encoder is that of step {found.steps[1]:,}"),
        ]
    )
    print()
    rows = [[name, f"{value:.3f}"] for name, value in found.table.items()]
    print_table([f"{found.change.n_queries} held-out queries", "ndcg@10"], rows, right=["ndcg@10"])
    change = found.change
    print(
        f"Against plain search {change.difference:+.3f}, 95% interval {change.low:+.3f} to {change.high:+.3f}.\n"
        f'Use it with sememe search INDEX "..." --feedback {found.path}'
    )
    return 0
