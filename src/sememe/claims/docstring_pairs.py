"""Pairs of a docstring and the function that it describes, from the source files of Python packages."""

from __future__ import annotations

import ast
import random
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sememe.corpus.python_files import find_modules, is_private
from sememe.errors import InputError

BODY_CHARACTERS = 600
_LEAST_DOCSTRING, _LEAST_BODY = 20, 40  # characters; below, neither says what the function is for


@dataclass(frozen=True, slots=True)
class Pair:
    """The first paragraph of a docstring, and the function's body without it, at most 600 characters."""

    docstring: str
    body: str


def docstring_pairs(n: int, package: str = "stdlib", random_state: int = 0) -> list[Pair]:
    """`n` pairs drawn at random from the public functions and methods of a package, each docstring and body once.

    Files are parsed, never imported. Which pairs there are depends on the version of the package.

    Raises:
        InputError: there is no such package, or it has fewer pairs.

    """
    found: dict[str, str] = {}
    bodies: set[str] = set()
    for module in find_modules(package):
        for pair in file_pairs(module.file):
            if pair.docstring not in found and pair.body not in bodies:
                found[pair.docstring] = pair.body
                bodies.add(pair.body)
    if len(found) < n:
        raise InputError(f"has {len(found)} pairs of docstring and function, not {n}", where=package)
    pairs = [Pair(docstring, body) for docstring, body in found.items()]
    random.Random(random_state).shuffle(pairs)
    return pairs[:n]


def file_pairs(file: Path) -> Iterator[Pair]:
    """The pairs of a source file, in its order; a file that cannot be parsed has none."""
    try:
        source = file.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, OSError):
        return
    lines = source.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_private(node.name):
            docstring = (ast.get_docstring(node) or "").strip().split("\n\n")[0].strip()
            body = _body(node, lines)
            if len(docstring) >= _LEAST_DOCSTRING and len(body) >= _LEAST_BODY:
                yield Pair(" ".join(docstring.split()), body)


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """The lines of a function behind its docstring, without their common indentation."""
    rest = node.body[1:]
    if not rest or rest[0].lineno <= (node.body[0].end_lineno or 0):
        return ""
    first, last = rest[0].lineno, rest[-1].end_lineno or rest[-1].lineno
    return textwrap.dedent("\n".join(lines[first - 1 : last])).strip()[:BODY_CHARACTERS].strip()
