"""`sememe index tune`: measure first stages on the user's own vectors and put the cheapest good one into force."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from sememe.cli.flags import add_json_flag, new_parser
from sememe.cli.output import print_json, print_table, size
from sememe.search.coarse.kinds import split_names
from sememe.search.tuning import TUNED_STAGES

if TYPE_CHECKING:
    from sememe.search.tuning import Point, Tuned


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "index tune",
        "Measure how many candidates each first stage needs, and choose the cheapest that reaches a recall.",
        "sememe index tune --path my.index --recall 0.98 --queries queries.jsonl --write",
    )
    parser.add_argument("--path", required=True, type=Path, help="the folder of the index")
    parser.add_argument("--recall", type=float, default=0.98, help="of the true top k (default 0.98)")
    parser.add_argument("-k", type=int, default=10, help="hits that are meant (default 10)")
    parser.add_argument("--memory", type=float, metavar="MIB", help="the most that the first stage may hold")
    parser.add_argument("--stages", default=",".join(TUNED_STAGES), metavar="A,B", help="the first stages to measure")
    parser.add_argument("--queries", help="texts to measure with (default: points halfway between documents)")
    parser.add_argument("--write", action="store_true", help="put the choice into force")
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    from sememe import Index, read

    stages = split_names(options.stages)
    queries = None if options.queries is None else [document.text for document in read(options.queries)]
    memory = None if options.memory is None else round(options.memory * 2**20)
    with Index.open(options.path, writable=options.write) as index:
        tuned = index.tune(stages, queries=queries, recall=options.recall, k=options.k, memory=memory)
        if options.write and tuned.choice is not None:
            index.set_coarse(tuned.choice.stage, candidates=math.ceil(tuned.choice.candidates / options.k))
        elif options.write:
            index.set_coarse("exact")
    if options.json:
        print_json({**tuned.as_dict(), "written": options.write})
    else:
        _print(tuned, written=options.write)
    return 0


def _print(tuned: Tuned, *, written: bool) -> None:
    reaching: dict[str, Point] = {}
    for point in tuned.curve:
        if point.stage not in reaching or reaching[point.stage].sure < tuned.target:
            reaching[point.stage] = point
    columns = ["candidates", f"recall@{tuned.k}", "at least", "memory", "ms"]
    print_table(
        ["stage", *columns],
        [
            (p.stage, f"{p.candidates:,}", f"{p.recall:.4f}", f"{p.sure:.4f}", size(p.nbytes), f"{p.ms:.2f}")
            for p in reaching.values()
        ],
        right=columns,
    )
    print(f"exact scan: {tuned.exact_ms:.2f} ms")
    choice = tuned.choice
    if choice is None:
        print(f"No stage surely reaches {tuned.target}: every vector must be scanned (coarse exact).")
    else:
        chose, confirmed = tuned.n_queries
        print(
            f"{choice.stage} with {choice.candidates:,} candidates: chosen with {chose} queries, "
            f"recall {tuned.confirmed:.4f} on {confirmed} others" + ("" if tuned.holds else ", below the target")
        )
    print("Written." if written else "Nothing was changed; --write puts it into force.")
