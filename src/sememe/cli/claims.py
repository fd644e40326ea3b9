"""`sememe claims`: list the headline results, run one again, render the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from sememe.cli.flags import add_json_flag, new_parser
from sememe.cli.output import duration, print_facts, print_json, print_table


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "claims",
        "Run a headline result again, against honest baselines.",
        "sememe claims run explained_search --scale small",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list | run | report")
    listing = actions.add_parser("list", help="all claims and whether they hold")
    add_json_flag(listing)
    running = actions.add_parser("run", help="run one claim and write results/ID-SCALE.json")
    running.add_argument("id")
    running.add_argument("--scale", choices=("tiny", "small", "full"), default="tiny", help="default tiny")
    running.add_argument("--data", type=Path, help="the folder of data sets (default: SEMEME_SHARED or ../shared)")
    add_json_flag(running)
    report = actions.add_parser("report", help="render docs/claims.md from the result files and nothing else")
    add_json_flag(report)
    return parser


def run(options: argparse.Namespace) -> int:
    return {"list": _list, "run": _run, "report": _report}[options.action](options)


def _list(options: argparse.Namespace) -> int:
    from sememe.claims import list_claims

    claims = list_claims()
    if options.json:
        print_json({"claims": claims})
    else:
        print_table(["claim", "status", "title"], [(c["id"], c["status"], c["title"]) for c in claims])
    return 0


def _run(options: argparse.Namespace) -> int:
    from sememe.claims import run_claim

    result = run_claim(options.id, options.scale, options.data)
    if options.json:
        shown = ("id", "scale", "holds", "figures", "threshold", "seconds")
        print_json({key: getattr(result, key) for key in shown})
    else:
        print_facts(
            [
                ("claim", f"{result.id} at scale {result.scale}"),
                ("threshold", result.threshold),
                ("holds", "yes" if result.holds else "no"),
                ("time", duration(result.seconds)),
                *[(name, _figure(value)) for name, value in result.figures.items()],
            ]
        )
    return 0 if result.holds else 1


def _report(options: argparse.Namespace) -> int:
    from sememe.claims import report

    path = report()
    if options.json:
        print_json({"report": str(path)})
    else:
        print(path)
    return 0


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
