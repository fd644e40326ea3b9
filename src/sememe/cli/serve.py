"""`sememe serve`: a local web page on an index, or on anything else that was made here."""

from __future__ import annotations

import argparse
from pathlib import Path

from sememe.cli.flags import new_parser


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "serve",
        "Open a local web page on an index, or on anything else that was made here.",
        "sememe serve my.index --port 8765",
    )
    parser.add_argument(
        "index",
        type=Path,
        help="the folder of an index, a study of many sites, a circuit, a feed of papers, or a trained encoder",
    )
    parser.add_argument("--atoms", type=Path, help="the folder of the atoms (default: inside the index)")
    parser.add_argument("--host", default="127.0.0.1", help="another address needs --token (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8765, help="default 8765")
    parser.add_argument("--token", help="what a visitor must know; at least 16 characters")
    return parser


def run(options: argparse.Namespace) -> int:
    from sememe.web import serve

    serve(
        options.index,
        options.atoms,
        host=options.host,
        port=options.port,
        token=options.token,
        announce=lambda url: print(f"{url}  (stop with Ctrl-C)", flush=True),
    )
    return 0
