"""`sememe search --eval`: how pipelines do on a test collection."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from sememe.cli.opening import folder
from sememe.cli.output import print_json, print_table

if TYPE_CHECKING:
    from sememe.search.evaluation import Evaluation


def run_evaluation(options: argparse.Namespace) -> int:
    """Measure pipelines on a test collection and print the table."""
    from sememe.evaluation.code_search import collection_folder
    from sememe.search.coarse.kinds import split_names
    from sememe.search.evaluation import evaluate, index_for
    from sememe.search.pipeline import default_pipelines

    collection = collection_folder(options.eval)
    with index_for(collection, folder(options.index, "--eval"), options.encoder) as index:
        names = default_pipelines(index) if options.compare is None else split_names(options.compare)
        report = evaluate(index, collection, names, split=options.split, runs=options.runs)
    if options.json:
        comparisons = {
            name: {metric: {**asdict(c), "p_holm": report.adjusted[name][metric]} for metric, c in of_name.items()}
            for name, of_name in report.comparisons.items()
        }
        print_json({"pipelines": report.pipelines, "comparisons": comparisons})
        return 0
    columns = list(next(iter(report.pipelines.values())))
    print_table(
        ["pipeline", *columns],
        [
            [name, *[f"{row[c]:.1f}" if c.startswith("ms") or c.endswith("mib") else f"{row[c]:.4f}" for c in columns]]
            for name, row in report.pipelines.items()
        ],
        right=columns,
    )
    _print_comparisons(report, names[0])
    return 0


def _print_comparisons(report: Evaluation, first: str) -> None:
    if not report.comparisons:
        return
    rows = [
        (
            name,
            metric,
            f"{c.difference:+.4f}",
            f"[{c.low:+.4f}, {c.high:+.4f}]",
            f"{c.p:.4f}",
            f"{report.adjusted[name][metric]:.4f}",
        )
        for name, of_name in report.comparisons.items()
        for metric, c in of_name.items()
    ]
    columns = ["difference", "95% interval", "p", "p (Holm)"]
    print(f"\nagainst {first}, paired by query; p of the randomisation test")
    print_table(["pipeline", "metric", *columns], rows, right=columns)
