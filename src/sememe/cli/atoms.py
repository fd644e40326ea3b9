"""`sememe atoms`: learn atoms, look at them, judge them, exchange them, steer with them."""

from __future__ import annotations

import argparse

from sememe.cli import atoms_exchange, atoms_judge, atoms_label, atoms_learn, atoms_look, atoms_steer
from sememe.cli.flags import new_parser


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "atoms",
        "Learn the atoms of meaning in an index or in a language model; look at them; judge them.",
        "sememe atoms learn my.index\n"
        "  sememe atoms learn smollm2-135m --sites 'layers.*.residual' --corpus texts.jsonl --path study --dry-run\n"
        "  sememe atoms certify study/layers.14.residual",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    atoms_learn.add_parsers(actions)
    atoms_look.add_parsers(actions)
    atoms_judge.add_parsers(actions)
    atoms_steer.add_parsers(actions)
    atoms_label.add_parsers(actions)
    atoms_exchange.add_parsers(actions)
    return parser


def run(options: argparse.Namespace) -> int:
    answer: int = options.act(options)
    return answer
