"""The command line: `sememe VERB ...`. One file a verb; each parses, calls the library and prints."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from sememe.errors import SememeError
from sememe.version import __version__

VERBS = {
    "index": "read documents, encode them, and make them searchable",
    "search": "find documents by meaning, by words or both, and see why",
    "atoms": "learn the atoms of meaning in an index, and look at them",
    "circuits": "find which attention heads of a language model do a task",
    "probe": "what a representation favours, ignores, or confuses",
    "train": "train an encoder on your own texts, without labels",
    "papers": "a feed of papers: import, read, search and export them",
    "serve": "open a local web page on an index, a feed, a circuit or a training run",
    "claims": "run a headline result again, against honest baselines",
    "doctor": "what is installed, which models are here, what a job would cost",
}

ACTIONS = {"index": ("push", "tune", "optimize")}
"""First words that are jobs of their own, in modules of their own; a source of that name is given as ./tune."""

EXAMPLES = """examples:
  sememe index papers.jsonl --path my.index
  sememe atoms learn my.index --n-atoms 1024
  sememe search my.index "how do I shrink an index?"
  sememe serve my.index"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 checked and not so, 2 wrong input, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"sememe {__version__}")
        return 0
    if words[0] not in VERBS:
        from difflib import get_close_matches

        near = get_close_matches(words[0], VERBS, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        print(f"sememe: there is no verb {words[0]!r}.{meant} See sememe --help", file=sys.stderr)
        return 2
    return _run(words[0], words[1:])


def _run(verb: str, words: list[str]) -> int:
    # Only the verb's own module is imported: help must answer at once.
    action = words[:1] if words[:1] and words[0] in ACTIONS.get(verb, ()) else []
    module = importlib.import_module("sememe.cli." + "_".join([verb, *action]))
    words = words[len(action) :]
    parser = module.parser()
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    try:
        options = parser.parse_args(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return int(module.run(options))
    except SememeError as error:
        if options.debug:
            raise
        if getattr(options, "json", False):
            from sememe.cli.output import print_json

            print_json({"error": error.as_dict()})
        else:
            print(f"sememe {verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"sememe {verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return (
        "Sememe opens up, shapes and searches the representations that neural networks learn.\n\n"
        f"usage: sememe VERB ...\n\n{verbs}\n\n{EXAMPLES}\n\n"
        "sememe VERB --help explains a verb; --json prints one object for a program to read."
    )
