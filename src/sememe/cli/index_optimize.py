"""`sememe index optimize`: learn the codes of the first stage from queries, measure them, and put them into force."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sememe.cli.flags import add_json_flag, new_parser
from sememe.cli.output import print_json, print_table
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Index
    from sememe.search.optimizing import Optimized, Pair


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "index optimize",
        "Learn the codes of a first stage from queries and the documents that answer them; queries that are held out "
        "measure them.",
        "sememe index optimize --path my.index --bytes 12 --queries queries.jsonl --qrels clicks.tsv --write",
    )
    parser.add_argument("--path", required=True, type=Path, help="the folder of the index")
    parser.add_argument("--bytes", type=int, metavar="N", help="bytes a vector (default: an eighth of the dimensions)")
    parser.add_argument("--queries", type=Path, metavar="FILE", help="JSON lines with _id and text, as in BEIR")
    parser.add_argument(
        "--qrels", type=Path, metavar="FILE", help="query id, document id and relevance, separated by tabs"
    )
    parser.add_argument(
        "--learn",
        default="codebook",
        metavar="A,B",
        help="codebook, and query_map, a map that changes what queries are compared with (default codebook)",
    )
    parser.add_argument("--candidates", type=int, default=200, help="rows for the second stage (default 200)")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of the queries that measure (default 0.2)")
    parser.add_argument("--steps", type=int, default=400, help="most training steps (default 400)")
    parser.add_argument("--random-state", type=int, default=0, help="seed (default 0)")
    parser.add_argument("--write", action="store_true", help="put the learned codes into force, if they measure better")
    parser.add_argument("--force", action="store_true", help="with --write: even if they measure worse")
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    from sememe import Index
    from sememe.objectives.contrastive_fitting import ContrastiveConfig

    if (options.queries is None) != (options.qrels is None):
        raise InputError("--queries and --qrels belong together", hint="Leave both out to learn from titles")
    with Index.open(options.path, writable=options.write) as index:
        pairs, missing = _pairs(index, options)
        found = index.optimize(
            pairs,
            n_bytes=options.bytes,
            learn=[name.strip() for name in options.learn.split(",") if name.strip()],
            candidates=options.candidates,
            held_out=options.held_out,
            config=replace(ContrastiveConfig(dense_weight=0.0), steps=options.steps),
            random_state=options.random_state,
        )
        written = options.write and (found.objection is None or options.force)
        if written:
            index.adopt(found, force=options.force)
        per_vector = index.info()["coarse"]
    if options.json:
        print_json({**found.as_dict(), "pairs_left_out": missing, "written": written, "coarse": per_vector})
    else:
        _print(found, missing, from_titles=pairs is None)
        _print_verdict(found, options, written=written)
    return 1 if options.write and not written else 0


def _pairs(index: Index, options: argparse.Namespace) -> tuple[list[Pair] | None, int]:
    from sememe.evaluation.collection import read_qrels, read_queries
    from sememe.search.optimizing import judged_pairs

    if options.queries is None:
        return None, 0
    return judged_pairs(index, read_queries(options.queries), read_qrels(options.qrels))


def _print(found: Optimized, missing: int, *, from_titles: bool) -> None:
    source = "titles, which are easier queries than those of people" if from_titles else "judgements"
    learned, measured = found.n_pairs
    left_out = f"; {missing:,} left out, whose documents are not in the index" if missing else ""
    print(f"{learned:,} pairs to learn from, {measured:,} held out to measure with, from {source}{left_out}\n")
    columns = list(found.table["before"])
    before, after, exact = (found.table[name] for name in ("before", "after", "exact"))
    named = [(f"in force: {found.in_force}", found.present), (f"pq:{found.before.n_subvectors}", before)]
    named += [(f"learned pq:{found.after.n_subvectors}", after), ("exact", exact)]
    rows = [[name, *[f"{row[c]:.4f}" if c in row else "-" for c in columns]] for name, row in named]
    print_table(["first stage", *columns], rows, right=columns)
    gain = found.recall_gain
    sure = "better" if found.is_better else "not surely better"
    print(f"gain in {columns[0]}: {gain.difference:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]: {sure}")


def _print_verdict(found: Optimized, options: argparse.Namespace, *, written: bool) -> None:
    if found.objection is not None:
        print(f"{'Written all the same' if written else 'Not worth having'}: {found.objection}.")
        if options.write and not written:
            print("Nothing was changed; --force puts it into force.")
    elif written:
        print("Written: the index now searches with the learned codes (coarse learned).")
    else:
        print("Nothing was changed; --write puts it into force.")
