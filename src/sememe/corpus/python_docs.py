"""The documentation of Python packages: a document for each function, class and module that has a docstring."""

from __future__ import annotations

from collections.abc import Iterator

from sememe.corpus.document import Document, Skipped
from sememe.corpus.entries import BadRecordError, Entry
from sememe.corpus.python_exports import Library
from sememe.corpus.python_files import Module, find_modules, listing
from sememe.corpus.python_outline import Definition


def python_entries(name: str) -> Iterator[Entry]:
    """Documents of `stdlib`, of one package, or of all that is installed (an empty name).

    The id is the dotted path, the title the dotted path with its signature, the text the docstring. Private names and
    tests are left out. Sources are parsed, never imported or run; a module that cannot be parsed is skipped.

    Raises:
        InputError: there is no such package, or it has no Python source.
    """
    library = Library()
    number = 0
    for module in find_modules(name):
        try:
            documents = list(_documents(library, module))
        except BadRecordError as bad:
            yield Skipped(str(module.file), bad.reason)
            continue
        for document in documents:
            number += 1
            yield number, document


def _documents(library: Library, module: Module) -> Iterator[Document]:
    if text := library.docstring(module):
        yield Document(module.name, text, module.name, _metadata(module, module, "module", 1))
    submodules = _submodules(module)
    for name, offer in library.offers(module).items():
        for path, found in _flat(f"{module.name}.{name}", offer.definition):
            # A package's function may have the name of one of its modules: it is the function that gives way.
            identifier = f"{path} ({found.kind})" if path in submodules else path
            metadata = _metadata(module, offer.module, found.kind, found.line)
            if found.text:
                yield Document(identifier, found.text, path + found.signature, metadata)


def _flat(path: str, definition: Definition) -> Iterator[tuple[str, Definition]]:
    yield path, definition
    for member in definition.members:
        yield from _flat(f"{path}.{member.name}", member)


def _metadata(public: Module, source: Module, kind: str, line: int) -> dict[str, str | int]:
    return {
        "kind": kind,
        "package": public.name.split(".")[0],
        "module": public.name,
        "file": source.file.relative_to(source.root).as_posix(),
        "line": line,
    }


def _submodules(module: Module) -> frozenset[str]:
    if module.file.name != "__init__.py":
        return frozenset()
    return frozenset(f"{module.name}.{entry.stem}" for entry in listing(module.file.parent))
