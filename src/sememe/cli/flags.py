"""Command-line flags made from configuration dataclasses, so that the two cannot drift apart."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Collection
from typing import Any, TypeVar

Config = TypeVar("Config")


def new_parser(verb: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser whose help ends with an example."""
    return argparse.ArgumentParser(
        prog=f"sememe {verb}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that every verb with an answer has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_feed_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that every action on papers has."""
    parser.add_argument(
        "--feed",
        metavar="FOLDER",
        help="the folder of the feed (default: the variable SEMEME_PAPERS, else papers.feed)",
    )


def add_fields(parser: argparse.ArgumentParser, config: type, *, leave_out: Collection[str] = ()) -> None:
    """Add a flag for every field of a dataclass; help and choices come from the field's metadata.

    A flag that was not given is no attribute of what is parsed, so that `given_fields` can tell; `read_fields` then
    takes the dataclass's own default.
    """
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name in leave_out:
            continue
        shown = "" if field.default in (None, dataclasses.MISSING) else f" (default {field.default})"
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=_parser_of(hints[field.name]),
            default=argparse.SUPPRESS,
            choices=field.metadata.get("choices"),
            metavar=None if "choices" in field.metadata else field.name.split("_")[-1].upper(),
            help=field.metadata.get("help", "").replace("%", "%%") + shown,
        )


PROMPTS = ("query_prompt", "document_prompt")


def add_prompts(parser: Any) -> None:
    """Add flags for what stands in front of queries and documents."""
    for name, example in zip(PROMPTS, ("'query: '", "'passage: '"), strict=True):
        of = name.split("_")[0]
        parser.add_argument(
            f"--{of}-prompt",
            metavar="TEXT",
            help=f"put in front of every {of}, such as {example} (default: what the encoder's configuration says)",
        )


def read_fields(options: argparse.Namespace, config: type[Config], **overrides: Any) -> Config:
    """Make the dataclass from parsed flags."""
    fields = dataclasses.fields(config)  # type: ignore[arg-type]
    values = {field.name: getattr(options, field.name) for field in fields if hasattr(options, field.name)}
    return config(**{**values, **overrides})


def given_fields(options: argparse.Namespace, config: type) -> list[str]:
    """The names of a dataclass's fields whose flags were given."""
    return [field.name for field in dataclasses.fields(config) if hasattr(options, field.name)]


def _parser_of(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if hint is bool:
        return _boolean
    return hint if hint in (int, float, str) else str


def _boolean(text: str) -> bool:
    if text.lower() in ("yes", "true", "on", "1"):
        return True
    if text.lower() in ("no", "false", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"expected yes or no, not {text!r}")
