"""Finding the source files of Python packages without importing them."""

from __future__ import annotations

import difflib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from sememe.errors import InputError

_TESTS = frozenset({"test", "tests", "idle_test"})


@dataclass(frozen=True, slots=True)
class Module:
    """A source file: its dotted name, the file, and the folder that its path is told relative to."""

    name: str
    file: Path
    root: Path


def find_modules(name: str) -> Iterator[Module]:
    """The public modules of `stdlib`, of one package or module, or of all that is installed (an empty name).

    Raises:
        InputError: there is no such package, or it has no Python source.
    """
    if name == "stdlib":
        return _library_modules(_stdlib(), set())
    if not name:
        return _all_modules()
    return _named_modules(name)


def listing(folder: Path) -> list[Path]:
    """What a folder contains, sorted."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(folder), hint="Check its permissions"
        ) from None


def is_private(name: str) -> bool:
    """Whether a leading underscore says that a name is not for others."""
    return name.startswith("_")


def _all_modules() -> Iterator[Module]:
    # As in an import, the first place on the path wins.
    seen: set[str] = set()
    yield from _library_modules(_stdlib(), seen)
    for place in sys.path:
        folder = Path(place)
        if folder.name in ("site-packages", "dist-packages") and folder.is_dir():
            yield from _library_modules(folder, seen)


def _stdlib() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _library_modules(folder: Path, seen: set[str]) -> Iterator[Module]:
    """The modules of all packages in a folder; the names of its packages are added to `seen`."""
    shadowed = frozenset(seen)
    for module in _modules_below(folder, "", folder):
        top = module.name.split(".")[0]
        if top not in shadowed:
            seen.add(top)
            yield module


def _named_modules(name: str) -> Iterator[Module]:
    top, *inner = name.split(".")
    spec = _find_spec(top)
    if spec is None:
        near = difflib.get_close_matches(top, _importable(), n=3)
        hint = (
            f"Did you mean {' or '.join(near)}?"
            if near
            else "Give the name that one imports: sklearn, not scikit-learn"
        )
        raise InputError(f"there is no Python package {top!r}", where=f"python:{name}", hint=hint)
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    if not folders:
        files = [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") and not inner else []
        modules = [Module(name, file, file.parent) for file in files]
    else:
        modules = [module for folder in folders for module in _modules_at(folder, top, inner)]
    if not modules:
        raise InputError("has no public Python source to read", where=f"python:{name}", hint="Name a package that has")
    return iter(modules)


def _find_spec(top: str) -> ModuleSpec | None:
    # Finding a top-level module runs none of its code; finding one inside a package would import the package.
    if not top.isidentifier():
        return None
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _modules_at(folder: Path, top: str, inner: list[str]) -> list[Module]:
    path, root = folder.joinpath(*inner), folder.parent
    name = ".".join([top, *inner])
    if path.is_dir():
        return list(_modules_below(path, name, root))
    file = path.with_name(f"{path.name}.py")
    return [Module(name, file, root)] if inner and file.is_file() else []


def _modules_below(folder: Path, package: str, root: Path) -> Iterator[Module]:
    """A package's own file first, then what it contains, sorted. A package goes before a module of the same name."""
    prefix = f"{package}." if package else ""
    own = folder / "__init__.py"
    if package and own.is_file():
        yield Module(package, own, root)
    entries = listing(folder)
    packages = {entry.name for entry in entries if entry.is_dir() and _is_public(entry.name)}
    for entry in entries:
        if entry.name in packages and not entry.is_symlink():
            yield from _modules_below(entry, prefix + entry.name, root)
        elif entry.suffix == ".py" and _is_public(entry.stem) and entry.stem not in packages and entry.is_file():
            yield Module(prefix + entry.stem, entry, root)


def _is_public(name: str) -> bool:
    test = name in _TESTS or name.startswith("test_") or name.endswith("_test") or name == "conftest"
    return name.isidentifier() and not is_private(name) and not test


def _importable() -> set[str]:
    names = set(sys.stdlib_module_names)
    for place in sys.path:
        if Path(place).is_dir():
            names.update(entry.stem for entry in listing(Path(place)) if entry.is_dir() or entry.suffix == ".py")
    return {name for name in names if name.isidentifier()}
