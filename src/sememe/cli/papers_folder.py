"""Which feed folder a command means."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

VARIABLE, DEFAULT = "SEMEME_PAPERS", "papers.feed"


def add_feed_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that every action has."""
    parser.add_argument(
        "--feed", type=Path, metavar="FOLDER", help=f"the feed folder (default: ${VARIABLE}, else {DEFAULT})"
    )


def feed_folder(options: argparse.Namespace) -> Path:
    """The folder that was named, or the environment variable's, or the default."""
    return options.feed or Path(os.environ.get(VARIABLE) or DEFAULT)
