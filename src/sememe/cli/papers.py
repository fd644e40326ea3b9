"""`sememe papers`: import papers, read them, keep what you want, find more, have them sent."""

from __future__ import annotations

import argparse
import importlib

from sememe.cli.flags import new_parser

MODULES = {
    "import": "papers_import",
    "list": "papers_look",
    "show": "papers_look",
    "mark": "papers_keep",
    "note": "papers_keep",
    "tag": "papers_keep",
    "export": "papers_export",
    "backup": "papers_export",
    "search": "papers_find",
    "similar": "papers_find",
    "feed": "papers_feed",
    "interest": "papers_feed",
    "digest": "papers_digest",
    "subscribe": "papers_digest",
    "watch": "papers_digest",
}
"""Each action and the module that has it; the actions are shown in this order."""


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "papers",
        "A feed of papers: import them from anywhere, each is kept once; read, search and export them.",
        "sememe papers import page.txt\n"
        "  sememe papers import 'arxiv:cat:cs.CL AND ti:atoms' --limit 50\n"
        "  sememe papers list --since 2025-01-01\n"
        "  sememe papers mark liked arxiv:2405.12522\n"
        "  sememe papers export --mark saved --to saved.bib",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name in dict.fromkeys(MODULES.values()):
        importlib.import_module(f"sememe.cli.{name}").add_parsers(actions)
    return parser


def run(options: argparse.Namespace) -> int:
    answer: int = options.act(options)
    return answer
