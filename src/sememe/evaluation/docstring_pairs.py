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
    """A docstring and its function.

    Attributes:
        docstring: its first paragraph, on one line.
        body: the function's lines behind the docstring, at most 600 characters.
        signature: the lines before it, from `def` on.

    """

    docstring: str
    body: str
    signature: str


def docstring_pairs(n: int, package: str = "stdlib", random_state: int = 0) -> list[Pair]:
    """`n` pairs drawn at random from the public functions and methods of a package, each docstring and body once.

    Files are parsed, never imported. Which pairs there are depends on the version of the package.

    Raises:
        InputError: there is no such package, or it has fewer pairs.

    """
    pairs = [pair for _, pair in package_pairs(package)]
    if len(pairs) < n:
        raise InputError(f"has {len(pairs)} pairs of docstring and function, not {n}", where=package)
    random.Random(random_state).shuffle(pairs)
    return pairs[:n]


def package_pairs(package: str) -> Iterator[tuple[str, Pair]]:
    """All pairs of a package with the dotted names of their modules, each docstring and each body once.

    Raises:
        InputError: there is no such package, or it has no Python source.

    """
    docstrings: set[str] = set()
    bodies: set[str] = set()
    for module in find_modules(package):
        for pair in file_pairs(module.file):
            if pair.docstring not in docstrings and pair.body not in bodies:
                docstrings.add(pair.docstring)
                bodies.add(pair.body)
                yield module.name, pair


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
                yield Pair(" ".join(docstring.split()), body, _signature(node, lines))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1])).strip()


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """The lines of a function behind its docstring, without their common indentation."""
    rest = node.body[1:]
    if not rest or rest[0].lineno <= (node.body[0].end_lineno or 0):
        return ""
    first, last = rest[0].lineno, rest[-1].end_lineno or rest[-1].lineno
    return textwrap.dedent("\n".join(lines[first - 1 : last])).strip()[:BODY_CHARACTERS].strip()
