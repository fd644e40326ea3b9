"""Which definitions a public module offers: its own, and those that it imports from private modules.

Many packages define what they offer in private modules (`scipy/sparse/_csr.py`) and import it into a public one. Such
a name belongs to the public module, which is where a reader looks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sememe.corpus.entries import BadRecordError
from sememe.corpus.python_files import Module, is_private
from sememe.corpus.python_outline import Definition, Import, outline

MAX_HOPS = 4
MAX_CACHED = 4096  # outlines take some 10 KB; a private file that many modules import from is parsed once


@dataclass(frozen=True, slots=True)
class Offer:
    """A definition and the module in whose file it stands."""

    definition: Definition
    module: Module


class Library:
    """The modules of some packages, each parsed when it is first asked for."""

    def __init__(self) -> None:
        self._outline = lru_cache(maxsize=MAX_CACHED)(outline)
        self._offers = lru_cache(maxsize=MAX_CACHED)(self._find_offers)

    def docstring(self, module: Module) -> str:
        """The docstring of a module, or "".

        Raises:
            BadRecordError: it cannot be parsed.
        """
        return self._outline(module.file).text

    def offers(self, module: Module) -> dict[str, Offer]:
        """What a module offers by name: its own definitions first, then those from private modules.

        Raises:
            BadRecordError: it cannot be parsed.
        """
        return self._offers(module, MAX_HOPS)

    def _find_offers(self, module: Module, hops: int) -> dict[str, Offer]:
        found = self._outline(module.file)
        offers = {name: Offer(definition, module) for name, definition in found.definitions.items()}
        for statement in found.imports if hops else ():
            source = _private_source(module, statement)
            for name, offer in self._taken(source, statement, hops - 1).items() if source else ():
                offers.setdefault(name, offer)
        return offers

    def _taken(self, source: Module, statement: Import, hops: int) -> dict[str, Offer]:
        try:
            offers = self._offers(source, hops)
        except BadRecordError:
            return {}  # a private module has no documents of its own that could be missed
        if "*" in statement.names:
            exported = self._outline(source.file).exported or offers.keys()
            return {name: offer for name, offer in offers.items() if name in exported}
        named = {alias: offers.get(name) for alias, name in statement.names.items() if not is_private(alias)}
        return {alias: offer for alias, offer in named.items() if offer is not None}


def _private_source(module: Module, statement: Import) -> Module | None:
    """The private module of the same library that a statement names, when it has Python source."""
    package = module.name.split(".")
    if module.file.name != "__init__.py":
        package = package[:-1]
    base = package[: len(package) - statement.level + 1] if statement.level else []
    parts = [*base, *statement.module.split(".")]
    if not any(is_private(part) for part in parts):
        return None
    path = module.root.joinpath(*parts)
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file() and file != module.file:
            return Module(".".join(parts), file, module.root)
    return None
