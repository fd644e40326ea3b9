"""What a Python source file defines and documents, found by parsing it. Nothing is imported or run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sememe.corpus.entries import BadRecordError
from sememe.corpus.python_files import is_private
from sememe.corpus.values import check_text

MAX_SOURCE_BYTES = 4 << 20  # parsing takes some hundred times a file's size; larger ones are generated tables
MAX_SIGNATURE = 200

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Definition:
    """A public function, class or method: its signature without `self`, its docstring (or ""), and what is in it."""

    kind: str
    name: str
    signature: str
    text: str
    line: int
    members: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Import:
    """`from ...module import name as alias`: the number of dots, the module, and the names by alias."""

    level: int
    module: str
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class Outline:
    """A module: its docstring, its public definitions, its from-imports, and `__all__` when it is a plain list."""

    text: str
    definitions: dict[str, Definition]
    imports: tuple[Import, ...]
    exported: frozenset[str]


def outline(file: Path) -> Outline:
    """The outline of a source file.

    Raises:
        BadRecordError: it cannot be read or parsed, or is a generated table of more than 4 MiB.
    """
    try:
        if file.stat().st_size > MAX_SOURCE_BYTES:
            raise BadRecordError(f"is larger than {MAX_SOURCE_BYTES >> 20} MiB")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(file.read_bytes())
        text = _docstring(tree)
        return Outline(text, _definitions(tree.body, in_class=False), _imports(tree.body), _exported(tree.body))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
        raise BadRecordError(f"cannot be parsed ({type(error).__name__}: {error})") from None


def _definitions(body: list[ast.stmt], *, in_class: bool) -> dict[str, Definition]:
    """The public definitions in a body; of several under one name, the first that has a docstring."""
    found: dict[str, Definition] = {}
    for node in _statements(body, _Definition):
        if not is_private(node.name) and not (node.name in found and found[node.name].text):
            found[node.name] = _definition(node, in_class=in_class)
    return found


def _definition(node: _Definition, *, in_class: bool) -> Definition:
    if isinstance(node, ast.ClassDef):
        members = tuple(_definitions(node.body, in_class=True).values())
        maker = next((item for item in _statements(node.body, _Function) if item.name == "__init__"), None)
        signature = _signature(maker, is_method=True) if maker else ""
        return Definition("class", node.name, signature, _docstring(node), node.lineno, members)
    kind = "method" if in_class else "function"
    return Definition(kind, node.name, _signature(node, is_method=in_class), _docstring(node), node.lineno)


def _docstring(node: ast.Module | _Definition) -> str:
    text = (ast.get_docstring(node) or "").strip()
    check_text(text, "a docstring")
    return text


def _signature(node: _Function, *, is_method: bool) -> str:
    """The arguments with their defaults, without annotations: a title is read, not run. A property has none."""
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    if decorators & {"property", "cached_property"}:
        return ""
    arguments = node.args
    optional = [item for item in (arguments.vararg, arguments.kwarg) if item is not None]
    positional = arguments.posonlyargs + arguments.args
    for argument in positional + arguments.kwonlyargs + optional:
        argument.annotation = None
    if is_method and "staticmethod" not in decorators and len(arguments.defaults) < len(positional):
        del (arguments.posonlyargs or arguments.args)[0]
    text = ast.unparse(arguments)
    check_text(text, "a signature")
    return f"({text if len(text) <= MAX_SIGNATURE else text[:MAX_SIGNATURE].rsplit(',', 1)[0] + ', ...'})"


def _imports(body: list[ast.stmt]) -> tuple[Import, ...]:
    return tuple(
        Import(node.level, node.module, {alias.asname or alias.name: alias.name for alias in node.names})
        for node in _statements(body, ast.ImportFrom)
        if node.module is not None
    )


def _exported(body: list[ast.stmt]) -> frozenset[str]:
    for node in _statements(body, ast.Assign):
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            items = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else []
            return frozenset(str(item.value) for item in items if isinstance(item, ast.Constant))
    return frozenset()


def _statements(body: list[ast.stmt], kind: Any) -> Iterator[Any]:
    """The statements of a kind in a body, also those under `if`, `try` and `with`."""
    for node in body:
        if isinstance(node, kind):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            branches = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            branches[1:1] = [handler.body for handler in getattr(node, "handlers", [])]
            for branch in branches:
                yield from _statements(branch, kind)
