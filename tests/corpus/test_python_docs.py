import sys

import pytest

from sememe.corpus import read
from sememe.errors import InputError

MODULE = '''"""Module docs."""
import os
raise SystemExit("this must never run")

def plain(a, b: int = 2, /, *args: str, key: "x" = None, **rest) -> int:
    """Plain docs.

    Lines that are indented
        keep what they have beyond the first.
    """

def undocumented(): pass
def _private(): "private docs"

async def waits(): "Waits."

if os.name == "nt":
    def either(x): "For Windows."
else:
    def either(y): "For others."

try:
    import fast
except ImportError:
    class Slow: "In a handler."

class Thing(Base):
    r"""Thing \\d docs."""
    def __init__(self, size=(1, 2)): "init docs"
    def act(self, how): "Acts."
    @property
    def width(self): "The width."
    @width.setter
    def width(self, value): "The setter's docs."
    @staticmethod
    def still(x): "Static."
    @classmethod
    def made(cls, y): "Made."
    class Inner:
        "Inner docs."
        def deep(self): "Deep."
    def outer(self):
        "Outer."
        def nested(): "Nested in a function."
'''


PLAIN = "Plain docs.\n\nLines that are indented\n    keep what they have beyond the first."


@pytest.fixture
def package(tmp_path, monkeypatch):
    def write(**files):
        for name, source in files.items():
            path = tmp_path / "pkgdocs" / f"{name.replace('_in_', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return tmp_path / "pkgdocs"

    monkeypatch.syspath_prepend(str(tmp_path))
    return write


def test_documents_of_a_module(package):
    package(__init__="", mod=MODULE)
    documents = {document.id: document for document in read("python:pkgdocs")}
    assert {document.title: document.text for document in documents.values()} == {
        "pkgdocs.mod": "Module docs.",
        "pkgdocs.mod.plain(a, b=2, /, *args, key=None, **rest)": PLAIN,
        "pkgdocs.mod.waits()": "Waits.",
        "pkgdocs.mod.either(x)": "For Windows.",
        "pkgdocs.mod.Slow": "In a handler.",
        "pkgdocs.mod.Thing(size=(1, 2))": "Thing \\d docs.",
        "pkgdocs.mod.Thing.act(how)": "Acts.",
        "pkgdocs.mod.Thing.width": "The width.",
        "pkgdocs.mod.Thing.still(x)": "Static.",
        "pkgdocs.mod.Thing.made(y)": "Made.",
        "pkgdocs.mod.Thing.Inner": "Inner docs.",
        "pkgdocs.mod.Thing.Inner.deep()": "Deep.",
        "pkgdocs.mod.Thing.outer()": "Outer.",
    }
    assert documents["pkgdocs.mod.Thing.act"].metadata == {
        "kind": "method",
        "package": "pkgdocs",
        "module": "pkgdocs.mod",
        "file": "pkgdocs/mod.py",
        "line": MODULE[: MODULE.index("    def act")].count("\n") + 1,
    }
    assert "pkgdocs" not in sys.modules


def test_private_modules_and_tests_are_left_out(package):
    docs = '"Docs."'
    package(
        __init__=docs, _hidden=docs, sub_in___init__=docs, sub_in_mod=docs, tests_in___init__=docs, tests_in_mod=docs,
        test_it=docs, conftest=docs, _inner_in_mod=docs,
    )  # fmt: skip
    assert [document.id for document in read("python:pkgdocs")] == ["pkgdocs", "pkgdocs.sub", "pkgdocs.sub.mod"]
    assert [document.id for document in read("python:pkgdocs.sub")] == ["pkgdocs.sub", "pkgdocs.sub.mod"]
    assert [document.id for document in read("python:pkgdocs.sub.mod")] == ["pkgdocs.sub.mod"]


def test_what_is_imported_from_private_modules_belongs_to_the_public_one(package):
    package(
        __init__="from ._impl import *\nfrom ._other import f as g, missing, _h\nfrom .mod import public\n",
        _impl='__all__ = ["A", "deep"]\nfrom ._deeper import deep\nclass A:\n  "A docs."\n  def m(self): "m docs."\n'
        'def not_exported(): "no"\n',
        _deeper='def deep(x): "Deep docs."\n',
        _other='def f(): "f docs."\ndef _h(): "h docs."\n',
        mod='from pkgdocs._other import f\nfrom . import _other\ndef public(): "public docs."\n',
    )
    documents = {document.id: document for document in read("python:pkgdocs")}
    assert set(documents) == {
        "pkgdocs.A", "pkgdocs.A.m", "pkgdocs.deep", "pkgdocs.g", "pkgdocs.mod.f", "pkgdocs.mod.public",
    }  # fmt: skip
    assert documents["pkgdocs.deep"].metadata["file"] == "pkgdocs/_deeper.py"
    assert documents["pkgdocs.deep"].metadata["module"] == "pkgdocs"


def test_private_modules_that_import_each_other_end(package):
    package(
        __init__="from ._a import *",
        _a='from ._b import *\ndef a(): "a."\n',
        _b='from ._a import *\ndef b(): "b."\n',
    )
    assert [document.id for document in read("python:pkgdocs")] == ["pkgdocs.a", "pkgdocs.b"]


def test_a_function_gives_way_to_a_module_of_its_name(package):
    package(__init__='def tool(): "The function."\n', tool='"The module."\n')
    assert {document.id: document.text for document in read("python:pkgdocs")} == {
        "pkgdocs.tool (function)": "The function.",
        "pkgdocs.tool": "The module.",
    }


@pytest.mark.parametrize(
    "source",
    [
        b"def broken(:",
        b'"docs"\nx = 1\0',
        b'"caf\xe9"',
        b'# coding: no-such\n"docs"',
        b'"half a pair: \\ud800"',
        b'"docs"\n' + b"(" * 500 + b")" * 500,
        b'"docs"\nx = ' + b"-" * 20_000 + b"1",
        b'"docs"\nx = [' + b"'some words',\n" * 400_000 + b"]",
    ],
)
def test_modules_that_cannot_be_parsed_are_skipped_and_counted(package, source):
    root = package(__init__='"Docs."', bad=source, good='"Good."')
    corpus = read("python:pkgdocs")  # also without on_error="skip"
    assert [document.id for document in corpus] == ["pkgdocs", "pkgdocs.good"]
    assert [skipped.place for skipped in corpus.skipped] == [str(root / "bad.py")]


def test_sources_in_other_encodings_and_with_bad_escapes(package):
    package(__init__='# coding: latin-1\n"caf\xe9 \\d"\n'.encode("latin-1"))
    assert [document.text for document in read("python:pkgdocs")] == ["café \\d"]


def test_a_long_signature_is_cut_at_an_argument(package):
    package(__init__=f'def f({", ".join(f"argument_{i}={i}" for i in range(99))}): "Docs."')
    (document,) = read("python:pkgdocs")
    assert document.title.startswith("pkgdocs.f(argument_0=0, argument_1=1, ")
    assert document.title.endswith(", ...)")
    assert len(document.title) < 230


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nunpy", "no Python package 'nunpy'"),
        ("scikit-learn", "no Python package 'scikit-learn'"),
        ("../etc", "no Python package"),
        ("a/b", "no Python package"),
        ("sys", "no public Python source"),
        ("math", "no public Python source"),
        ("json.nothing", "no public Python source"),
        ("json.decoder.JSONDecoder", "no public Python source"),
        ("tokenize.inner", "no public Python source"),
    ],
)
def test_unknown_packages(name, message):
    with pytest.raises(InputError, match=message) as caught:
        read(f"python:{name}")
    assert caught.value.hint
    if name == "nunpy":
        assert "numpy" in caught.value.hint


def test_one_module_of_the_standard_library():
    documents = {document.id: document for document in read("python:tokenize")}
    assert "tokenize.generate_tokens" in documents
    import tokenize

    assert documents["tokenize"].text == tokenize.__doc__.strip()
    assert documents["tokenize.generate_tokens"].title == "tokenize.generate_tokens(readline)"


def test_docstrings_agree_with_those_of_the_running_modules():
    import inspect
    import json

    documents = {document.id: document for document in read("python:json")}
    assert documents["json.dumps"].text == inspect.getdoc(json.dumps).strip()
    assert documents["json.JSONDecoder.raw_decode" if "json.JSONDecoder" in documents else "json.decoder.JSONDecoder"]
    assert documents["json.load"].title == f"json.load{inspect.signature(json.load)}"


def test_the_standard_library_gives_thousands_of_documents():
    corpus = read("python:stdlib")
    documents = list(corpus)
    ids = [document.id for document in documents]
    assert len(ids) >= 5000
    assert len(set(ids)) == len(ids)
    assert corpus.n_skipped == 0
    assert {"json.dumps", "gzip.open", "pathlib.Path.rglob", "datetime.datetime.isoformat"} <= set(ids)
    assert not any(part.startswith("_") for name in ids for part in name.split("."))
    modules = {document.metadata["module"] for document in documents}
    assert not any(part in ("test", "tests") for name in modules for part in name.split("."))


def test_all_packages_begin_with_the_standard_library(monkeypatch, tmp_path):
    site = tmp_path / "site-packages"
    (site / "mine").mkdir(parents=True)
    (site / "mine" / "__init__.py").write_text('"Mine."')
    (site / "json.py").write_text('"Shadowed by the standard library."')
    (site / "mine-1.0.dist-info").mkdir()
    (site / "mine-1.0.dist-info" / "x.py").write_text('"No."')
    monkeypatch.setattr("sys.path", [str(site)])
    monkeypatch.setattr("sememe.corpus.python_files._stdlib", lambda: tmp_path / "lib")
    (tmp_path / "lib" / "json").mkdir(parents=True)
    (tmp_path / "lib" / "json" / "__init__.py").write_text('"Standard."')
    assert [(document.id, document.text) for document in read("python:")] == [("json", "Standard."), ("mine", "Mine.")]
