"""Tasks of the user's own: JSON lines with a positive and a negative prompt, an answer and a wrong one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe import disk
from sememe.circuits.tasks.task import MOST_LISTED, Pair, Task
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.models import LanguageModel

FIELDS = ("positive", "negative", "answer", "wrong")
EXAMPLE = '{"positive": "...", "negative": "...", "answer": " Mary", "wrong": " John"}'


def read_task(path: str | Path, lm: LanguageModel) -> Task:
    """Read a task from a file of JSON lines.

    Args:
        path: a line is a pair: `positive` and `negative` prompts of equally many tokens; `answer` and `wrong`, each
            a text or a list of texts, with the space that stands before it.
        lm: the model whose tokens count.

    Raises:
        InputError: lines are not such objects, or pairs cannot be used; all problems are reported together.
        ArtifactError: the file cannot be read.

    """
    path = Path(path)
    try:
        text = disk.read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start})", where=str(path), hint="Save it as UTF-8") from None
    pairs, places, problems = [], [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                pairs.append(_pair(line))
                places.append(f"line {number}")
            except InputError as error:
                problems.append(f"line {number}: {error.message}")
    if problems or not pairs:
        shown = "; ".join(problems[:MOST_LISTED]) or "it has no lines"
        rest = f"; and {len(problems) - MOST_LISTED} more" if len(problems) > MOST_LISTED else ""
        raise InputError(f"is no task: {shown}{rest}", where=str(path), hint=f"A line is {EXAMPLE}")
    return Task.of(path.stem, pairs, lm, where=places)


def _pair(line: str) -> Pair:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object")
    missing = [name for name in FIELDS if name not in value]
    if missing:
        raise InputError(f"lacks {', '.join(missing)}")
    for name in ("positive", "negative"):
        if not isinstance(value[name], str) or not value[name]:
            raise InputError(f"{name!r} is no text")
    return Pair(value["positive"], value["negative"], _texts(value, "answer"), _texts(value, "wrong"))


def _texts(value: dict[str, Any], name: str) -> tuple[str, ...]:
    given = value[name]
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InputError(f"{name!r} is neither a text nor a list of texts")
    return tuple(texts)
