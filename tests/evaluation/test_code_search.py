"""Installed functions as a test collection: what is asked, what is found, and when it is made again."""

from __future__ import annotations

import json
import sys

import pytest

from sememe.cli import main
from sememe.corpus import read
from sememe.errors import InputError
from sememe.evaluation.code_search import LEAST_PAIRS, collection_folder
from sememe.evaluation.collection import read_collection
from sememe.evaluation.docstring_pairs import file_pairs

FUNCTION = '''
def {name}(first, *, second=None):
    """{words} the given value {number} times.

    More is said here, which no query may hold.
    """
    total = first * {number}
    return sum(total for _ in range({number}))
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of 24 functions, and a cache folder of its own."""
    folder = tmp_path / "site" / "madeup"
    folder.mkdir(parents=True)
    verbs = [f"{a}{b}" for a in ("Fold", "Turn", "Move", "Sum") for b in ("ing", "ed", "s", "er", "or", "al")]
    text = "".join(FUNCTION.format(name=f"job_{n}", words=verb, number=n + 2) for n, verb in enumerate(verbs))
    (folder / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setenv("SEMEME_CACHE", str(tmp_path / "cache"))
    yield folder
    sys.modules.pop("madeup", None)


def test_functions_without_their_docstrings_answer_these(package):
    folder = collection_folder("python:madeup")
    queries, qrels = read_collection(folder)
    documents = {document.id: document.text for document in read(folder)}
    assert len(queries) == len(documents) == 24
    for query, words in queries.items():
        [answer] = qrels[query]
        number = words.split()[-2]
        assert documents[answer].startswith("def job_")
        assert f"first * {number}\n" in documents[answer]
        assert words not in documents[answer]
        assert "More is said" not in words + documents[answer]
    assert "madeup" not in sys.modules, "files are parsed, never imported"


def test_it_is_made_once_and_again_when_a_file_changes(package):
    first = collection_folder("python:madeup")
    written = (first / "corpus.jsonl").stat().st_mtime_ns
    assert collection_folder("python:madeup") == first
    assert (first / "corpus.jsonl").stat().st_mtime_ns == written
    file = package / "__init__.py"
    file.write_text(file.read_text() + FUNCTION.format(name="one_more", words="Adding", number=99))
    second = collection_folder("python:madeup")
    assert second != first
    assert len(read_collection(second).queries) == 25


def test_one_that_was_not_finished_is_made_again(package):
    folder = collection_folder("python:madeup")
    (folder / "queries.jsonl").unlink()
    (folder / "corpus.jsonl").write_text("half")
    assert collection_folder("python:madeup") == folder
    assert len(list(read(folder))) == 24


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("python:", "names no package"),
        ("python: , ", "names no package"),
        ("python:no_such_package_here", "there is no Python package"),
        ("python:tiny", f"{LEAST_PAIRS} are the least"),
    ],
)
def test_what_cannot_be_asked_is_said(package, source, message):
    tiny = package.parent / "tiny.py"
    tiny.write_text(FUNCTION.format(name="only", words="Only", number=3))
    with pytest.raises(InputError, match=message):
        collection_folder(source)


def test_a_folder_is_itself(tmp_path):
    assert collection_folder(tmp_path) == tmp_path


def test_the_signature_is_what_stands_before_the_docstring(tmp_path):
    file = tmp_path / "one.py"
    file.write_text(
        "class A:\n    @property\n    def long(\n        self, a: int = 3,\n    ) -> str:\n"
        '        """Say what a long signature has to say."""\n        text = "words that are long enough"\n'
        "        return text * 2\n"
    )
    [pair] = file_pairs(file)
    assert pair.signature == "def long(\n    self, a: int = 3,\n) -> str:"
    assert pair.body == 'text = "words that are long enough"\nreturn text * 2'


def test_the_command_measures_on_installed_code(package, capsys):
    code = main(["search", "--eval", "python:madeup", "--compare", "lexical", "--encoder", "wordllama", "--json"])
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["pipelines"]["lexical"]["ndcg@10"] <= 1
